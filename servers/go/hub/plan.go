package hub

import (
	"bytes"
	"encoding/json"
)

// Run names one run of the publisher.
type Run struct {
	Seed   json.RawMessage `json:"seed"`
	Epoch  string          `json:"epoch"`
	BootID string          `json:"boot_id"`
}

func (r Run) equal(other Run) bool {
	return bytes.Equal(r.Seed, other.Seed) && r.Epoch == other.Epoch && r.BootID == other.BootID
}

// Plan is when each message was due.
type Plan struct {
	Run
	Ticks [][2]int64 `json:"ticks"` // id, due in Unix nanoseconds
}

// Plan returns the due times of the messages after since that are held. offsetNS leads from CLOCK_MONOTONIC to Unix
// time.
func (h *Hub) Plan(channel *Channel, since uint64, offsetNS int64) Plan {
	h.mu.Lock()
	defer h.mu.Unlock()
	owed := channel.ring.after(since)
	plan := Plan{h.run, make([][2]int64, len(owed))}
	for number, message := range owed {
		plan.Ticks[number] = [2]int64{int64(message.seq), message.dueNS + offsetNS}
	}
	return plan
}
