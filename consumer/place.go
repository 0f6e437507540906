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

// takeSlot waits until the job may run again. A handler may wait for several jobs at
// once, and one of its goroutines may outlive it: the delivery has at most one slot, and
// none once it has ended.
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
	d.slot = !left
	d.mu.Unlock()
	if left {
		d.from.slots.give(1)
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
