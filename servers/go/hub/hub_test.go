package hub

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"reflect"
	"testing"

	"rtbench-go/feed"
	"rtbench-go/wire"
)

// lines encodes a message as its id and a notice as its kind and fields.
type lines struct{}

func (lines) Message(seq uint64, _ []byte) []byte { return fmt.Append(nil, seq) }
func (lines) Notice(notice *wire.Notice) []byte   { return []byte(notice.Kind + notice.Fields) }

func greeting(epoch string, streams ...string) *feed.Greeting {
	return &feed.Greeting{Epoch: epoch, Workload: feed.Workload{Streams: streams, Seed: []byte("7")}}
}

func tick(seq int, payload string) []byte {
	data := make([]byte, 4, 24+len(payload))
	data = binary.LittleEndian.AppendUint64(data, uint64(seq))
	data = binary.LittleEndian.AppendUint64(data, uint64(1000*seq))
	data = binary.LittleEndian.AppendUint32(data, uint32(len(payload)))
	return append(data, payload...)
}

func publish(t *testing.T, h *Hub, seqs ...int) {
	t.Helper()
	var body []byte
	for _, seq := range seqs {
		body = append(body, tick(seq, "{}")...)
	}
	if err := h.Ticks(body); err != nil {
		t.Fatal(err)
	}
}

func say(t *testing.T, h *Hub, notice string) {
	t.Helper()
	if err := h.Ticks(tick(feed.Notice, notice)); err != nil {
		t.Fatal(err)
	}
}

func started(streams ...string) *Hub {
	finite := Traits{Finite: true, FromStart: true}
	limits := Limits{RingMessages: 3, RingBytes: 1 << 20, BufferBytes: 10, HeartbeatS: 60}
	h := New(lines{}, limits, map[string]Traits{"chat": finite})
	h.Hello(greeting("e1", streams...))
	return h
}

func from(cursor uint64) *uint64 { return &cursor }

// take returns what a subscriber is owed now, and why it ended.
func take(s *Subscriber) (found []string, over Reason) {
	found = []string{}
	for {
		data, _, over := s.next()
		if data == nil {
			return found, over
		}
		found = append(found, string(data))
	}
}

func expect(t *testing.T, s *Subscriber, over Reason, want ...string) {
	t.Helper()
	if got, why := take(s); !reflect.DeepEqual(got, append([]string{}, want...)) || why != over {
		t.Errorf("got %q %q, want %q %q", got, why, want, over)
	}
}

func TestASubscriberReplaysAndGoesLive(t *testing.T) {
	h := started("stocks")
	publish(t, h, 1, 2)
	channel := h.Find("stocks", 0)
	now, all := h.Subscribe(channel, nil, nil), h.Subscribe(channel, from(0), nil)
	publish(t, h, 3) // before the first was asked what it is owed
	expect(t, now, "", "3")
	expect(t, all, "", "1", "2", "3")
	publish(t, h, 2, 3, 4) // a refill repeats
	expect(t, now, "", "4")
	expect(t, h.Subscribe(channel, from(0), nil), "", `gap{"from":1,"to":1,"reason":"no longer held"}`, "2", "3", "4")
	expect(t, h.Subscribe(channel, from(9), nil), "", `gap{"from":5,"to":9,"reason":"this cursor is from the future"}`)
	publish(t, h, 7) // the feed was away for too long
	expect(t, all, "", "4", `gap{"from":5,"to":6,"reason":"no longer held"}`, "7")
	h.Stop()
	expect(t, all, Stop)
	expect(t, h.Subscribe(channel, nil, nil), Stop)
}

func TestAFiniteStreamIsHadWholeThenItsEnd(t *testing.T) {
	h := started("chat")
	channel := h.Find("chat", 0)
	present := h.Subscribe(channel, nil, nil)
	expect(t, present, "")
	publish(t, h, 1, 2, 3, 4, 5)
	say(t, h, `{"control":"end","last":5}`)
	say(t, h, `{"control":"end","last":5}`) // a refill repeats
	all := []string{"1", "2", "3", "4", "5", `end{"last":5}`}
	expect(t, present, End, all...)
	expect(t, h.Subscribe(channel, nil, nil), End, all...)
	expect(t, h.Subscribe(channel, from(4), nil), End, all[4:]...)
	if !h.Over(channel, from(5)) || h.Over(channel, from(4)) || h.Over(channel, nil) {
		t.Error("only a client with the last id has everything")
	}
	if state := h.Poll(channel, from(5)); !state.End || !state.News() || state.Owes() || state.Changed != nil {
		t.Errorf("a poll after the end: %+v", state)
	}
}

func TestAdviceStandsUntilTheNextMessage(t *testing.T) {
	h := started("stocks")
	channel := h.Find("stocks", 0)
	present := h.Subscribe(channel, nil, nil)
	expect(t, present, "")
	waiting := h.Poll(channel, from(0)).Changed
	say(t, h, `{"control":"retry","after_ms":5000,"count":1}`)
	say(t, h, `{"control":"retry","after_ms":5000,"count":1}`)
	<-waiting
	advice := `retry{"after_ms":5000,"count":1}`
	expect(t, present, "", advice)
	expect(t, h.Subscribe(channel, nil, nil), "", advice)
	if state := h.Poll(channel, from(0)); state.Owes() || !state.News() {
		t.Errorf("a poll during the advice: %+v", state)
	}
	publish(t, h, 1)
	say(t, h, `{"control":"failure","error":"no more","last":1}`)
	failure := `failure{"error":"no more","last":1}`
	expect(t, present, Failure, "1", failure)
	expect(t, h.Subscribe(channel, from(0), nil), Failure, "1", failure)
	if state := h.Poll(channel, from(1)); state.Failure == nil || state.Retry != nil || state.End {
		t.Errorf("a poll after the failure: %+v", state)
	}
}

func TestAnotherRunOfThePublisherIsSaid(t *testing.T) {
	h := started("stocks", "metrics")
	channel := h.Find("stocks", 0)
	moved, orphan := h.Subscribe(channel, nil, nil), h.Subscribe(h.Find("metrics", 0), nil, nil)
	expect(t, moved, "")
	expect(t, orphan, "")
	publish(t, h, 1, 2)
	late := h.Subscribe(channel, from(1), nil)
	h.Hello(greeting("e1", "stocks", "metrics")) // the same run: nothing happens
	h.Hello(greeting("e2", "stocks"))
	publish(t, h, 1)
	gap := `gap{"from":1,"to":2,"reason":"the publisher began again"}`
	expect(t, moved, "", "1", "2", gap, "1")
	expect(t, late, "", gap, "1")
	expect(t, orphan, Stop)
	expect(t, h.Subscribe(channel, from(2), nil), "", gap, "1")
	if h.Find("metrics", 0) != nil || h.Names() != "stocks" {
		t.Errorf("there is still %s", h.Names())
	}
	if plan := h.Plan(channel, 0, 5); !reflect.DeepEqual(plan.Ticks, [][2]int64{{1, 1005}}) || plan.Epoch != "e2" {
		t.Errorf("the plan is %v", plan)
	}
}

func TestOneThatWouldHoldTooMuchIsDropped(t *testing.T) {
	h := started("stocks")
	cut := false
	s := h.Subscribe(h.Find("stocks", 0), nil, func() { cut = true })
	expect(t, s, "")
	for seq := 1; seq <= 9; seq++ {
		publish(t, h, 1000+seq) // 4 bytes each: more than its buffer, but it had no turn
	}
	for seq := 1; seq <= 9; seq++ {
		if data, _, _ := s.next(); data == nil {
			t.Fatal("it was dropped before its turn")
		}
	}
	publish(t, h, 1010, 1011, 1012) // a burst while it writes the ninth
	if cut {
		t.Fatal("it was dropped for a burst")
	}
	publish(t, h, 1013) // and that write is still under way
	if !cut {
		t.Fatal("it was not dropped")
	}
	if data, _, over := s.next(); data != nil || over != Slow {
		t.Errorf("it goes on with %q %q", data, over)
	}
}

func TestABrokenConnectionIsLeftAndTheOthersGoOn(t *testing.T) {
	h := started("stocks")
	channel := h.Find("stocks", 0)
	publish(t, h, 1)
	broken := h.Subscribe(channel, from(0), nil)
	failed := func([]byte) error { return errors.New("reset") }
	if why := broken.Relay(context.Background(), failed, nil); why != Gone || len(channel.subscribers) != 0 {
		t.Errorf("%s, %d subscribers", why, len(channel.subscribers))
	}
	gone, leave := context.WithCancel(context.Background())
	leave()
	quiet := h.Subscribe(channel, nil, nil)
	if why := quiet.Relay(gone, nil, nil); why != Gone || len(channel.subscribers) != 0 {
		t.Errorf("%s, %d subscribers", why, len(channel.subscribers))
	}
}

func TestAMalformedFrameIsAnError(t *testing.T) {
	h := started("stocks")
	other := tick(1, "{}")
	other[0] = 1 // there is one channel
	for _, body := range [][]byte{[]byte("torn"), other, tick(feed.Notice, "{}")} {
		if h.Ticks(body) == nil {
			t.Errorf("%q was taken", body)
		}
	}
}
