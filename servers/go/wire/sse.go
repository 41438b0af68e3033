package wire

import (
	"fmt"
	"strconv"
)

// Comment is the heartbeat of SSE: no script sees it.
var Comment = []byte(":\n\n")

// SSE encodes server-sent events (WHATWG HTML 9.2). net/http makes one chunk of each.
type SSE struct{}

// Message returns one event of the default type, which onmessage sees.
func (SSE) Message(seq uint64, payload []byte) []byte {
	data := make([]byte, 0, len(payload)+40)
	data = append(data, "id: "...)
	data = strconv.AppendUint(data, seq, 10)
	data = append(data, "\ndata: "...)
	data = append(data, payload...)
	return append(data, "\n\n"...)
}

// Notice returns an event of the notice's own type. It has no id, so Last-Event-ID stays.
func (SSE) Notice(notice *Notice) []byte {
	retry := ""
	if notice.Kind == Retry {
		retry = fmt.Sprintf("retry: %d\n", notice.AfterMS) // an EventSource obeys it
	}
	return fmt.Appendf(nil, "event: %s\n%sdata: %s\n\n", notice.Kind, retry, notice.Fields)
}
