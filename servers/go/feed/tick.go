package feed

import (
	"encoding/binary"
	"errors"
)

// Notice is the seq of a tick that is no message: its payload is what the stream says about itself.
const Notice = 0

const tickBytes = 24

// ErrMalformed is the error of a body that is not what its kind promises.
var ErrMalformed = errors.New("a frame of the feed is malformed")

// Tick is one message of the workload, or a notice.
type Tick struct {
	Channel int
	Seq     uint64
	DueNS   int64 // on CLOCK_MONOTONIC
	Payload []byte
}

// Cut returns the first tick of a Ticks body and the rest of the body. The payload is a part of body.
func Cut(body []byte) (tick Tick, rest []byte, err error) {
	if len(body) < tickBytes {
		return Tick{}, nil, ErrMalformed
	}
	channel := int32(binary.LittleEndian.Uint32(body))
	seq := int64(binary.LittleEndian.Uint64(body[4:]))
	size := uint64(binary.LittleEndian.Uint32(body[20:]))
	rest = body[tickBytes:]
	if channel < 0 || seq < 0 || size > uint64(len(rest)) {
		return Tick{}, nil, ErrMalformed
	}
	due := int64(binary.LittleEndian.Uint64(body[12:]))
	return Tick{int(channel), uint64(seq), due, rest[:size]}, rest[size:], nil
}
