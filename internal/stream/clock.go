package stream

import (
	"context"
	"time"

	"github.com/natsasync/natsasync/internal/clock"
	"github.com/natsasync/natsasync/internal/planted"
)

const (
	// ClockOff is how far this machine's clock may be off the server's before it is worth a word.
	ClockOff = time.Second
	// clockNoise is how far two readings differ although both clocks go right.
	clockNoise = 50 * time.Millisecond
	// clockSet is how far the wall clock and the time that passed may part before somebody must have set the clock, or
	// the machine slept: the two look the same from here.
	clockSet = 250 * time.Millisecond
	// slowAnswer says too little about what time it is.
	slowAnswer = time.Second
)

// reading is what was last known of the server's clock.
type reading struct {
	wall time.Time     // what this machine's clock showed
	mono time.Time     // the same moment, to measure from
	off  time.Duration // of the server's clock from this machine's
}

// set is by how much the wall clock was set since the reading.
func (r *reading) set(wall time.Time) time.Duration {
	return wall.Sub(r.wall) - time.Since(r.mono)
}

// Now returns the server's time, as far as its answers have told it: where this machine's clock is right, that of this
// machine. What is written to the wire, or compared with a time from there, is taken from here. A clock that is set
// meanwhile changes nothing. It does not wait and is safe for concurrent use.
func (b *Broker) Now() time.Time {
	wall, r := clock.Now(), b.clock.Load()
	if r == nil || planted.Bug == planted.OwnClock {
		return wall
	}
	if by := r.set(wall); by.Abs() > clockSet {
		wall = wall.Add(-by)
	}
	return wall.Add(r.off)
}

// SureNow returns the server's time as Now does, for decisions: it asks the server if this machine's clock was set, or
// the machine slept, since its last answer.
func (b *Broker) SureNow(ctx context.Context) time.Time {
	if r := b.clock.Load(); r != nil && r.set(clock.Now()).Abs() > clockSet {
		once, cancel := context.WithTimeout(ctx, slowAnswer)
		_, _ = b.info(once, b.Jobs(), "") // which reads the clock; without an answer the time that passed counts
		cancel()
	}
	return b.Now()
}

// readClock takes the server's time from an answer to what was asked at a moment. What differs no more than the answer
// took changes nothing, so that a clock that is right stays as it is.
func (b *Broker) readClock(asked, server time.Time) {
	wall, mono := clock.Now(), time.Now()
	took := mono.Sub(asked)
	before := b.clock.Load()
	if server.IsZero() || took > slowAnswer && before != nil {
		return
	}
	r := &reading{wall: wall, mono: mono}
	if before != nil {
		r.off = before.off
	}
	if off := server.Add(took / 2).Sub(wall); (off - r.off).Abs() > took+clockNoise {
		r.off = off
	}
	b.clock.Store(r)
	off := r.off.Abs() > ClockOff
	if b.clockTold.Swap(off) != off && off {
		b.logger.Warn("the clock of this machine is off: jobs go by the server's (let both follow one time server)",
			"clock", wall.UTC().Format(time.RFC3339), "server", wall.Add(r.off).UTC().Format(time.RFC3339), "off", (-r.off).Round(time.Millisecond).String())
	}
}
