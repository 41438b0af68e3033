package main

import (
	"net"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"

	"rtbench-go/hub"
	"rtbench-go/server"
)

// readiness is the line that is printed when the server accepts.
type readiness struct {
	URL  string `json:"url"`
	Uses uses   `json:"uses"`
}

// uses is what this process uses (R11), for the trial's manifest.
type uses struct {
	Loop       string `json:"loop"`
	Stack      string `json:"stack"`
	Go         string `json:"go"`
	Technique  string `json:"technique"`
	GOMAXPROCS int    `json:"gomaxprocs"`
	GOGC       int    `json:"gogc"`
	NoDelay    bool   `json:"nodelay"`
	Backlog    int    `json:"backlog"`
	AccessLog  bool   `json:"access_log"`
	// Compression is of messages and of responses.
	Compression        string `json:"compression"`
	SlowConsumer       string `json:"slow_consumer"`
	UserTimeoutMS      int64  `json:"user_timeout_ms"`
	KeepaliveIdleS     int64  `json:"keepalive_idle_s"`
	KeepaliveIntervalS int64  `json:"keepalive_interval_s"`
	hub.Limits
	server.Bounds
	HeadS       seconds  `json:"head_s"`
	IdleS       seconds  `json:"idle_s"`
	PublishesHz seconds  `json:"publishes_hz"`
	RequestsHz  seconds  `json:"requests_hz"`
	Pages       []string `json:"allow_origin"`
	HeartbeatS  seconds  `json:"heartbeat_s"`
}

// seconds is a number that JSON has with a fraction, as Python writes it: manifests are compared.
type seconds float64

// MarshalJSON implements json.Marshaler.
func (s seconds) MarshalJSON() ([]byte, error) {
	text := strconv.FormatFloat(float64(s), 'f', -1, 64)
	if !strings.Contains(text, ".") {
		text += ".0"
	}
	return []byte(text), nil
}

func ready(address net.Addr, options *options, watch watch) readiness {
	gogc := debug.SetGCPercent(100)
	debug.SetGCPercent(gogc)
	technique, stack := "encode-once", "net/http of "+runtime.Version()
	switch options.Transport {
	case "websocket":
		technique, stack = "per-connection", "coder/websocket "+version("github.com/coder/websocket")+", "+stack
	case "sse":
		technique = "per-connection"
	}
	return readiness{options.TLS.scheme() + "://" + address.String(), uses{
		Loop: "go", Stack: stack, Go: runtime.Version(), Technique: technique,
		GOMAXPROCS: runtime.GOMAXPROCS(0), GOGC: gogc,
		NoDelay: true, Backlog: backlog, AccessLog: false, Compression: "none", SlowConsumer: "drop",
		UserTimeoutMS:      watch.userTimeout.Milliseconds(),
		KeepaliveIdleS:     int64(watch.idle.Seconds()),
		KeepaliveIntervalS: int64(watch.interval.Seconds()),
		Limits:             options.Limits,
		Bounds:             options.Bounds,
		HeadS:              seconds(options.Bounds.HeadS),
		IdleS:              seconds(options.Bounds.IdleS),
		PublishesHz:        seconds(options.Bounds.PublishesHz),
		RequestsHz:         seconds(options.Bounds.RequestsHz),
		Pages:              append([]string{}, options.Pages...),
		HeartbeatS:         seconds(options.Limits.HeartbeatS),
	}}
}

// version returns a module's version, as it was built in.
func version(module string) string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, dependency := range info.Deps {
			if dependency.Path == module {
				return dependency.Version
			}
		}
	}
	return "of an unknown version"
}
