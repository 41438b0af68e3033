// Package hub keeps the channels of a server: their replay rings, their subscribers, and the polls that wait for news.
//
// Every tick is encoded once and kept in the ring; all connections share its bytes. What is published while a
// connection catches up is in the ring that it catches up from. A connection whose write blocks holds at most the
// declared number of bytes: one that would hold more is dropped, logged and counted.
package hub

import (
	"slices"
	"strings"
	"sync"
	"time"

	"rtbench-go/wire"
)

// Limits is the scenario's [server] table, as far as the hub is concerned.
type Limits struct {
	RingMessages int     `json:"ring_messages"`
	RingBytes    int     `json:"ring_bytes"`
	BufferBytes  int     `json:"buffer_bytes"`
	HeartbeatS   float64 `json:"heartbeat_s"`
}

// Encoder turns messages and notices into a transport's bytes.
type Encoder interface {
	Message(seq uint64, payload []byte) []byte
	Notice(notice *wire.Notice) []byte
}

// Hub is all channels of one server. One lock guards everything in it.
type Hub struct {
	encoder Encoder
	limits  Limits
	traits  map[string]Traits
	// Live is closed when the rings are filled for the first time.
	Live chan struct{}

	mu       sync.Mutex
	channels []*Channel // by number
	streams  map[string][]*Channel
	run      Run
	budget   budget
	frame    uint64 // counts the feed's frames
	dropped  int
	stopping bool
	filled   bool
}

// New returns a hub without channels: the feed brings them.
func New(encoder Encoder, limits Limits, traits map[string]Traits) *Hub {
	return &Hub{
		encoder: encoder,
		limits:  limits,
		traits:  traits,
		Live:    make(chan struct{}),
		budget:  budget{limit: limits.RingBytes},
	}
}

// Find returns the channel that a request names, nil where there is none.
func (h *Hub) Find(stream string, index uint64) *Channel {
	h.mu.Lock()
	defer h.mu.Unlock()
	if channels := h.streams[stream]; index < uint64(len(channels)) {
		return channels[index]
	}
	return nil
}

// Names lists the streams.
func (h *Hub) Names() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	names := make([]string, 0, len(h.streams))
	for name := range h.streams {
		names = append(names, name)
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

// Over tells whether the stream is over and this cursor is its last id.
func (h *Hub) Over(channel *Channel, cursor *uint64) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return channel.final != nil && cursor != nil && *cursor == channel.ring.last
}

// Subscribe returns a subscriber that begins after the cursor; nil: from now. cut is called when it is dropped, to end
// a write that does not return. Its handler calls Relay.
func (h *Hub) Subscribe(channel *Channel, cursor *uint64, cut func()) *Subscriber {
	h.mu.Lock()
	defer h.mu.Unlock()
	at := channel.start()
	if cursor != nil {
		at = *cursor
	}
	return &Subscriber{hub: h, channel: channel, at: at, run: channel.run, wake: make(chan struct{}, 1), cut: cut}
}

// leave removes a subscriber: it gets no more messages.
func (h *Hub) leave(subscriber *Subscriber) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(subscriber.channel.subscribers, subscriber)
}

// left ends a subscription whose client is gone. One that is over already stays so: it may have been cut off.
func (h *Hub) left(subscriber *Subscriber) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if subscriber.over == "" || len(subscriber.queue) > 0 {
		subscriber.abandon(Gone)
	}
}

// beat tells a subscriber that a heartbeat is due.
func (h *Hub) beat(subscriber *Subscriber) {
	h.mu.Lock()
	defer h.mu.Unlock()
	subscriber.due = true
	if !subscriber.live && subscriber.writing > 0 {
		// The write before the beat may take until the next one; then the client does not read.
		if subscriber.late && subscriber.over == "" {
			subscriber.drop("it did not take its replay")
			return
		}
		subscriber.late = true
		subscriber.timer.Reset(h.heartbeat(subscriber.channel))
	}
	subscriber.rouse()
}

func (h *Hub) heartbeat(channel *Channel) time.Duration {
	seconds := h.limits.HeartbeatS
	if channel.HeartbeatS != nil {
		seconds = *channel.HeartbeatS
	}
	return time.Duration(seconds * float64(time.Second))
}

// Stop ends every subscription and every wait: the server shuts down.
func (h *Hub) Stop() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.stopping = true
	for _, channel := range h.channels {
		h.finish(channel, Stop)
		channel.wake()
	}
}
