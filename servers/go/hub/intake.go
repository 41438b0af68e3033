package hub

import (
	"rtbench-go/feed"
	"rtbench-go/wire"
)

// Hello takes the channels of a publisher that has (re)connected. Another epoch is another run of it: ids begin again,
// and subscribers get a gap notice.
func (h *Hub) Hello(greeting *feed.Greeting) {
	h.mu.Lock()
	defer h.mu.Unlock()
	run := Run{greeting.Workload.Seed, greeting.Epoch, greeting.BootID}
	if run.equal(h.run) {
		return
	}
	h.run = run
	before := make(map[feed.Address]*Channel, len(h.channels))
	for _, channel := range h.channels {
		before[channel.address] = channel
	}
	h.budget = budget{limit: h.limits.RingBytes}
	h.channels, h.streams = nil, map[string][]*Channel{}
	for _, address := range greeting.Workload.Channels() {
		channel := before[address]
		delete(before, address)
		if channel == nil {
			channel = &Channel{address: address, subscribers: map[*Subscriber]struct{}{}, Traits: h.traits[address.Stream]}
		}
		if channel.ring.last > 0 {
			channel.run++
		}
		channel.void = max(channel.void, channel.ring.last)
		channel.advice, channel.final = nil, nil
		channel.ring = ring{finite: channel.Finite, limit: h.limits.RingMessages, budget: &h.budget}
		h.channels = append(h.channels, channel)
		h.streams[address.Stream] = append(h.streams[address.Stream], channel)
		if channel.void > 0 {
			h.send(channel, h.encoder.Notice(wire.Gap(1, channel.void, beganAgain)))
		}
		channel.wake()
	}
	for _, channel := range before {
		channel.gone = true
		h.finish(channel, Stop)
	}
}

// Ticks publishes the ticks and notices of one frame.
func (h *Hub) Ticks(body []byte) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.frame++
	for len(body) > 0 {
		var tick feed.Tick
		var err error
		if tick, body, err = feed.Cut(body); err != nil {
			return err
		}
		if tick.Channel >= len(h.channels) {
			return feed.ErrMalformed
		}
		channel := h.channels[tick.Channel]
		if tick.Seq != feed.Notice {
			h.publish(channel, tick)
		} else if err = h.say(channel, tick.Payload); err != nil {
			return err
		}
	}
	return nil
}

// Refilled is called when the publisher has sent everything that it holds.
func (h *Hub) Refilled() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.filled {
		h.filled = true
		close(h.Live)
	}
}

func (h *Hub) publish(channel *Channel, tick feed.Tick) {
	last := channel.ring.last
	if tick.Seq <= last {
		return // the refill repeats it
	}
	if last > 0 && tick.Seq > last+1 {
		// The feed was away for longer than the publisher's ring holds.
		channel.ring.clear()
		h.send(channel, h.encoder.Notice(wire.Gap(last+1, tick.Seq-1, "no longer held")))
	}
	data := h.encoder.Message(tick.Seq, tick.Payload)
	channel.ring.append(tick.Seq, tick.DueNS, data)
	channel.advice = nil
	h.send(channel, data)
	channel.wake()
}

// say passes on a channel's notice. A repetition after a refill changes nothing.
func (h *Hub) say(channel *Channel, payload []byte) error {
	notice, err := wire.ParseNotice(payload)
	if err != nil {
		return err
	}
	repeated := channel.advice != nil && *channel.advice == *notice
	if channel.final != nil || repeated {
		return nil
	}
	h.send(channel, h.encoder.Notice(notice))
	if notice.Kind == wire.Retry {
		channel.advice = notice
	} else {
		channel.advice, channel.final = nil, notice
		h.finish(channel, Reason(notice.Kind))
	}
	channel.wake()
	return nil
}

// send queues data for every live subscriber.
func (h *Hub) send(channel *Channel, data []byte) {
	for subscriber := range channel.subscribers {
		subscriber.push(data)
	}
}

func (h *Hub) finish(channel *Channel, why Reason) {
	for subscriber := range channel.subscribers {
		subscriber.finish(why)
	}
}
