// Package wire encodes messages, notices and answers as docs/interface.md has them, each once for all connections.
package wire

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// The kinds of notices.
const (
	End     = "end"
	GapKind = "gap"
	Failure = "failure"
	Retry   = "retry"
)

// Notice is what the server says about a stream between its messages.
type Notice struct {
	Kind    string
	Fields  string // its other members, a JSON object
	AfterMS int64  // of Retry: how long a client should wait
}

// Gap returns the notice of the messages that a client asks for and cannot have.
func Gap(from, to uint64, reason string) *Notice {
	return &Notice{Kind: GapKind, Fields: fmt.Sprintf(`{"from":%d,"to":%d,"reason":"%s"}`, from, to, reason)}
}

// ParseNotice reads a notice of the feed, such as {"control":"retry","after_ms":5000,"count":1}. The other members are
// kept as they stand.
func ParseNotice(payload []byte) (*Notice, error) {
	var head struct {
		Control string `json:"control"`
		AfterMS int64  `json:"after_ms"`
	}
	if err := json.Unmarshal(payload, &head); err != nil {
		return nil, fmt.Errorf("a notice of the feed is malformed (%w)", err)
	}
	rest, ok := bytes.CutPrefix(payload, fmt.Appendf(nil, `{"control":"%s",`, head.Control))
	if !ok || (head.Control != End && head.Control != Failure && head.Control != Retry) {
		return nil, fmt.Errorf("a notice of the feed is malformed (%.80q)", payload)
	}
	return &Notice{head.Control, "{" + string(rest), head.AfterMS}, nil
}
