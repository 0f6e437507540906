package consumer

import (
	"context"
	"errors"
	"testing"
	"time"
)

// A lease that was not confirmed for two thirds of its time is lost: the handler's
// context ends with that cause, and nothing is answered, renewed or written after it.
func TestLeaseIsLostAfterTwoThirdsWithoutAnswer(t *testing.T) {
	t.Parallel()
	w := idleWorker(t, 2)
	d := handed(t, w, "1")
	w.broker.Conn().Close()
	d.renew()
	if err := d.isLost(); err != nil {
		t.Fatalf("lost after one renewal without an answer: %v", err)
	}
	d.mu.Lock()
	d.lease.confirmed = time.Now().Add(-w.broker.Lease()*2/3 - time.Millisecond)
	d.mu.Unlock()
	d.renew()
	if err := d.isLost(); !errors.Is(err, errLeaseLost) {
		t.Fatalf("error is %v, want %v", err, errLeaseLost)
	}
	if cause := context.Cause(d.ctx); !errors.Is(cause, errLeaseLost) {
		t.Errorf("the handler's context ended with %v", cause)
	}
	ctx, done := d.bookkeeping()
	defer done()
	select {
	case <-ctx.Done():
	case <-time.After(5 * time.Second):
		t.Error("bookkeeping goes on without a lease")
	}
	if due := w.due(time.Now().Add(time.Hour)); len(due) > 0 {
		t.Error("a lost lease is renewed")
	}
	d.leave(nil)
	if n := w.slots.idle(); n != 2 {
		t.Errorf("%d of 2 slots are free", n)
	}
}

func TestLeaseIsRenewedAtAThird(t *testing.T) {
	t.Parallel()
	w := idleWorker(t, 1)
	d := handed(t, w, "1")
	defer d.leave(nil)
	third := w.broker.Lease() / 3
	if due := w.due(time.Now().Add(third - time.Second)); len(due) != 0 {
		t.Error("it is due before a third of the lease is over")
	}
	if due := w.due(time.Now().Add(third + time.Second)); len(due) != 1 || due[0] != d {
		t.Errorf("%d are due after a third of the lease, want 1", len(due))
	}
	if due := w.due(time.Now().Add(third + time.Second)); len(due) != 0 {
		t.Error("it is renewed twice at once")
	}
}
