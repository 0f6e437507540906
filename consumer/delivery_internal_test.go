package consumer

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/natsasync/natsasync/embedded"
	"github.com/natsasync/natsasync/internal/stream"
	"github.com/natsasync/natsasync/registry"
	"github.com/natsasync/natsasync/task"
)

// idleWorker is a worker that does not run, on a server of its own.
func idleWorker(t *testing.T, slots int, change ...func(*Config)) *Worker {
	t.Helper()
	srv, err := embedded.Start(embedded.Config{Logger: discard})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		_ = srv.Shutdown(ctx)
	})
	var nc *nats.Conn
	for range 10 { // on a busy machine the 2 s are few that a connection may take
		if nc, err = srv.Connect(); err == nil {
			break
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	reg := registry.New()
	registry.Handle(reg, task.Define[string, string]("test.echo"), func(_ context.Context, _ task.Object, in string) (string, error) { return in, nil })
	cfg := Config{Trust: task.TrustBroker, Concurrency: slots, Logger: discard}
	for _, c := range change {
		c(&cfg)
	}
	w, err := New(ctx, js, reg, cfg)
	if err != nil {
		t.Fatal(err)
	}
	w.work, w.stopWork = context.WithCancelCause(context.Background())
	w.books, w.closeBooks = context.WithCancelCause(context.Background())
	w.taking = context.Background()
	t.Cleanup(func() { w.stopWork(nil); w.closeBooks(nil) })
	return w
}

// handed is a delivery as a puller makes it, with the slot that it came with.
func handed(t *testing.T, w *Worker, n string) *delivery {
	t.Helper()
	p := newPuller(w, w.broker.Jobs(), stream.Consumer("default", "free"), w.slots)
	if p.slots.take(1, nil) != 1 {
		t.Fatal("no slot")
	}
	p.out.Add(1)
	m := &nats.Msg{
		Subject: w.broker.Job("default", "free", "anon", "job-1"),
		Reply:   "$JS.ACK.NATSASYNC_JOBS.default_free." + n + ".7." + n + ".1700000000000000000.0",
		Sub:     &nats.Subscription{},
	}
	return w.receive(p, m)
}

// running is an attempt whose function runs.
func running(d *delivery) *attempt {
	a := &attempt{d: d, ctx: d.ctx}
	d.running.Store(a)
	return a
}

func (s *slots) idle() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.free
}

func (s *slots) waiting() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.hungry)
}

func TestTwoWaitsAtOnceTakeOneSlotAgain(t *testing.T) {
	t.Parallel()
	w := idleWorker(t, 2)
	d := handed(t, w, "1")
	a := running(d)
	first, second := a.Yield(), a.Yield()
	if n := w.slots.take(2, nil); n != 2 {
		t.Fatalf("%d slots free while the handler waits, want 2", n)
	}
	ended := make(chan error, 2)
	for _, resume := range []func() error{first, second} {
		go func() { ended <- resume() }()
	}
	// One that waits while the other does is as good as one that waits for a slot.
	for start := time.Now(); w.slots.waiting() < 2 && time.Since(start) < 100*time.Millisecond; {
		runtime.Gosched()
	}
	w.slots.give(2)
	for range 2 {
		if err := <-ended; err != nil {
			t.Errorf("resume: %v", err)
		}
	}
	d.leave(nil)
	if n := w.slots.idle(); n != 2 {
		t.Errorf("%d of 2 slots are free after the job has ended", n)
	}
}

func TestWaitThatOutlivesItsJobTakesNoSlot(t *testing.T) {
	t.Parallel()
	w := idleWorker(t, 2)
	d := handed(t, w, "1")
	resume := running(d).Yield()
	d.leave(nil)
	if err := resume(); err == nil {
		t.Error("a handler that has ended goes on")
	}
	if n := w.slots.idle(); n != 2 {
		t.Errorf("%d of 2 slots are free after the job has ended", n)
	}
}

// A function may go on although its context ended while it waited for a slot: until it
// returns, no other runs in its place.
func TestFunctionThatGoesOnWithoutASlotOwesOne(t *testing.T) {
	t.Parallel()
	w := idleWorker(t, 1)
	d := handed(t, w, "1")
	a := running(d)
	resume := a.Yield()
	if n := w.slots.take(1, nil); n != 1 {
		t.Fatal("no slot is free while the handler waits")
	}
	d.end(errShutdown)
	if err := resume(); !errors.Is(err, errShutdown) {
		t.Errorf("resume: %v", err)
	}
	w.slots.give(1)
	if n := w.slots.take(1, nil); n != 0 {
		t.Error("another job runs beside the function that goes on")
	}
	again := a.Yield()
	if n := w.slots.idle(); n != 1 {
		t.Errorf("%d of 1 slots are free while it waits again", n)
	}
	_ = again()
	d.ended(a)
	d.leave(nil)
	if n := w.slots.idle(); n != 1 {
		t.Errorf("%d of 1 slots are free after the job has ended", n)
	}
}

// What a handler leaves behind has no part in the slot of what its job does next: of a
// batch's next member, or of waiting for what it continues as.
func TestGoroutineThatOutlivesItsHandlerGivesAndTakesNoSlot(t *testing.T) {
	t.Parallel()
	w := idleWorker(t, 2)
	d := handed(t, w, "1")
	a := running(d)
	resume := a.Yield()
	d.ended(a)
	if err := resume(); err == nil || w.slots.idle() != 2 {
		t.Errorf("it took a slot (%v), %d of 2 are free", err, w.slots.idle())
	}
	if err := d.takeSlot(d.ctx, nil); err != nil {
		t.Fatal(err)
	}
	next := running(d)
	resume = a.Yield()
	if n := w.slots.idle(); n != 1 {
		t.Errorf("it gave the next one's slot back: %d of 2 are free", n)
	}
	_ = resume()
	d.ended(next)
	d.leave(nil)
	if n := w.slots.idle(); n != 2 {
		t.Errorf("%d of 2 slots are free after the job has ended", n)
	}
}

// The server may deliver a job again before the worker that gave it back has counted
// it out. That delivery is a new one: whoever gave it back does nothing for it.
func TestDeliveryThatWasGivenBackAdoptsNoOther(t *testing.T) {
	t.Parallel()
	w := idleWorker(t, 4)
	again := make(chan bool, 1)
	var d *delivery
	sub, err := w.broker.Conn().Subscribe("$JS.ACK.>", func(*nats.Msg) {})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sub.Unsubscribe() }()
	d = handed(t, w, "1")
	// d.end runs after the answer went out: it stands for everything that may take its
	// time between the answer and the end of leave.
	end := d.end
	d.end = func(cause error) {
		end(cause)
		next := handed(t, w, "2")
		again <- next != nil
		if next != nil {
			next.leave(nil)
		}
	}
	d.back(0)
	if !<-again {
		t.Error("the delivery that came after the job was given back was swallowed by the one before")
	}
	if n := w.slots.idle(); n != 4 {
		t.Errorf("%d of 4 slots are free", n)
	}
}

func TestDeliveryOfARunningJobIsAdopted(t *testing.T) {
	t.Parallel()
	w := idleWorker(t, 4)
	d := handed(t, w, "1")
	if next := handed(t, w, "2"); next != nil {
		t.Fatal("a second delivery of a running job is handled apart")
	}
	if d.number != 2 || d.count != 2 || !strings.Contains(d.msg.Reply, ".2.7.2.") {
		t.Errorf("the running job goes on under delivery %d of %q", d.number, d.msg.Reply)
	}
	if n := w.slots.idle(); n != 3 {
		t.Errorf("%d of 4 slots are free, want 3", n)
	}
	d.lose(errors.New("gone"))
	third := handed(t, w, "3")
	if third == nil {
		t.Fatal("a job whose lease is lost adopted a delivery")
	}
	third.leave(nil)
	d.leave(nil)
	if n := w.slots.idle(); n != 4 {
		t.Errorf("%d of 4 slots are free, want 4", n)
	}
	if n := w.count(); n != 0 {
		t.Errorf("%d jobs are counted, want 0", n)
	}
}

func TestOlderDeliveryNeverClaimsOverANewerOne(t *testing.T) {
	t.Parallel()
	w := idleWorker(t, 4)
	lane, err := w.broker.Lane(t.Context(), "default", "free")
	if err != nil {
		t.Fatal(err)
	}
	made := lane.Created
	for _, c := range []struct {
		name    string
		created time.Time // of the claim
		number  uint64
		from    time.Time // when the lane was made that handed out the delivery
		mine    uint64
		older   bool
	}{
		{"the claim is of a lane made before", made.Add(-time.Second), 9, made, 1, false},
		{"the claim is of the lane as it was made again", made, 1, made.Add(-time.Second), 9, true},
		{"the claim is of another lane, made later", made.Add(time.Second), 1, made, 9, false},
		{"the claim is of an earlier delivery", made, 3, made, 4, false},
		{"the claim is of this delivery", made, 4, made, 4, false},
		{"the server took its numbers back", made, 5, made, 4, false}, // the lane has delivered nothing
	} {
		d := &delivery{w: w, from: &puller{w: w, created: c.from, queue: "default", lane: "free"}, created: c.from, number: c.mine}
		if got := d.older(&task.Claim{Created: c.created.Truncate(time.Microsecond), Delivery: c.number}); got != c.older {
			t.Errorf("%s: older is %v, want %v", c.name, got, c.older)
		}
	}
}

// An answer that is worked on when its time is over is not told twice.
func TestAnswerIsToldOnce(t *testing.T) {
	t.Parallel()
	w := idleWorker(t, 1)
	told := make(chan error, 2)
	m := &nats.Msg{Subject: w.broker.Note("anon", "job-1"), Data: []byte("x")}
	w.broker.PublishAsync(m, func(_ uint64, err error) {
		told <- err
		time.Sleep(3500 * time.Millisecond) // past the timeout of a request
	})
	if err := <-told; err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-told:
		t.Errorf("it was told a second time: %v", err)
	case <-time.After(4 * time.Second):
	}
}
