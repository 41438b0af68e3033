package server

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
)

// refusal is an error that the client gets as a small JSON object.
type refusal struct {
	status int
	text   string
}

func (r *refusal) Error() string { return r.text }

func refuse(status int, format string, values ...any) error {
	return &refusal{status, fmt.Sprintf(format, values...)}
}

// handler is an http.HandlerFunc that may refuse a request before it answers it.
type handler func(w http.ResponseWriter, r *http.Request) error

// get serves GET with h, and refuses every other method.
func get(h handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet {
			w.Header().Set("Allow", http.MethodGet)
			fail(w, refuse(http.StatusMethodNotAllowed, "%.20s is not allowed here", r.Method))
		} else if err := h(w, r); err != nil {
			fail(w, err)
		}
	}
}

func fail(w http.ResponseWriter, err error) {
	status := http.StatusInternalServerError
	var refused *refusal
	if errors.As(err, &refused) {
		status = refused.status
	}
	body, _ := json.Marshal(map[string]string{"error": err.Error()}) // a map of texts is always JSON
	answer(w, status, body)
}

// answer writes a whole JSON response.
func answer(w http.ResponseWriter, status int, body []byte) {
	header := w.Header()
	header.Set("Content-Type", "application/json")
	header.Set("Content-Length", strconv.Itoa(len(body))) // net/http would send a longer body in chunks
	w.WriteHeader(status)
	w.Write(body) // the only error is that the client left
}
