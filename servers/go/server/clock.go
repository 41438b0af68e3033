package server

import (
	"math"

	"golang.org/x/sys/unix"
)

// clockOffset returns CLOCK_REALTIME less CLOCK_MONOTONIC: the tightest of three tries, since the process may be put
// aside in one.
func clockOffset() (offsetNS int64, err error) {
	best := int64(math.MaxInt64)
	for range 3 {
		var before, now, after unix.Timespec
		for _, read := range []struct {
			clock int32
			into  *unix.Timespec
		}{{unix.CLOCK_MONOTONIC, &before}, {unix.CLOCK_REALTIME, &now}, {unix.CLOCK_MONOTONIC, &after}} {
			if err := unix.ClockGettime(read.clock, read.into); err != nil {
				return 0, err
			}
		}
		if took := after.Nano() - before.Nano(); took < best {
			best, offsetNS = took, now.Nano()-before.Nano()-took/2
		}
	}
	return offsetNS, nil
}
