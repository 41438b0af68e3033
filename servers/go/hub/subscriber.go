package hub

import (
	"context"
	"fmt"
	"os"
	"time"

	"rtbench-go/wire"
)

// Reason is why a subscription ended.
type Reason string

// The reasons.
const (
	End     Reason = wire.End     // the stream is over
	Failure Reason = wire.Failure // the stream failed for good
	Stop    Reason = "stop"       // the server shuts down
	Slow    Reason = "slow"       // it would have held too much, and was cut off
	Gone    Reason = "gone"       // the client left
)

// Subscriber is one push connection: what it is still owed. Its handler calls Relay, which first replays from the ring
// and then writes what the hub queues. The hub's lock guards it.
type Subscriber struct {
	hub     *Hub
	channel *Channel
	at      uint64 // the last id that was replayed
	run     int    // the channel's run that at is of
	live    bool   // it has caught up: the hub queues for it
	queue   [][]byte
	held    int    // bytes queued and being written
	writing int    // bytes being written
	since   uint64 // the feed's frame in which this write was first seen under way; 0: not yet
	due     bool   // a heartbeat is
	late    bool   // this write of a replay was under way at a heartbeat
	timer   *time.Timer
	over    Reason
	wake    chan struct{}
	cut     func() // ends a write that does not return
}

// Relay calls write with everything that the subscriber is owed, in order, and beat once a heartbeat, until the stream
// or the client ends. One goroutine a connection calls it; both functions may block.
func (s *Subscriber) Relay(ctx context.Context, write func([]byte) error, beat func() error) Reason {
	defer s.hub.leave(s)
	// The client's leaving and the heartbeat come as a wake, too: a select would cost more than a receive, and one with
	// a ticker would move its timer in the runtime's heap, both at every message.
	defer context.AfterFunc(ctx, func() { s.hub.left(s) })()
	period := s.hub.heartbeat(s.channel)
	timer := s.beats(period)
	defer timer.Stop()
	for {
		data, due, over := s.next()
		var err error
		switch {
		case data != nil:
			err = write(data)
		case over != "":
			return over
		case due:
			timer.Reset(period)
			err = beat()
		default:
			<-s.wake
		}
		if err != nil {
			s.hub.left(s)
		}
	}
}

// beats starts the heartbeats.
func (s *Subscriber) beats(period time.Duration) *time.Timer {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	s.timer = time.AfterFunc(period, func() { s.hub.beat(s) })
	return s.timer
}

// next returns what is to be written now (nil: nothing), whether a heartbeat is due, and why it is over. The write before
// is done.
func (s *Subscriber) next() (data []byte, due bool, over Reason) {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	s.held -= s.writing
	s.writing, s.since, s.late = 0, 0, false
	if len(s.queue) == 0 && !s.live && s.over == "" {
		s.replay()
	}
	if len(s.queue) == 0 {
		due, s.due = s.due, false
		return nil, due, s.over
	}
	data = s.queue[0]
	s.queue[0] = nil // for the garbage collector
	s.queue = s.queue[1:]
	s.writing = len(data)
	return data, false, ""
}

// replay queues the next held message, or makes the subscriber live in the same step: no message can come in between.
func (s *Subscriber) replay() {
	channel, encoder := s.channel, s.hub.encoder
	if s.hub.stopping || channel.gone {
		s.over = Stop
		return
	}
	if s.run != channel.run {
		s.run, s.at = channel.run, 0
		s.add(encoder.Notice(wire.Gap(1, channel.void, beganAgain)))
	}
	at, gap := channel.resume(s.at) // the ring may have dropped more meanwhile
	if gap != nil {
		s.add(encoder.Notice(gap))
	}
	s.at = at
	if owed := channel.ring.after(at); len(owed) > 0 {
		s.add(owed[0].data)
		s.at = owed[0].seq
		return
	}
	if channel.final != nil {
		s.add(encoder.Notice(channel.final))
		s.over = Reason(channel.final.Kind)
		return
	}
	if channel.advice != nil {
		s.add(encoder.Notice(channel.advice))
	}
	channel.subscribers[s] = struct{}{}
	s.live = true
}

func (s *Subscriber) add(data []byte) {
	s.queue = append(s.queue, data)
	s.held += len(data)
}

// push queues live data, or drops the connection: one that would hold too much while the same write is under way since
// a frame before. One whose turn to write has only not come yet is not slow, whatever was published at once.
func (s *Subscriber) push(data []byte) {
	if s.writing > 0 && s.since == 0 {
		s.since = s.hub.frame
	}
	stuck := s.since != 0 && s.since < s.hub.frame
	if stuck && s.held+len(data) > s.hub.limits.BufferBytes {
		s.drop("it would hold too much")
		return
	}
	s.add(data)
	s.rouse()
}

// drop cuts off a slow consumer, and logs its channel, why, what it held and the count so far.
func (s *Subscriber) drop(why string) {
	s.hub.dropped++
	fmt.Fprintf(os.Stderr, "dropped a slow consumer of %s: %s; it held %d bytes (number %d)\n",
		s.channel.query(), why, s.held, s.hub.dropped)
	s.abandon(Slow)
	s.cut()
}

// abandon ends the subscription at once.
func (s *Subscriber) abandon(why Reason) {
	s.queue = nil
	s.finish(why)
}

// finish ends the subscription once what is queued is written.
func (s *Subscriber) finish(why Reason) {
	delete(s.channel.subscribers, s)
	s.over = why
	s.rouse()
}

// rouse wakes the handler.
func (s *Subscriber) rouse() {
	select {
	case s.wake <- struct{}{}:
	default: // it is awake, or about to be
	}
}
