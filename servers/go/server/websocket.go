package server

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/coder/websocket"

	"rtbench-go/hub"
)

// closeCodes has the close code of each reason that gets a farewell (RFC 6455 §7.4.1).
var closeCodes = map[hub.Reason]websocket.StatusCode{
	hub.End:     websocket.StatusNormalClosure,
	hub.Stop:    websocket.StatusGoingAway,
	hub.Failure: websocket.StatusInternalError,
}

// socket sends messages until the stream or the client ends: one Write each, one frame and one write(2).
func (s *Server) socket(w http.ResponseWriter, r *http.Request) error {
	channel, at, _, err := s.asked(r, since)
	if err != nil {
		return err
	}
	if !strings.EqualFold(r.Header.Get("Upgrade"), "websocket") {
		return refuse(http.StatusBadRequest, "this is a WebSocket: ask for an upgrade")
	}
	if err := s.guard.sameSite(r); err != nil {
		return err
	}
	said := newBucket(s.guard.bounds.PublishesHz) // only the goroutine that reads takes from it
	var conn *websocket.Conn
	flooded := false
	pinged := func(context.Context, []byte) bool {
		if said.take() {
			return true
		}
		if flooded {
			return false
		}
		flooded = true
		go s.hangUp(r, conn, "publishes_hz", websocket.StatusPolicyViolation) // Close waits for the reader, which is here
		return false
	}
	// Before the answer: what comes after it is the client's, however late this goroutine goes on.
	subscriber := s.hub.Subscribe(channel, at, func() { go conn.CloseNow() })
	conn, err = websocket.Accept(w, r, &websocket.AcceptOptions{
		InsecureSkipVerify: true, // sameSite has looked
		CompressionMode:    websocket.CompressionDisabled,
		OnPingReceived:     pinged,
	})
	if err != nil {
		return nil // Accept has answered
	}
	defer s.guard.left(r)
	s.Sockets.Add(1)
	defer s.Sockets.Done()
	defer conn.CloseNow()
	conn.SetReadLimit(s.guard.bounds.MessageBytes)
	ctx, left := context.WithCancel(r.Context())
	go func() {
		defer left()
		s.hear(r, conn, said)
	}()
	// Without a context of its own, a write costs the library no timer. What ends a blocked one is the cut.
	write := func(text []byte) error {
		return conn.Write(context.Background(), websocket.MessageText, text)
	}
	// Ping waits for the pong, the next message must not. The kernel notices who does not answer (main.listen).
	beat := func() error {
		go conn.Ping(ctx)
		return nil
	}
	if code, ok := closeCodes[subscriber.Relay(ctx, write, beat)]; ok {
		conn.Close(code, "")
	}
	return nil
}

// hangUp ends a connection with a close code. A client that goes on talking is cut off soon: Close waits for its answer.
func (s *Server) hangUp(r *http.Request, conn *websocket.Conn, why string, code websocket.StatusCode) {
	s.guard.Refuse(why)
	if socket, ok := r.Context().Value(doorKey{}).(net.Conn); ok {
		time.AfterFunc(200*time.Millisecond, func() { socket.Close() })
	}
	conn.Close(code, "")
}

// hear reads what the client says until it leaves, or says too much. Only so are its pings and its close answered.
func (s *Server) hear(r *http.Request, conn *websocket.Conn, rate *bucket) {
	for {
		_, said, err := conn.Reader(context.Background())
		if err == nil {
			_, err = io.Copy(io.Discard, said)
		}
		if err == nil && !rate.take() {
			s.hangUp(r, conn, "publishes_hz", websocket.StatusPolicyViolation)
			return
		}
		if err != nil {
			switch {
			case errors.Is(err, websocket.ErrMessageTooBig):
				s.guard.Refuse("message_bytes")
			case strings.Contains(err.Error(), "unmasked"):
				s.hangUp(r, conn, "frames", websocket.StatusProtocolError)
			}
			return
		}
	}
}
