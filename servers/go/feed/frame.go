// Package feed reads what the publisher sends to a server over a Unix socket (servers/kit/feed.py).
//
// A frame is length (u32), kind (u8) and body, little endian. A reader skips the kinds that it does not know, so that
// it can listen to a newer publisher.
package feed

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
)

// The kinds of frames.
const (
	Hello = 1 // a Greeting: who publishes, and what
	Ticks = 2 // ticks and notices that were due together
	Live  = 3 // the refill is over
)

const (
	headBytes = 5
	// mostBytes bounds a frame. The publisher splits its refill into frames far smaller than this.
	mostBytes = 1 << 30
	readBytes = 256 << 10
)

// Reader reads frames from a byte stream.
type Reader struct {
	from *bufio.Reader
	body []byte
}

// NewReader returns a Reader of from.
func NewReader(from io.Reader) *Reader {
	return &Reader{from: bufio.NewReaderSize(from, readBytes)}
}

// Next returns the next frame. The body is valid until the next call.
func (r *Reader) Next() (kind byte, body []byte, err error) {
	var head [headBytes]byte
	if _, err := io.ReadFull(r.from, head[:]); err != nil {
		return 0, nil, err
	}
	size := binary.LittleEndian.Uint32(head[:])
	if size > mostBytes {
		return 0, nil, fmt.Errorf("a frame of the feed has %d bytes", size)
	}
	if int(size) > cap(r.body) {
		r.body = make([]byte, size)
	}
	r.body = r.body[:size]
	_, err = io.ReadFull(r.from, r.body)
	return head[4], r.body, err
}
