package wire

import "strconv"

// Answer is the body of a poll's 200.
type Answer struct {
	Messages [][]byte // envelopes
	Next     uint64
	Gap      *Notice
	End      bool
	Retry    *Notice // a member only while there is advice
}

// JSON returns the body.
func (a *Answer) JSON() []byte {
	size := 80
	for _, message := range a.Messages {
		size += len(message) + 1
	}
	data := append(make([]byte, 0, size), `{"messages":[`...)
	for number, message := range a.Messages {
		if number > 0 {
			data = append(data, ',')
		}
		data = append(data, message...)
	}
	data = append(data, `],"next":`...)
	data = strconv.AppendUint(data, a.Next, 10)
	data = append(data, `,"gap":`...)
	if a.Gap == nil {
		data = append(data, "null"...)
	} else {
		data = append(data, a.Gap.Fields...)
	}
	data = append(data, `,"end":`...)
	data = strconv.AppendBool(data, a.End)
	if a.Retry != nil {
		data = append(data, `,"retry":`...)
		data = append(data, a.Retry.Fields...)
	}
	return append(data, '}')
}
