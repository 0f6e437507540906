// Package clock is the wall clock of this process, which a test or the torture can set.
//
// It is for points in time that go to others or come from them. Durations are measured with time.Now and time.Since,
// whose monotonic reading no shift and no correction of the machine's clock touches; leases, timeouts and pauses are
// durations.
package clock

import (
	"sync/atomic"
	"time"
)

var shift atomic.Int64

// Now returns what the wall clock shows, without a monotonic reading.
func Now() time.Time {
	return time.Now().Round(0).Add(time.Duration(shift.Load()))
}

// Shift sets the clock of the whole process off by d from the machine's; 0 sets it right again. What runs sees it
// jump, as when somebody sets the machine's clock.
func Shift(d time.Duration) { shift.Store(int64(d)) }
