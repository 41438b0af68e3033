package main

import (
	"encoding/json"
	"errors"
	"fmt"

	"rtbench-go/hub"
	"rtbench-go/server"
)

// options is the one argument, a JSON object (servers/stacks/go.py). Unknown members are ignored.
type options struct {
	Transport string                `json:"transport"`
	Host      string                `json:"host"`
	Port      int                   `json:"port"`   // 0: any free one
	Ingest    string                `json:"ingest"` // the Unix socket of the publisher's feed
	Limits    hub.Limits            `json:"limits"`
	Bounds    server.Bounds         `json:"bounds"`
	Pages     []string              `json:"allow_origin"`
	Streams   map[string]hub.Traits `json:"streams"`
	TLS       *secure               `json:"tls"` // nil: cleartext
}

func parse(arguments []string) (*options, error) {
	if len(arguments) != 1 {
		return nil, errors.New("the options are missing: give one JSON object")
	}
	found := &options{}
	if err := json.Unmarshal([]byte(arguments[0]), found); err != nil {
		return nil, fmt.Errorf("the options are wrong (%w)", err)
	}
	switch {
	case server.Encoders[found.Transport] == nil:
		return nil, fmt.Errorf("the options are wrong (unknown transport %q)", found.Transport)
	case found.Host == "" || found.Ingest == "":
		return nil, errors.New("the options are wrong (host or ingest is missing)")
	case !(0.01 <= found.Limits.HeartbeatS && found.Limits.HeartbeatS <= 86400):
		return nil, fmt.Errorf("limits.heartbeat_s must be from 0.01 to 86400, not %g", found.Limits.HeartbeatS)
	}
	if err := found.Bounds.Check(); err != nil {
		return nil, err
	}
	return found, nil
}
