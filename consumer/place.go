package consumer

import (
	"context"
	"time"

	"github.com/natsasync/natsasync/task"
)

// releaseSlot lets another job run while this one waits or settles.
func (d *delivery) releaseSlot() {
	d.mu.Lock()
	had := d.slot
	d.slot = false
	d.mu.Unlock()
	if had {
		d.from.slots.give(1)
	}
}

// yield gives the slot back while a handler waits. One that waits for several jobs at
// once has none until it waits for nothing any more: what it waits for may need that slot.
// It goes on with a slot only, however soon the wait itself has ended.
func (d *delivery) yield(a *attempt) (resume func() error) {
	d.mu.Lock()
	a.waits++
	had := !a.over() && (d.slot || a.owes)
	if had {
		d.slot, a.owes = false, false
	}
	d.mu.Unlock()
	if had {
		d.from.slots.give(1)
	}
	return func() error {
		d.mu.Lock()
		a.waits--
		waits := a.waits
		d.mu.Unlock()
		if waits > 0 {
			return nil
		}
		return d.takeSlot(a.ctx, a)
	}
}

// takeSlot waits until a may go on, or the next attempt may begin if a is nil. A goroutine
// of a handler may outlive it: the delivery has at most one slot, and none once it has ended.
func (d *delivery) takeSlot(ctx context.Context, a *attempt) error {
	d.taking.Lock()
	defer d.taking.Unlock()
	d.mu.Lock()
	has, over := d.slot, d.left || d.running.Load() != a
	d.mu.Unlock()
	switch {
	case over:
		return errSettled
	case has:
		return nil
	}
	if err := d.from.slots.wait(ctx); err != nil {
		d.owe(a)
		return err
	}
	d.mu.Lock()
	over = d.left || d.running.Load() != a
	d.slot = !over && (a == nil || a.waits == 0)
	keeps := d.slot
	d.mu.Unlock()
	if !keeps {
		d.from.slots.give(1)
	}
	if over {
		return errSettled
	}
	return nil
}

// owe counts a slot for a function that may go on although its context ended while it
// waited for one.
func (d *delivery) owe(a *attempt) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if a == nil || a.over() || a.owes || a.waits > 0 {
		return
	}
	a.owes = true
	d.from.slots.owe()
}

// ended says that the function of a has returned: it owes nothing any more, and what it
// has left behind neither gives nor takes a slot.
func (d *delivery) ended(a *attempt) {
	d.mu.Lock()
	owed := a.owes
	a.owes = false
	d.running.Store(nil)
	d.mu.Unlock()
	if owed {
		d.from.slots.give(1)
	}
}

// takePlace reserves a place among those that wait, for a whole job that may come to;
// without one the job goes back, and comes again. Late callbacks have places of their own, or they could
// keep out the batches they wait for. Members and continuations may always park.
func (d *delivery) takePlace(late bool) bool {
	if !task.Whole(d.env.ID) || d.env.Parent != "" && !late {
		return true
	}
	places := d.w.parked
	if late {
		places = d.w.followers
	}
	if !places.take(d.at.Owner) {
		d.back(time.Second)
		return false
	}
	d.mu.Lock()
	d.place, d.displaced = places, make(chan struct{})
	d.mu.Unlock()
	return true
}

// displace takes the place of a parked job, which then goes back. It is false for one that
// is about to give it.
func (d *delivery) displace() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.place == nil {
		return false
	}
	d.place = nil
	close(d.displaced)
	return true
}

// parkInPlace offers the place of a job that waits to others who have none, until the
// wait is over.
func (d *delivery) parkInPlace() (over func()) {
	d.mu.Lock()
	places := d.place
	d.mu.Unlock()
	if places == nil {
		return func() {}
	}
	places.park(d.at.Owner, d)
	return func() { places.unpark(d.at.Owner, d) }
}
