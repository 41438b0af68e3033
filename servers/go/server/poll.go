package server

import (
	"net/http"
	"strconv"
	"time"

	"rtbench-go/hub"
)

const (
	// retryAfterS is the Retry-After of a failed stream: that of the retry advice before it.
	retryAfterS = "5"
	// longestS is how long a long poll may wait.
	longestS = 300
)

// entityTag is the cursor as an ETag.
func entityTag(cursor uint64) string {
	return `"` + strconv.FormatUint(cursor, 10) + `"`
}

// poll asks the hub. While the server shuts down an answer is the last on its connection.
func (s *Server) poll(w http.ResponseWriter, channel *hub.Channel, at *uint64) hub.State {
	state := s.hub.Poll(channel, at)
	if state.Stopping {
		w.Header().Set("Connection", "close")
	}
	return state
}

// shortPoll answers at once.
func (s *Server) shortPoll(w http.ResponseWriter, r *http.Request) error {
	channel, at, _, err := s.asked(r, position)
	if err != nil {
		return err
	}
	state := s.poll(w, channel, at)
	tag := entityTag(state.Next)
	if !state.News() && state.Failure == nil && r.Header.Get("If-None-Match") == tag {
		w.Header().Set("ETag", tag)
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	respond(w, &state)
	return nil
}

// longPoll answers a client without a cursor at once, and one with a cursor as soon as there is news.
func (s *Server) longPoll(w http.ResponseWriter, r *http.Request) error {
	channel, at, query, err := s.asked(r, position)
	if err != nil {
		return err
	}
	wait := s.pollTimeout
	if query.Has("timeout") {
		value, err := seconds(query.Get("timeout"), "timeout", longestS)
		if err != nil {
			return err
		}
		wait = time.Duration(value * float64(time.Second))
	}
	state := s.poll(w, channel, at)
	// Retry advice ends a wait but does not prevent it: a client that asks again at once would spin.
	if at != nil && !state.Owes() && !state.Stopping && state.Changed != nil {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		select {
		case <-state.Changed:
		case <-timer.C:
		case <-r.Context().Done():
			return nil // the client left
		}
		state = s.poll(w, channel, at)
	}
	if at != nil && !state.News() && state.Failure == nil {
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	respond(w, &state)
	return nil
}

// respond answers with everything that the client does not have: 200, or 503 once it has all of a failed stream.
func respond(w http.ResponseWriter, state *hub.State) {
	header := w.Header()
	if state.Failure != nil && !state.Owes() {
		header.Set("Retry-After", retryAfterS)
		answer(w, http.StatusServiceUnavailable, []byte(state.Failure.Fields))
		return
	}
	header.Set("ETag", entityTag(state.Next))
	header.Set("Cache-Control", "no-cache")
	answer(w, http.StatusOK, state.JSON())
}
