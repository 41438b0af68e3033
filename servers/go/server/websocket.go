package server

import (
	"context"
	"io"
	"net/http"
	"strings"

	"github.com/coder/websocket"

	"rtbench-go/hub"
)

// mostSaidBytes bounds a client's message, as on the other stacks.
const mostSaidBytes = 1 << 20

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
	conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{
		InsecureSkipVerify: true, // a page of any origin may subscribe
		CompressionMode:    websocket.CompressionDisabled,
	})
	if err != nil {
		return nil // Accept has answered
	}
	s.Sockets.Add(1)
	defer s.Sockets.Done()
	defer conn.CloseNow()
	conn.SetReadLimit(mostSaidBytes)
	ctx, left := context.WithCancel(r.Context())
	go func() {
		defer left()
		hear(conn)
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
	subscriber := s.hub.Subscribe(channel, at, func() { go conn.CloseNow() })
	if code, ok := closeCodes[subscriber.Relay(ctx, write, beat)]; ok {
		conn.Close(code, "")
	}
	return nil
}

// hear reads what the client says until it leaves. Only so are its pings and its close answered.
func hear(conn *websocket.Conn) {
	for {
		_, said, err := conn.Reader(context.Background())
		if err == nil {
			_, err = io.Copy(io.Discard, said)
		}
		if err != nil {
			return
		}
	}
}
