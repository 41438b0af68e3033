package server

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"rtbench-go/hub"
)

// number reads a decimal number from 0.
func number(text, name string) (uint64, error) {
	value, err := strconv.ParseUint(text, 10, 64)
	if err != nil || len(text) > 18 {
		return 0, refuse(http.StatusBadRequest, "%s must be a whole number from 0, not %.40q", name, text)
	}
	return value, nil
}

// seconds reads a number of seconds from 0 to most.
func seconds(text, name string, most float64) (float64, error) {
	value, err := strconv.ParseFloat(text, 64)
	if err != nil || !(0 <= value && value <= most) {
		return 0, refuse(http.StatusBadRequest, "%s must be a number of seconds from 0 to %g, not %.40q", name, most, text)
	}
	return value, nil
}

// since reads the cursor of a query; nil where there is none.
func since(_ *http.Request, query url.Values) (*uint64, error) {
	if !query.Has("since") {
		return nil, nil
	}
	value, err := number(query.Get("since"), "since")
	return &value, err
}

// lastEventID reads the cursor of an SSE request: Last-Event-ID wins over ?since.
func lastEventID(r *http.Request, query url.Values) (*uint64, error) {
	text := r.Header.Get("Last-Event-ID")
	if text == "" {
		return since(r, query)
	}
	value, err := number(text, "Last-Event-ID")
	return &value, err
}

// position reads the cursor of a poll: ?since, else the client's ETag.
func position(r *http.Request, query url.Values) (*uint64, error) {
	at, err := since(r, query)
	if at != nil || err != nil {
		return at, err
	}
	tag := strings.Trim(strings.TrimPrefix(r.Header.Get("If-None-Match"), "W/"), `"`)
	if value, err := number(tag, "If-None-Match"); err == nil {
		return &value, nil
	}
	return nil, nil // a tag that is none of ours says nothing
}

// asked returns what a request asks for: the channel of its path, and the cursor that read finds in it.
func (s *Server) asked(r *http.Request, read func(*http.Request, url.Values) (*uint64, error)) (
	channel *hub.Channel, at *uint64, query url.Values, err error,
) {
	query = r.URL.Query()
	if channel, err = s.channel(r.PathValue("stream"), query); err == nil {
		at, err = read(r, query)
	}
	return channel, at, query, err
}

// channel returns the channel that a request names.
func (s *Server) channel(stream string, query url.Values) (*hub.Channel, error) {
	index := uint64(0)
	if query.Has("channel") {
		var err error
		if index, err = number(query.Get("channel"), "channel"); err != nil {
			return nil, err
		}
	}
	if found := s.hub.Find(stream, index); found != nil {
		return found, nil
	}
	if s.hub.Find(stream, 0) != nil {
		return nil, refuse(http.StatusNotFound, "%s has no channel %d", stream, index)
	}
	return nil, refuse(http.StatusNotFound, "unknown stream %.80q; choose one of %s", stream, s.hub.Names())
}
