package integration_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/natsasync/natsasync/batch"
	"github.com/natsasync/natsasync/consumer"
	"github.com/natsasync/natsasync/hooks"
	"github.com/natsasync/natsasync/producer"
	"github.com/natsasync/natsasync/registry"
	"github.com/natsasync/natsasync/task"
)

// The ten subtlest semantics of the original: each test fails on the naive reading.

// TestSubtle01 is about three points at which a job is done: its outcome is recorded, its
// callbacks have run, it is completed. The outcome is there at the first, the lane is free
// then too, and Wait returns at the last; handlers still hear in the order of the queue.
func TestSubtle01(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	var ran notes
	work, broken, after := s.written("app.work", &ran), s.broken("app.broken"), s.door("app.after")
	heard := make(chan string, 10)
	tell := func(_ context.Context, o task.Outcome) error {
		heard <- string(o.End)
		return nil
	}
	s.hear(hooks.Handlers{Success: tell, Failure: tell}, hooks.Config{Durable: "mailer"})
	s.Work(s.reg)
	job := put(s, work.On(folder, "42").OnSuccess(after.Definition).OnSuccess(work))
	second := put(s, broken.On(folder, "FooBared"))
	arrives(s, after.in)
	waited := make(chan []string, 1)
	go func() {
		if _, err := job.Wait(s.ctx); err != nil {
			t.Error(err)
		}
		waited <- ran.all()
	}()
	failureOf(s, second) // the lane is free although callbacks run
	s.same("the outcome, while callbacks run", task.Succeeded, outcomeOf(s, job).End)
	s.stateIs(task.StateCallbacks, job.Status)
	s.same("waits that are over", 0, len(waited))
	after.open()
	s.same("what the callbacks had done when Wait returned", []string{"42", "42"}, arrives(s, waited))
	s.stateIs(task.StateCompleted, job.Status)
	s.same("events", []string{"succeeded", "failed"}, []string{arrives(s, heard), arrives(s, heard)})
}

// TestSubtle02 is about queueing as a part of the caller's unit of work: the caller sees
// it before the commit and nobody else does, what is added belongs to it, and one call
// that cannot be queued takes all with it.
func TestSubtle02(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	var ran notes
	work := s.written("app.work", &ran)
	put(s, work.On(folder, "first", task.WithID("taken")))
	tx := s.Client.Begin()
	a, err := producer.Enqueue(s.ctx, tx, work.On(folder, "a"))
	s.must(err)
	_, err = producer.Enqueue(s.ctx, tx, work.On(folder, "again", task.WithID("taken")))
	s.must(err)
	b, err := producer.Enqueue(s.ctx, tx, work.On(folder, "b"))
	s.must(err)
	n, err := tx.Queue("default").Len(s.ctx)
	s.must(err)
	s.same("jobs that the Tx sees, and others", 4, n)
	s.lenIs("default", 1)
	s.stateIs(task.StatePending, b.Status)
	if err := tx.Commit(s.ctx); err == nil {
		t.Error("a Tx with an ID that is taken was committed")
	}
	s.lenIs("default", 1)
	_, err = s.Client.Status(s.ctx, a.ID())
	s.wantErr(err, producer.ErrNoSuchJob)
	tx.Abort()

	tx = s.Client.Begin()
	for i := range 3 {
		job, err := producer.Enqueue(s.ctx, tx, work.On(folder, fmt.Sprint(i)))
		s.must(err)
		_, err = job.OnSuccess(s.ctx, work)
		s.must(err)
	}
	s.must(tx.Commit(s.ctx))
	s.must(tx.Commit(s.ctx))
	s.lenIs("default", 4)
	s.Work(s.reg)
	s.drain()
	s.same("what ran", 7, len(ran.all()))
}

// TestSubtle03 is about failure as a value: the job is completed, waiting returns the
// failure, the outcome has it, and nothing is tried again: neither by the worker nor by the
// broker, also when the worker stops and another comes.
func TestSubtle03(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	var n, passing atomic.Int32
	fail := counted(s, "app.fail", &n, errors.New("FooBared"))
	pass := counted(s, "app.pass", &passing, task.Retryable(errors.New("conflict")))
	stop := s.WorkWith(s.reg, consumer.Config{Logger: quietly})
	job := put(s, fail.On(folder, 99))
	s.same("message", "FooBared", failureOf(s, job).Message)
	s.stateIs(task.StateCompleted, job.Status)
	stop()
	s.WorkWith(s.reg, consumer.Config{Logger: quietly})
	s.drain()
	s.same("runs", int32(1), n.Load())
	o := outcomeOf(s, job)
	s.same("outcome", []any{task.Failed, "FooBared", 1}, []any{o.End, o.Failure.Message, o.Attempt})
	failureOf(s, put(s, pass.On(folder, 99)))
	s.same("attempts of the passing class", int32(5), passing.Load())
}

// TestSubtle04 is about errors, interruptions and shutdowns as separate accounts: with two
// attempts allowed, one error, one worker that dies and one that is stopped leave the
// second attempt open; in its place, before the job behind it.
func TestSubtle04(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	var ran notes
	var runs atomic.Int32
	in := make(chan int32, 10)
	work := task.Define[task.None, int]("app.work", task.Retry(task.Policy{Attempts: 2}))
	registry.Handle(s.reg, work, func(ctx context.Context, _ task.Object, _ task.None) (int, error) {
		job, _ := task.JobFrom(ctx)
		n := runs.Add(1)
		ran.add(fmt.Sprintf("run %d, attempt %d", n, job.Attempt))
		in <- n
		switch n {
		case 1:
			return 0, errors.New("an error")
		case 2, 3:
			<-ctx.Done()
			return 0, ctx.Err()
		}
		return job.Attempt, nil
	})
	next := s.written("app.next", &ran)
	first := s.doomed(s.reg, consumer.Config{})
	job := put(s, work.On(folder, task.None{}))
	put(s, next.On(folder, "next"))
	for arrives(s, in) != 2 {
	}
	first.kill()
	stop := s.WorkWith(s.reg, consumer.Config{Logger: quietly, ShutdownTimeout: 10 * time.Millisecond})
	for arrives(s, in) != 3 {
	}
	stop()
	s.WorkWith(s.reg, consumer.Config{Logger: quietly})
	s.same("attempt", 2, resultOf(s, job))
	s.drain()
	s.same("order", []string{"run 1, attempt 1", "run 2, attempt 2", "run 3, attempt 2", "run 4, attempt 2", "next"}, ran.all())
	claims := s.claims(job.ID())
	s.same("interruptions", 1, claims[len(claims)-1].Interruptions)
}

// TestSubtle05 is about batches: a member's failure neither stops nor fails one, members
// hold no quota, handlers hear one success, and a batch that waits holds no worker: with one
// slot, batches in batches end.
func TestSubtle05(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	var ran notes
	work, broken := s.written("app.work", &ran), s.broken("app.broken")
	heard := make(chan string, 10)
	tell := func(_ context.Context, o task.Outcome) error {
		heard <- o.ID + " " + string(o.End)
		return nil
	}
	s.hear(hooks.Handlers{Success: tell, Failure: tell, Cancelled: tell}, hooks.Config{})
	s.WorkWith(s.reg, consumer.Config{Concurrency: 1})
	deep := batch.Parallel(
		batch.Parallel(work.On(folder, "a"), broken.On(folder, "no")),
		batch.Serial(work.On(folder, "b"), batch.Parallel(work.On(folder, "c"), work.On(folder, "d"))),
	)
	jobs := []*producer.Job[batch.Results]{
		put(s, deep), put(s, deep.With(task.WithoutQuota())), put(s, batch.Serial()), put(s, batch.Parallel()),
	}
	res := resultOf(s, jobs[0])
	inner, err := task.Result[batch.Results](res[0])
	s.must(err)
	s.same("a member's failure", "no", inner[1].Failure.Message)
	s.same("members", []int{2, 0, 0}, []int{len(resultOf(s, jobs[1])), len(resultOf(s, jobs[2])), len(resultOf(s, jobs[3]))})
	s.drain()
	want := map[string]bool{}
	got := map[string]bool{}
	for _, j := range jobs {
		want[j.ID()+" succeeded"] = true
		got[arrives(s, heard)] = true
	}
	s.same("events", want, got)
	s.same("further events, and runs", []int{0, 8}, []int{len(heard), len(ran.all())})
	_, err = producer.Enqueue(s.ctx, s.Client, batch.Serial(work.On(folder, "x", task.WithQuota("default"))))
	if err == nil {
		t.Error("a member with a quota was queued")
	}
}

// TestSubtle06 is about callbacks as jobs with other rules: they are not behind the queue's
// backlog nor under its quota, they see one outcome, and what happens to them, or is added
// late, never makes the job run again.
func TestSubtle06(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	var n, after atomic.Int32
	work := counted(s, "app.work", &n, nil)
	hold := s.door("app.hold")
	flaky := counted(s, "app.flaky", &after, task.Retryable(errors.New("conflict")))
	s.WorkWith(s.reg, consumer.Config{Logger: quietly})
	job := put(s, work.On(folder, 0).Then(flaky.On(folder, 3), flaky.On(folder, 0)))
	holding := put(s, hold.On(folder, "the lane is full"))
	backlog := put(s, hold.On(folder, "behind it"))
	arrives(s, hold.in)
	s.same("result, with the queue full", int32(1), resultOf(s, job))
	late, err := job.OnDone(s.ctx, task.Define[task.Outcome, task.None]("app.late"))
	s.must(err)
	registered := registry.New()
	var got notes
	registry.Handle(registered, task.Define[task.Outcome, task.None]("app.late"), func(_ context.Context, _ task.Object, o task.Outcome) (task.None, error) {
		got.add(o.ID + " " + string(o.End))
		return task.None{}, nil
	})
	s.WorkWith(registered, consumer.Config{Logger: quietly})
	s.becomes(task.StateCompleted, late.Status)
	s.same("the outcome that a late callback got", []string{job.ID() + " succeeded"}, got.all())
	s.stateIs(task.StatePending, backlog.Status)
	hold.open()
	hold.open()
	resultOf(s, holding)
	resultOf(s, backlog)
	s.same("runs of the job, and of its callbacks", []int32{1, 5}, []int32{n.Load(), after.Load()})
}

// TestSubtle07 is about "the same user, with the same roles": an identity is stored, no
// rights: what was granted when queueing counts for nothing if it is taken away, what is
// granted later counts, and a user who is gone fails the job. A callback is checked anew.
func TestSubtle07(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	r := &rights{of: map[string]map[string]bool{}}
	create := guarded(s, r)
	after := task.Define[string, string]("doc.after")
	registry.Handle(s.reg, after, func(ctx context.Context, o task.Object, _ string) (string, error) {
		return task.UserFrom(ctx).ID, registry.Check(ctx, "Submit", o)
	})
	revoke := task.Define[string, task.None]("admin.revoke")
	registry.Handle(s.reg, revoke, func(_ context.Context, _ task.Object, id string) (task.None, error) {
		r.set(id, "Add content")
		return task.None{}, nil
	})
	user := func(id string) task.User { return task.User{Realm: editor.Realm, ID: id} }
	r.set("demoted", "Add content")
	r.set("promoted")
	r.set("deleted", "Add content")
	r.set("editor", "Add content", "Submit")
	demoted := putAs(s, user("demoted"), create.On(folder, false))
	promoted := putAs(s, user("promoted"), create.On(folder, false))
	deleted := putAs(s, user("deleted"), create.On(folder, false))
	followed := put(s, create.On(folder, true).OnSuccess(after).Then(revoke.On(folder, "editor")).OnSuccess(after))
	r.set("demoted")
	r.set("promoted", "Add content")
	r.remove("deleted")
	s.Work(s.reg)
	s.wantErr(failureOf(s, demoted), task.ErrUnauthorized)
	s.same("who got the right later", "promoted", resultOf(s, promoted))
	s.wantErr(failureOf(s, deleted), task.ErrNoSuchUser)
	resultOf(s, followed)
	var ends []task.End
	for i := range 3 {
		ends = append(ends, s.stateOf(producer.Find[task.Raw](s.Client, task.MemberID(followed.ID()+".cb", i+1))).Outcome.End)
	}
	s.same("callbacks before and after the right was taken away", []task.End{task.Succeeded, task.Succeeded, task.Failed}, ends)
}

// TestSubtle08 is about events: they come once the result is durable, also to a process
// that is no worker, for whole jobs alone; a handler that fails hurts neither the job nor
// its callbacks nor other handlers.
func TestSubtle08(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	var ran notes
	work := s.written("app.work", &ran)
	heard := make(chan string, 20)
	s.hear(hooks.Handlers{Success: func(_ context.Context, o task.Outcome) error {
		panic("a handler panics for " + o.ID)
	}}, hooks.Config{Durable: "broken"})
	s.hear(hooks.Handlers{Success: func(_ context.Context, o task.Outcome) error {
		if st, err := s.Client.Status(s.ctx, o.ID); err != nil || st.Outcome == nil {
			heard <- fmt.Sprint("not recorded: ", err)
		}
		heard <- o.Task
		return nil
	}}, hooks.Config{Durable: "sound"})
	s.Work(s.reg)
	job := put(s, work.On(folder, "1").OnSuccess(work))
	resultOf(s, job)
	resultOf(s, put(s, batch.Serial(work.On(folder, "2"), work.On(folder, "3")).Then(work.On(folder, "4"))))
	late, err := job.OnSuccess(s.ctx, work)
	s.must(err)
	s.becomes(task.StateCompleted, late.Status)
	resultOf(s, put(s, work.On(folder, "5")))
	got := []string{arrives(s, heard), arrives(s, heard), arrives(s, heard), arrives(s, heard)}
	s.same("events: the job, the batch, the callback that is a job of its own, the last job", []string{"app.work", "batch.serial", "app.work", "app.work"}, got)
	s.same("further events, and runs", []int{0, 7}, []int{len(heard), len(ran.all())})
}

// TestSubtle09 is about order and quotas: no quota named is default and not none, order
// holds in a lane of one alone, a name is checked when queueing, and a job that waits for
// one of its own full lane is told so instead of waiting for ever.
func TestSubtle09(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.must(s.Client.Queue("default").SetQuota(s.ctx, "two", 2))
	var ran notes
	work, hold := s.written("app.work", &ran), s.door("app.hold")
	wait := task.Define[task.None, string]("app.wait")
	registry.Handle(s.reg, wait, func(ctx context.Context, _ task.Object, _ task.None) (string, error) {
		same, err := producer.Enqueue(ctx, s.Client, work.On(folder, "same lane"))
		if err != nil {
			return "", err
		}
		if _, err = same.Wait(ctx); !errors.Is(err, producer.ErrDeadlock) {
			return "", fmt.Errorf("waiting in the same lane gave %w", err)
		}
		other, err := producer.Enqueue(ctx, s.Client, work.On(folder, "no lane", task.WithoutQuota()))
		if err != nil {
			return "", err
		}
		return other.Wait(ctx)
	})
	s.WorkWith(s.reg, consumer.Config{Concurrency: 1})
	s.same("waiting with the only slot of the only worker", "no lane", resultOf(s, put(s, wait.On(folder, task.None{}))))
	s.drain()
	s.Work(s.reg)
	ran = notes{}
	first := put(s, hold.On(folder, "1", task.WithQuota("two")))
	arrives(s, hold.in)
	overtakes := put(s, work.On(folder, "2", task.WithQuota("two")))
	resultOf(s, overtakes) // a quota of 2 promises no order
	s.stateIs(task.StateActive, first.Status)
	hold.open()
	resultOf(s, first)
	for i := range 30 {
		put(s, work.On(folder, fmt.Sprint(i)))
	}
	s.drain()
	want := []string{"2"}
	for i := range 30 {
		want = append(want, fmt.Sprint(i))
	}
	s.same("order in a lane of one", want, ran.all())
	_, err := producer.Enqueue(s.ctx, s.Client, work.On(folder, "x", task.WithQuota("three")))
	s.wantErr(err, producer.ErrNoSuchQuota)
}

// TestSubtle10 is about the start deadline: it counts from when the job became due, not
// from queueing; missing it is an ordinary failure with callbacks and handlers and a place
// in history; retries end with it. Cancelling is silent.
func TestSubtle10(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	var ran notes
	var n atomic.Int32
	work, hold := s.written("app.work", &ran), s.door("app.hold")
	flaky := counted(s, "app.flaky", &n, task.RetryAfter(10*time.Second, errors.New("no")))
	alert := task.Define[task.Failure, task.None]("app.alert")
	registry.Handle(s.reg, alert, func(_ context.Context, _ task.Object, f task.Failure) (task.None, error) {
		ran.add("callback of " + f.Code)
		return task.None{}, nil
	})
	heard := make(chan string, 10)
	s.hear(hooks.Handlers{Failure: func(_ context.Context, o task.Outcome) error {
		heard <- o.Failure.Code
		return nil
	}}, hooks.Config{})
	s.WorkWith(s.reg, consumer.Config{Logger: quietly})
	late := put(s, work.On(folder, "late", task.Delay(6*time.Second), task.StartWithin(5*time.Second), task.WithoutQuota()))
	put(s, hold.On(folder, "hold"))
	arrives(s, hold.in)
	missed := put(s, work.On(folder, "missed", task.StartWithin(20*time.Millisecond)).OnFailure(alert))
	cancelled := put(s, work.On(folder, "cancelled").OnFailure(alert))
	s.must(cancelled.Cancel(s.ctx))
	tried := put(s, flaky.On(folder, 9, task.StartWithin(5*time.Second), task.WithoutQuota()))
	failureOf(s, tried)
	s.same("attempts before the deadline", int32(1), n.Load())
	s.same("its event", "error", arrives(s, heard))
	<-time.After(30 * time.Millisecond) // the deadline of the one that is missed is over
	hold.open()
	s.wantErr(failureOf(s, missed), task.ErrExpired)
	s.same("the event", "expired", arrives(s, heard))
	s.same("a job that became due later than its deadline counted from queueing", "late", resultOf(s, late))
	s.drain()
	s.same("what ran", "callback of expired, late", strings.Join(ran.all(), ", "))
	s.same("further events", 0, len(heard))
	s.same("history", task.Failed, outcomeOf(s, missed).End)
}
