package feed

import "encoding/json"

// Greeting is the body of a Hello frame. Members that this server does not need are ignored.
type Greeting struct {
	Epoch    string   `json:"epoch"` // names one run of the publisher
	BootID   string   `json:"boot_id"`
	Workload Workload `json:"workload"`
}

// Workload is the streams and channels of a scenario (rtbench/workload.py).
type Workload struct {
	Streams     []string          `json:"streams"`
	Seed        json.RawMessage   `json:"seed"` // an integer of any length
	Subscribers int               `json:"subscribers"`
	Pace        []json.RawMessage `json:"pace"`
}

// Address names a channel: its stream, and its index in the stream.
type Address struct {
	Stream string
	Index  int
}

// Channels returns the address of each channel, in the order of the channels' numbers. Broadcast has one channel a
// stream; unicast has one a subscriber, with the streams in turn.
func (w *Workload) Channels() []Address {
	kinds := len(w.Streams)
	count := kinds
	if kinds > 0 && len(w.Pace) > 0 && string(w.Pace[0]) == `"unicast"` {
		count = max(kinds, w.Subscribers)
	}
	all := make([]Address, count)
	for number := range all {
		all[number] = Address{w.Streams[number%kinds], number / kinds}
	}
	return all
}
