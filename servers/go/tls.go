package main

import (
	"crypto/tls"
	"fmt"
)

// secure is with what the server speaks TLS: PEM files, and its only version. Session tickets are as Go ships them.
type secure struct {
	Certificate string `json:"certificate"`
	Key         string `json:"key"`
	Version     string `json:"version"`
}

var versions = map[string]uint16{"1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13}

// config names HTTP/1.1 alone: net/http would speak HTTP/2 by itself.
func (s *secure) config() (*tls.Config, error) {
	version, known := versions[s.Version]
	if !known {
		return nil, fmt.Errorf("the options are wrong (tls.version %q)", s.Version)
	}
	pair, err := tls.LoadX509KeyPair(s.Certificate, s.Key)
	if err != nil {
		return nil, fmt.Errorf("the certificate cannot be used (%w)", err)
	}
	return &tls.Config{
		Certificates: []tls.Certificate{pair},
		MinVersion:   version, MaxVersion: version,
		NextProtos: []string{"http/1.1"},
	}, nil
}

// scheme is that of the server's URL.
func (s *secure) scheme() string {
	if s == nil {
		return "http"
	}
	return "https"
}
