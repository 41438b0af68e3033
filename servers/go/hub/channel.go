package hub

import (
	"fmt"

	"rtbench-go/feed"
	"rtbench-go/wire"
)

const beganAgain = "the publisher began again"

// Traits is what a server has to know of a stream. The feed does not say it; the harness's catalogue does.
type Traits struct {
	Finite     bool              `json:"finite"`      // kept whole for late subscribers
	FromStart  bool              `json:"from_start"`  // a subscriber without a cursor gets a finite one from its start
	HeartbeatS *float64          `json:"heartbeat_s"` // its own heartbeat
	Headers    map[string]string `json:"headers"`     // its own response headers (SSE)
}

// Channel is one channel of the workload. The hub's lock guards it; Traits and its address do not change.
type Channel struct {
	Traits
	address     feed.Address
	ring        ring
	advice      *wire.Notice // the retry advice that stands
	final       *wire.Notice // its end or its failure, once the stream is over
	void        uint64       // the last id of the publisher's run before: clients may have cursors up to it
	run         int          // counts the publisher's runs in which there was something
	gone        bool         // the publisher has it no more
	subscribers map[*Subscriber]struct{}
	changed     chan struct{} // closed at the next change; nil while nothing waits for one
}

// query is how a request names the channel.
func (c *Channel) query() string {
	if c.address.Index == 0 {
		return c.address.Stream
	}
	return fmt.Sprintf("%s?channel=%d", c.address.Stream, c.address.Index)
}

// wake wakes the polls that wait for a change.
func (c *Channel) wake() {
	if c.changed != nil {
		close(c.changed)
		c.changed = nil
	}
}

// start returns the id after which a subscriber without a cursor begins.
func (c *Channel) start() uint64 {
	if c.ring.finite && (c.FromStart || c.final != nil) {
		return 0
	}
	return c.ring.last
}

// resume returns the id after which a subscriber with this cursor begins, and the gap before that, if there is one.
func (c *Channel) resume(cursor uint64) (after uint64, gap *wire.Notice) {
	last, before := c.ring.last, c.ring.first()-1
	switch {
	case last < cursor && cursor <= c.void:
		// The cursor is of the publisher's run before: every message of this run is new to the client.
		return before, wire.Gap(1, max(cursor, before), beganAgain)
	case cursor > last:
		return last, wire.Gap(last+1, cursor, "this cursor is from the future")
	case cursor < before:
		return before, wire.Gap(cursor+1, before, "no longer held")
	}
	return cursor, nil
}
