package wire

import (
	"bytes"
	"encoding/json"
	"strconv"
)

// Envelope encodes {"id":N,"data":PAYLOAD}: the text of a WebSocket message, and a member of a poll's answer.
type Envelope struct{}

// Message returns the envelope. A payload that is JSON stands in it as it is, any other as a JSON string.
func (Envelope) Message(seq uint64, payload []byte) []byte {
	if !isJSON(payload) {
		payload = quote(payload)
	}
	data := make([]byte, 0, len(payload)+40)
	data = append(data, `{"id":`...)
	data = strconv.AppendUint(data, seq, 10)
	data = append(data, `,"data":`...)
	data = append(data, payload...)
	return append(data, '}')
}

// Notice returns {"control":KIND,…}.
func (Envelope) Notice(notice *Notice) []byte {
	return []byte(`{"control":"` + notice.Kind + `",` + notice.Fields[1:])
}

// isJSON tells whether payload is one JSON text without white space around it, which an envelope would lose.
func isJSON(payload []byte) bool {
	return len(bytes.TrimSpace(payload)) == len(payload) && json.Valid(payload)
}

func quote(payload []byte) []byte {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(string(payload)); err != nil {
		panic(err) // no string fails, and a buffer takes all
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n"))
}
