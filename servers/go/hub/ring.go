package hub

// held is one message that can be sent again.
type held struct {
	seq   uint64
	dueNS int64
	data  []byte // encoded
}

// ring holds the newest messages of a channel: consecutive ids that end with last. A finite stream is kept whole.
type ring struct {
	held   []held
	last   uint64
	finite bool
	limit  int // messages
	budget *budget
}

// append keeps the next message and drops the oldest ones over the limits.
func (r *ring) append(seq uint64, dueNS int64, data []byte) {
	r.held = append(r.held, held{seq, dueNS, data})
	r.last = seq
	switch {
	case r.finite:
	case len(r.held) > r.limit:
		r.budget.changed(len(data) - r.drop())
	default:
		r.budget.order = append(r.budget.order, r)
		r.budget.changed(len(data))
	}
}

// drop drops the oldest message and returns its size.
func (r *ring) drop() int {
	size := len(r.held[0].data)
	r.held[0] = held{} // for the garbage collector
	r.held = r.held[1:]
	return size
}

// clear drops everything. The next message may have any higher id.
func (r *ring) clear() {
	for len(r.held) > 0 {
		size := r.drop()
		if !r.finite {
			r.budget.used -= size
		}
	}
}

// first is the oldest id held; one past the last when the ring is empty.
func (r *ring) first() uint64 {
	if len(r.held) == 0 {
		return r.last + 1
	}
	return r.held[0].seq
}

// after returns the held messages with a higher id than cursor, the oldest first. They are valid until the ring changes.
func (r *ring) after(cursor uint64) []held {
	if cursor >= r.last {
		return nil
	}
	if missing := r.last - cursor; missing < uint64(len(r.held)) {
		return r.held[uint64(len(r.held))-missing:]
	}
	return r.held
}

// budget is the limit of bytes over all rings. Over it, the ring that grew longest ago drops a message first.
//
// A ring has one place in order for each message that it got without dropping another.
type budget struct {
	limit int
	used  int
	order []*ring
}

// changed counts size more bytes and drops what is over the limit.
func (b *budget) changed(size int) {
	b.used += size
	for b.used > b.limit && len(b.order) > 0 {
		oldest := b.order[0]
		b.order[0] = nil
		b.order = b.order[1:]
		if len(oldest.held) > 1 {
			b.used -= oldest.drop()
		}
	}
}
