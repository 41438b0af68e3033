package hub

import (
	"reflect"
	"testing"
)

func ids(r *ring, cursor uint64) []uint64 {
	found := []uint64{}
	for _, one := range r.after(cursor) {
		found = append(found, one.seq)
	}
	return found
}

func fill(r *ring, from, to uint64) {
	for seq := from; seq <= to; seq++ {
		r.append(seq, 0, make([]byte, 10))
	}
}

func TestTheNewestMessagesAreHeld(t *testing.T) {
	r := ring{limit: 3, budget: &budget{limit: 1 << 20}}
	if r.first() != 1 || len(ids(&r, 0)) != 0 {
		t.Error("an empty ring holds something")
	}
	fill(&r, 1, 5)
	for cursor, want := range map[uint64][]uint64{0: {3, 4, 5}, 3: {4, 5}, 5: {}, 99: {}} {
		if got := ids(&r, cursor); !reflect.DeepEqual(got, want) {
			t.Errorf("after %d: %v", cursor, got)
		}
	}
	if r.first() != 3 || r.last != 5 || r.budget.used != 30 {
		t.Errorf("first %d, last %d, %d bytes", r.first(), r.last, r.budget.used)
	}
	r.clear()
	if r.first() != 6 || r.budget.used != 0 {
		t.Errorf("cleared: first %d, %d bytes", r.first(), r.budget.used)
	}
}

func TestBytesAreBoundedOverAllAndEachRingKeepsItsLast(t *testing.T) {
	shared := &budget{limit: 40}
	one, two := ring{limit: 10, budget: shared}, ring{limit: 10, budget: shared}
	fill(&one, 1, 1)
	fill(&two, 1, 9)
	if got := [][]uint64{ids(&one, 0), ids(&two, 0)}; !reflect.DeepEqual(got, [][]uint64{{1}, {7, 8, 9}}) {
		t.Errorf("held %v", got)
	}
	if shared.used != 40 || len(shared.order) > 4 {
		t.Errorf("%d bytes, %d places", shared.used, len(shared.order))
	}
}

func TestAFiniteStreamIsKeptWhole(t *testing.T) {
	r := ring{finite: true, limit: 2, budget: &budget{limit: 10}}
	fill(&r, 1, 9)
	if len(ids(&r, 0)) != 9 || r.budget.used != 0 {
		t.Errorf("held %v, %d bytes", ids(&r, 0), r.budget.used)
	}
}
