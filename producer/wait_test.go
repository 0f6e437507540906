package producer_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"

	"github.com/natsasync/natsasync/internal/stream"
	"github.com/natsasync/natsasync/producer"
	"github.com/natsasync/natsasync/task"
)

type waited struct {
	n   int
	err error
}

// wait waits beside the test.
func wait(ctx context.Context, job *producer.Job[int]) <-chan waited {
	done := make(chan waited, 1)
	go func() {
		n, err := job.Wait(ctx)
		done <- waited{n, err}
	}()
	return done
}

func TestWaitReturnsTheResult(t *testing.T) {
	t.Parallel()
	w := start(t, producer.Config{})
	job := enqueue(t, w.client, add.On("", args{40, 2}))
	done := wait(t.Context(), job)
	w.run(t, "default", "default", value(42))
	if got := <-done; got.n != 42 || got.err != nil {
		t.Errorf("got %v", got)
	}
	if n, err := producer.Find[int](w.client, job.ID()).Wait(t.Context()); n != 42 || err != nil {
		t.Errorf("found again: %d, %v", n, err)
	}
	o, err := job.Outcome(t.Context())
	if err != nil || o == nil || o.End != task.Succeeded || o.Worker != "w1" {
		t.Errorf("outcome is %+v, %v", o, err)
	}
}

func TestWaitTellsHowAJobFailed(t *testing.T) {
	t.Parallel()
	w := start(t, producer.Config{})
	job := enqueue(t, w.client, add.On("", args{}))
	w.run(t, "default", "default", failure("unauthorized"))
	_, err := job.Wait(t.Context())
	wantErr(t, err, task.ErrUnauthorized)
	f, ok := errors.AsType[*task.Failure](err)
	if !ok || f.ID != job.ID() || f.Task != "math.add" || f.Attempt != 1 {
		t.Errorf("failure is %+v", f)
	}
}

func TestWaitReturnsOnceTheCallbacksHaveRun(t *testing.T) {
	t.Parallel()
	w := start(t, producer.Config{})
	job := enqueue(t, w.client, add.On("", args{}).OnSuccess(tell))
	done := wait(t.Context(), job)
	e := w.run(t, "default", "default", func(r *task.Record) { value(42)(r); r.Callbacks = true })
	wantState(t, job.Status, task.StateCallbacks)
	o, err := job.Outcome(t.Context())
	if err != nil || o == nil {
		t.Fatalf("the outcome waits for callbacks: %v, %v", o, err)
	}
	wantState(t, producer.Find[task.Raw](w.client, task.CallbacksID(job.ID())).Status, task.StatePending)
	select {
	case got := <-done:
		t.Fatalf("Wait did not wait for callbacks: %v", got)
	case <-time.After(100 * time.Millisecond):
	}
	callbacks := *e
	callbacks.ID, callbacks.Mode, callbacks.Task = task.CallbacksID(e.ID), task.Serial, task.CallbackBatch
	w.end(t, &callbacks, nil)
	if got := <-done; got.n != 42 || got.err != nil {
		t.Errorf("got %v", got)
	}
	wantState(t, job.Status, task.StateCompleted)
}

func TestAWaiterBelievesTheStreamAlone(t *testing.T) {
	t.Parallel()
	w := start(t, producer.Config{})
	job := enqueue(t, w.client, add.On("", args{}))
	e := decode(t, w.pull(t, "default", "default").Data())
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	done := wait(ctx, job)
	forged := &task.Record{Outcome: task.Outcome{ID: e.ID, Task: e.Task, Queue: e.Queue, User: e.User, End: task.Succeeded}}
	value(13)(forged)
	for range 10 {
		if err := w.js.Conn().Publish(w.broker.Record("default", stream.KindSucceeded, alice.Owner(), e.ID), forged.Encode()); err != nil {
			t.Fatal(err)
		}
	}
	if got := <-done; !errors.Is(got.err, context.DeadlineExceeded) {
		t.Errorf("got %v", got)
	}
}

func TestAnUnreadableOutcomeCountsForNothing(t *testing.T) {
	t.Parallel()
	w := start(t, producer.Config{})
	job := enqueue(t, w.client, add.On("", args{}))
	subject := w.broker.Names.Outcome("default", stream.KindSucceeded, alice.Owner(), job.ID())
	if _, err := w.broker.Publish(t.Context(), &nats.Msg{Subject: subject, Data: []byte("\xdf\xff\xff\xff\xff")}); err != nil {
		t.Fatal(err)
	}
	o, err := job.Outcome(t.Context())
	if o != nil || err != nil {
		t.Errorf("outcome is %v, %v", o, err)
	}
	done := wait(t.Context(), job)
	w.run(t, "default", "default", value(42))
	if got := <-done; got.n != 42 || got.err != nil {
		t.Errorf("got %v", got)
	}
}

func TestABatchYieldsTheOutcomesOfItsMembers(t *testing.T) {
	t.Parallel()
	w := start(t, producer.Config{})
	batch := task.CallOf[[]task.Outcome](task.Spec{
		Task: task.SerialBatch, Mode: task.Serial,
		Members: []task.Spec{add.On("", args{1, 1}).Spec(), add.On("", args{2, 2}).Spec()},
	})
	job := enqueue(t, w.client, batch)
	second := producer.Find[int](w.client, task.MemberID(job.ID(), 2))
	wantState(t, second.Status, task.StatePending)
	msg := w.pull(t, "default", "default")
	e := decode(t, msg.Data())
	w.end(t, decode(t, e.Members[0]), value(2))
	w.end(t, decode(t, e.Members[1]), failure("timeout"))
	w.end(t, e, func(r *task.Record) { r.Members = []string{e.ID + ".1", e.ID + ".2"} })
	res, err := job.Wait(t.Context())
	if err != nil || len(res) != 2 {
		t.Fatalf("%d members, %v", len(res), err)
	}
	if n, err := task.Result[int](res[0]); n != 2 || err != nil {
		t.Errorf("first member: %d, %v", n, err)
	}
	_, err = task.Result[int](res[1])
	wantErr(t, err, task.ErrTimeout)
	wantState(t, second.Status, task.StateCompleted)
}

func TestWaitingForNoJobIsAnError(t *testing.T) {
	t.Parallel()
	w := start(t, producer.Config{})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for _, id := range []string{task.NewID(), task.NewID() + ".3"} {
		job := producer.Find[int](w.client, id)
		_, err := job.Wait(ctx)
		wantErr(t, err, producer.ErrNoSuchJob)
		_, err = job.Status(ctx)
		wantErr(t, err, producer.ErrNoSuchJob)
		wantErr(t, job.Cancel(ctx), producer.ErrNoSuchJob)
		if o, err := job.Outcome(ctx); o != nil || err != nil {
			t.Errorf("outcome is %v, %v", o, err)
		}
	}
	for _, id := range []string{"", "a b", "*", ">", "a.*", "a..b", "a.0", "a.x", "é"} {
		_, err := producer.Find[int](w.client, id).Wait(ctx)
		if err == nil || errors.Is(err, producer.ErrNoSuchJob) {
			t.Errorf("id %q: error is %v", id, err)
		}
	}
}

func TestWaitEndsWithItsContext(t *testing.T) {
	t.Parallel()
	w := start(t, producer.Config{})
	job := enqueue(t, w.client, add.On("", args{}))
	stop := errors.New("the shop closes")
	ctx, cancel := context.WithCancelCause(t.Context())
	done := wait(ctx, job)
	cancel(stop)
	if got := <-done; !errors.Is(got.err, stop) {
		t.Errorf("got %v", got)
	}
}

func TestAWaiterSeesThroughALostConnection(t *testing.T) {
	t.Parallel()
	w := start(t, producer.Config{})
	job := enqueue(t, w.client, add.On("", args{}))
	done := wait(t.Context(), job)
	other := connect(t, w.server)
	b, err := stream.Open(t.Context(), other, stream.Config{BindOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	far := &world{server: w.server, js: other, broker: b}
	if err := w.js.Conn().ForceReconnect(); err != nil {
		t.Fatal(err)
	}
	far.run(t, "default", "default", value(42))
	if got := <-done; got.n != 42 || got.err != nil {
		t.Errorf("got %v", got)
	}
}

// host is what a worker gives a handler, as far as waiting is concerned.
type host struct {
	staged          []*task.Envelope
	yields, resumes int
}

func (h *host) Progress(float64, string) {}
func (h *host) Note(string, []byte)      {}
func (h *host) Stage(s task.Spec) (*task.Envelope, error) {
	e, err := s.Seal(task.Sealing{User: alice, Now: time.Now()})
	if err == nil {
		h.staged = append(h.staged, e)
	}
	return e, err
}

func (h *host) Yield() func() error {
	h.yields++
	return func() error { h.resumes++; return nil }
}

func inHandler(t *testing.T, id, lane string, limited bool) (context.Context, *host) {
	h := &host{}
	return task.WithAttempt(t.Context(), &task.Attempt{
		Job: task.Job{ID: id, Queue: "default", User: alice}, Lane: lane, Limited: limited, Host: h,
	}), h
}

func TestAHandlerThatWaitsForItsOwnLaneIsTold(t *testing.T) {
	t.Parallel()
	w := start(t, producer.Config{})
	ctx, slots := inHandler(t, "outer", "default", true)
	job := enqueue(t, w.client, add.On("", args{}))
	_, err := job.Wait(ctx)
	wantErr(t, err, producer.ErrDeadlock)
	_, err = producer.Find[int](w.client, job.ID()).Wait(ctx)
	wantErr(t, err, producer.ErrDeadlock)
	_, err = producer.Find[int](w.client, "outer.cb").Wait(ctx)
	wantErr(t, err, producer.ErrDeadlock)
	if slots.yields != 0 {
		t.Errorf("it gave its slot back %d times", slots.yields)
	}
	w.run(t, "default", "default", value(42))
	if n, err := job.Wait(ctx); n != 42 || err != nil {
		t.Errorf("once it has ended: %d, %v", n, err)
	}
}

func TestAHandlerGivesItsSlotBackWhileItWaits(t *testing.T) {
	t.Parallel()
	w := start(t, producer.Config{})
	for _, lane := range []string{"default", "free"} {
		ctx, slots := inHandler(t, "outer", lane, lane == "default")
		job := enqueue(t, w.client, add.On("", args{}, task.WithoutQuota()))
		done := wait(ctx, job)
		w.run(t, "default", "free", value(42))
		if got := <-done; got.n != 42 || got.err != nil {
			t.Errorf("got %v", got)
		}
		if d := cmp.Diff([]int{1, 1}, []int{slots.yields, slots.resumes}); d != "" && slots.yields+slots.resumes != 0 {
			t.Errorf("yields and resumes: %s", d)
		}
	}
}

func TestWithinQueuesOnlyInAHandler(t *testing.T) {
	t.Parallel()
	w := start(t, producer.Config{})
	if _, err := producer.Enqueue(t.Context(), producer.Within(t.Context()), add.On("", args{})); err == nil {
		t.Error("a call was queued within no handler")
	}
	ctx, inside := inHandler(t, "outer", "default", true)
	job, err := producer.Enqueue(ctx, producer.Within(ctx), add.On("/plone", args{1, 2}))
	if err != nil || len(inside.staged) != 1 || inside.staged[0].ID != job.ID() {
		t.Fatalf("staged %v, %v", inside.staged, err)
	}
	st := wantState(t, job.Status, task.StatePending)
	if st.Task != "math.add" || st.Object != "/plone" {
		t.Errorf("status is %+v", st)
	}
	_, err = job.Wait(ctx)
	wantErr(t, err, producer.ErrStaged)
	_, err = job.OnSuccess(ctx, tell)
	wantErr(t, err, producer.ErrStaged)
	if n := w.jobs(t, "default"); n != 0 {
		t.Errorf("%d jobs were queued", n)
	}
}

func TestAJobQueuedByAJobNamesIt(t *testing.T) {
	t.Parallel()
	w := start(t, producer.Config{})
	ctx, _ := inHandler(t, "outer.3", "free", false)
	job, err := producer.Enqueue(ctx, w.client, add.On("", args{}))
	if err != nil {
		t.Fatal(err)
	}
	st := wantState(t, job.Status, task.StatePending)
	if st.Parent != "outer.3" || st.User != alice {
		t.Errorf("status is %+v", st)
	}
}
