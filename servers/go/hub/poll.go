package hub

import "rtbench-go/wire"

// State is what a channel has for a poll.
type State struct {
	wire.Answer
	Failure  *wire.Notice    // why the stream failed for good
	Changed  <-chan struct{} // closed at the next change; nil: there will be none
	Stopping bool
}

// Poll returns what the channel has after the cursor; nil: from now.
func (h *Hub) Poll(channel *Channel, cursor *uint64) State {
	h.mu.Lock()
	defer h.mu.Unlock()
	var state State
	if cursor == nil {
		state.Next = channel.start()
	} else {
		state.Next, state.Gap = channel.resume(*cursor)
	}
	if owed := channel.ring.after(state.Next); len(owed) > 0 {
		state.Messages = make([][]byte, len(owed))
		for number := range owed {
			state.Messages[number] = owed[number].data
		}
		state.Next = owed[len(owed)-1].seq
	}
	state.Retry = channel.advice
	state.Stopping = h.stopping || channel.gone
	switch {
	case channel.final == nil:
		if channel.changed == nil {
			channel.changed = make(chan struct{})
		}
		state.Changed = channel.changed
	case channel.final.Kind == wire.Failure:
		state.Failure = channel.final
	default:
		state.End = true
	}
	return state
}

// Owes tells whether the client has not everything, or asked for what is not there.
func (s *State) Owes() bool {
	return len(s.Messages) > 0 || s.Gap != nil
}

// News tells whether there is something that a client which has every message may not know yet.
func (s *State) News() bool {
	return s.Owes() || s.End || s.Retry != nil
}
