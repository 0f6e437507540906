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
func (d *delivery) yield() (resume func(context.Context) error) {
	d.mu.Lock()
	d.waits++
	d.mu.Unlock()
	d.releaseSlot()
	return func(ctx context.Context) error {
		d.mu.Lock()
		d.waits--
		waits := d.waits
		d.mu.Unlock()
		if waits > 0 {
			return nil
		}
		return d.takeSlot(ctx)
	}
}

// takeSlot waits until the job may run again. A goroutine of a handler may outlive it:
// the delivery has at most one slot, and none once it has ended.
func (d *delivery) takeSlot(ctx context.Context) error {
	d.taking.Lock()
	defer d.taking.Unlock()
	d.mu.Lock()
	has, left := d.slot, d.left
	d.mu.Unlock()
	if has {
		return nil
	}
	if left {
		return errSettled
	}
	if err := d.from.slots.wait(ctx); err != nil {
		return err
	}
	d.mu.Lock()
	left = d.left
	d.slot = !left && d.waits == 0
	keeps := d.slot
	d.mu.Unlock()
	if !keeps {
		d.from.slots.give(1)
	}
	if left {
		return errSettled
	}
	return nil
}

// takePlace reserves a place among those that wait, for a whole job that may come to;
// without one the job goes back. Late callbacks have places of their own, or they could
// keep out the batches they wait for. Members and continuations may always park.
func (d *delivery) takePlace(late bool) bool {
	if !task.Whole(d.env.ID) || d.env.Parent != "" && !late {
		return true
	}
	places := d.w.parked
	if late {
		places = d.w.followers
	}
	select {
	case places <- struct{}{}:
		d.mu.Lock()
		d.place = places
		d.mu.Unlock()
		return true
	default:
		d.back(time.Second)
		return false
	}
}
