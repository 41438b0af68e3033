package server

import (
	"net/http"
	"time"

	"rtbench-go/hub"
	"rtbench-go/wire"
)

// general is the stream of the article's own routes when the path names an unknown one.
const general = "general"

func (s *Server) events(w http.ResponseWriter, r *http.Request) error {
	return s.stream(w, r, r.PathValue("stream"))
}

// article serves the article's routes: the path is the stream's name.
func (s *Server) article(w http.ResponseWriter, r *http.Request) error {
	stream := r.PathValue("stream")
	if s.hub.Find(stream, 0) == nil && s.hub.Find(general, 0) != nil {
		stream = general
	}
	return s.stream(w, r, stream)
}

// stream sends events until the stream or the client ends: one Write and one Flush each, so that net/http makes one
// chunk and one write(2) of it.
func (s *Server) stream(w http.ResponseWriter, r *http.Request, stream string) error {
	query := r.URL.Query()
	channel, err := s.channel(stream, query)
	if err != nil {
		return err
	}
	at, err := lastEventID(r, query)
	if err != nil {
		return err
	}
	if s.hub.Over(channel, at) {
		w.WriteHeader(http.StatusNoContent) // an EventSource stops for good (WHATWG 9.2.3)
		return nil
	}
	header := w.Header()
	header.Set("Content-Type", "text/event-stream")
	header.Set("Cache-Control", "no-cache")
	header.Set("X-Accel-Buffering", "no")
	header.Set("X-Proxy-Buffering", "no")
	for name, value := range channel.Headers {
		header.Set(name, value)
	}
	out := http.NewResponseController(w)
	write := func(event []byte) error {
		if _, err := w.Write(event); err != nil {
			return err
		}
		return out.Flush()
	}
	subscriber := s.hub.Subscribe(channel, at, func() { out.SetWriteDeadline(time.Unix(1, 0)) })
	w.WriteHeader(http.StatusOK)
	if out.Flush() != nil {
		panic(http.ErrAbortHandler)
	}
	beat := func() error { return write(wire.Comment) }
	switch subscriber.Relay(r.Context(), write, beat) {
	case hub.Slow, hub.Gone:
		panic(http.ErrAbortHandler) // the connection is closed, and the body does not look complete
	}
	return nil
}
