// Package server answers requests as docs/interface.md (Wire) has them, with net/http and coder/websocket.
package server

import (
	"encoding/json"
	"net/http"
	"sync"
	"time"

	"rtbench-go/hub"
	"rtbench-go/wire"
)

// Encoders has the encoder of each transport.
var Encoders = map[string]hub.Encoder{
	"sse":        wire.SSE{},
	"websocket":  wire.Envelope{},
	"short-poll": wire.Envelope{},
	"long-poll":  wire.Envelope{},
}

// Server serves one transport out of a hub.
type Server struct {
	hub         *hub.Hub
	pollTimeout time.Duration
	guard       *Guard
	// Sockets counts the WebSockets. An http.Server does not wait for them when it shuts down.
	Sockets sync.WaitGroup
}

// New returns a server. pollTimeout is how long a long poll waits that does not say it.
func New(h *hub.Hub, pollTimeout time.Duration, guard *Guard) *Server {
	return &Server{hub: h, pollTimeout: pollTimeout, guard: guard}
}

// Handler returns the routes of a transport, /plan, and for SSE the article's routes.
func (s *Server) Handler(transport string) http.Handler {
	mux := http.NewServeMux()
	switch transport {
	case "sse":
		mux.Handle("/sse/{stream}", get(s.events))
		mux.Handle("/{stream}", get(s.article))
	case "websocket":
		mux.Handle("/ws/{stream}", get(s.socket))
	case "short-poll":
		mux.Handle("/poll/{stream}", get(s.shortPoll))
	case "long-poll":
		mux.Handle("/long-poll/{stream}", get(s.longPoll))
	}
	mux.Handle("/plan/{stream}", get(s.plan))
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		fail(w, refuse(http.StatusNotFound, "there is nothing here"))
	})
	return mux
}

// plan says when each message was due.
func (s *Server) plan(w http.ResponseWriter, r *http.Request) error {
	channel, at, _, err := s.asked(r, since)
	if err != nil {
		return err
	}
	if at == nil {
		at = new(uint64)
	}
	offset, err := clockOffset()
	if err != nil {
		return err
	}
	body, err := json.Marshal(s.hub.Plan(channel, *at, offset))
	if err != nil {
		return err
	}
	answer(w, http.StatusOK, body)
	return nil
}
