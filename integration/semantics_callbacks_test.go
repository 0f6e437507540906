package integration_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/natsasync/natsasync/batch"
	"github.com/natsasync/natsasync/consumer"
	"github.com/natsasync/natsasync/hooks"
	"github.com/natsasync/natsasync/registry"
	"github.com/natsasync/natsasync/task"
)

// Chapter C of the original's features: callbacks and events.

// Rows 35, 36, 37: callbacks are routed by the end of their job and get its outcome, each
// the same one; they are jobs with outcomes and callbacks of their own, and nothing they
// return changes their job. The branch that was left out passes nothing on and runs nothing.
func TestCallbacksAreJobsThatGetTheOutcome(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	var ran notes
	num := task.Define[int, int]("app.num")
	registry.Handle(s.reg, num, func(_ context.Context, _ task.Object, in int) (int, error) {
		if in < 0 {
			return 0, task.Fail("negative", "too little")
		}
		return in, nil
	})
	tell := task.Define[int, int]("app.tell")
	registry.Handle(s.reg, tell, func(ctx context.Context, o task.Object, in int) (int, error) {
		job, _ := task.JobFrom(ctx)
		ran.add(fmt.Sprintf("success %d on %s as %s", in, o, job.User.ID))
		return in + 1, nil
	})
	alert := task.Define[task.Failure, string]("app.alert")
	registry.Handle(s.reg, alert, func(_ context.Context, _ task.Object, f task.Failure) (string, error) {
		ran.add("failure " + f.Code)
		return "recovered", nil
	})
	log := task.Define[task.Outcome, task.None]("app.log")
	registry.Handle(s.reg, log, func(_ context.Context, _ task.Object, o task.Outcome) (task.None, error) {
		ran.add(fmt.Sprintf("done %s %s", o.Task, o.End))
		return task.None{}, nil
	})
	own := task.Define[string, task.None]("app.own")
	registry.Handle(s.reg, own, func(ctx context.Context, _ task.Object, in string) (task.None, error) {
		o, ok := task.Preceding(ctx)
		ran.add(fmt.Sprintf("own %s after %s %v", in, o.End, ok))
		return task.None{}, nil
	})
	s.Work(s.reg)
	call := func(n int) task.Call[int] {
		return num.On(folder, n).OnDone(log).OnSuccess(tell).OnSuccess(tell.At("/plone/other")).OnFailure(alert).Then(own.On(folder, "input"))
	}
	good := put(s, call(42))
	s.same("the result is not what a callback returned", 42, resultOf(s, good))
	s.same("after a success, in the order added", []string{
		"done app.num succeeded", "success 42 on /plone/folder as editor", "success 42 on /plone/other as editor", "own input after succeeded true",
	}, ran.all())
	cb, err := s.Client.Status(s.ctx, good.ID()+".cb.2")
	s.must(err)
	value, err := task.Result[int](*cb.Outcome)
	s.must(err)
	s.same("a callback's own result and parent", []any{43, "app.tell"}, []any{value, cb.Task})

	ran = notes{}
	bad := put(s, call(-1))
	s.same("the job's failure, though a callback recovered", "negative", failureOf(s, bad).Code)
	s.same("after a failure", []string{"done app.num failed", "failure negative", "own input after failed true"}, ran.all())

	ran = notes{}
	chained := num.On(folder, 1).Then(tell.On("/plone", 10).OnSuccess(tell))
	s.same("result", 1, resultOf(s, put(s, chained)))
	s.drain()
	s.same("a callback of a callback gets the callback's result", []string{"success 10 on /plone as editor", "success 11 on /plone as editor"}, ran.all())
}

// Rows 38, 39: callbacks run one after another, after the result is recorded, whatever
// comes of those before; Wait ends when all are done.
func TestAFailingCallbackIsAloneWithItsFailure(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	var ran notes
	work, broken := s.written("app.work", &ran), s.broken("app.broken")
	panics := task.Define[string, task.None]("app.panics")
	registry.Handle(s.reg, panics, func(ctx context.Context, _ task.Object, _ string) (task.None, error) {
		o, _ := task.Preceding(ctx)
		st, err := s.Client.Status(ctx, o.ID)
		ran.add(fmt.Sprint(st.State, err))
		panic("in a callback")
	})
	s.Work(s.reg)
	job := put(s, work.On(folder, "job").OnSuccess(broken).OnSuccess(panics).OnSuccess(work))
	s.same("result", "job", resultOf(s, job))
	s.same("order, and the state in a callback", []string{"job", "callbacks<nil>", "job"}, ran.all())
	var ends []task.End
	for i := range 3 {
		st, err := s.Client.Status(s.ctx, task.MemberID(job.ID()+".cb", i+1))
		s.must(err)
		ends = append(ends, st.Outcome.End)
	}
	s.same("ends of the callbacks", []task.End{task.Failed, task.Failed, task.Succeeded}, ends)
	s.same("end of the job", task.Succeeded, outcomeOf(s, job).End)
}

// Rows 40, 41: a callback that is added later runs once and never makes its job run
// again: while the job waits, while it runs, while its callbacks run, and when all is over.
// For the end that did not come it ends cancelled.
func TestCallbacksCanBeAddedAtAnyTime(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	var ran notes
	job, after := s.door("app.job"), s.door("app.after")
	late := s.written("app.late", &ran)
	alert := task.Define[task.Failure, task.None]("app.alert")
	registry.Handle(s.reg, alert, func(context.Context, task.Object, task.Failure) (task.None, error) {
		ran.add("failure")
		return task.None{}, nil
	})
	j := put(s, job.On(folder, "result").OnSuccess(after.Definition))
	var added []string
	add := func() {
		t.Helper()
		cb, err := j.OnSuccess(s.ctx, late)
		s.must(err)
		added = append(added, cb.ID())
	}
	add() // while it waits
	never, err := j.OnFailure(s.ctx, alert)
	s.must(err)
	s.Work(s.reg)
	arrives(s, job.in)
	add() // while it runs
	job.open()
	arrives(s, after.in)
	add() // while its callbacks run
	after.open()
	resultOf(s, j)
	add() // when all is over
	_, err = j.OnSuccess(task.WithUser(s.ctx, task.User{ID: "bob"}), late)
	s.wantErr(err, task.ErrUnauthorized)
	s.drain()
	s.same("each once", []string{"result", "result", "result", "result"}, ran.all())
	for _, id := range added {
		st, err := s.Client.Status(s.ctx, id)
		s.must(err)
		s.same("end of an added callback", task.Succeeded, st.Outcome.End)
	}
	s.same("end of the one for a failure", task.Cancelled, s.stateOf(never).Outcome.End)
	s.same("runs of the job", 0, len(job.in))
}

// Row 42: when a worker dies while callbacks run, the next one goes on: those that have
// ended are not run again, the one that ran is, and the job is not.
func TestCallbacksGoOnAfterACrash(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	var ran notes
	work := s.written("app.work", &ran)
	second := task.Define[string, string]("app.second")
	in := make(chan struct{}, 2)
	var tries atomic.Int32
	registry.Handle(s.reg, second, func(ctx context.Context, _ task.Object, _ string) (string, error) {
		ran.add("second")
		in <- struct{}{}
		if tries.Add(1) == 1 {
			<-ctx.Done()
			return "", context.Cause(ctx)
		}
		return "", nil
	})
	worker := s.doomed(s.reg, consumer.Config{})
	job := put(s, work.On(folder, "job").OnSuccess(work).OnSuccess(second).OnSuccess(work))
	arrives(s, in)
	worker.kill()
	s.Work(s.reg)
	resultOf(s, job)
	s.same("what ran", []string{"job", "job", "second", "second", "job"}, ran.all())
}

// Rows 43, 44: handlers hear of all jobs, in order, with the result or the failure; when
// one is unsubscribed it hears no more.
func TestHandlersHearOfAllJobsUntilTheyAreStopped(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	var ran notes
	work, broken := s.written("app.work", &ran), s.broken("app.broken")
	heard := make(chan string, 10)
	sub := s.hear(hooks.Handlers{
		Success: func(_ context.Context, o task.Outcome) error {
			v, err := task.Result[string](o)
			heard <- v + " of " + o.User.ID
			return err
		},
		Failure: func(_ context.Context, o task.Outcome) error {
			heard <- o.Failure.Message
			return nil
		},
	}, hooks.Config{})
	s.Work(s.reg)
	put(s, work.On(folder, "42"))
	failureOf(s, put(s, broken.On(folder, "FooBared")))
	s.same("events", []string{"42 of editor", "FooBared"}, []string{arrives(s, heard), arrives(s, heard)})
	sub.Stop()
	resultOf(s, put(s, work.On(folder, "unheard")))
	s.same("events after Stop", 0, len(heard))
}

// Row 43: a handler with a durable name hears of what ended while nobody listened, and a
// handler that fails is called again.
func TestADurableHandlerMissesNothing(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	var ran notes
	work := s.written("app.work", &ran)
	s.Work(s.reg)
	s.hear(hooks.Handlers{Success: func(context.Context, task.Outcome) error { return nil }}, hooks.Config{Durable: "mailer"}).Stop()
	away := put(s, work.On(folder, "while away"))
	resultOf(s, away)
	heard := make(chan string, 10)
	var tries atomic.Int32
	s.hear(hooks.Handlers{Success: func(_ context.Context, o task.Outcome) error {
		heard <- o.ID
		if tries.Add(1) == 1 {
			return errors.New("the mail server is down")
		}
		return nil
	}}, hooks.Config{Durable: "mailer"})
	s.same("calls", []string{away.ID(), away.ID()}, []string{arrives(s, heard), arrives(s, heard)})
}

// Chapter D of the original's features: batches.

// Rows 47, 49: a serial batch is one job whose members run one after another, whatever
// comes of them; it succeeds, and its result is their outcomes, in order.
func TestASerialBatchGoesOnAfterAFailure(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	var ran notes
	work, broken := s.written("app.work", &ran), s.broken("app.broken")
	s.Work(s.reg)
	b := put(s, batch.Serial(work.On(folder, "bar"), broken.On(folder, "no"), batch.Serial(work.On(folder, "baz"), work.On(folder, "qux"))))
	res := resultOf(s, b)
	s.same("order", []string{"bar", "baz", "qux"}, ran.all())
	s.same("ends", []task.End{task.Succeeded, task.Failed, task.Succeeded}, []task.End{res[0].End, res[1].End, res[2].End})
	first, err := task.Result[string](res[0])
	s.must(err)
	inner, err := task.Result[batch.Results](res[2])
	s.must(err)
	s.same("results", []any{"bar", "no", 2, "app.work"}, []any{first, res[1].Failure.Message, len(inner), inner[1].Task})
	st, err := s.Client.Status(s.ctx, res[1].ID)
	s.must(err)
	s.same("a member's state", task.StateCompleted, st.State)
	s.same("end of the batch", task.Succeeded, outcomeOf(s, b).End)
}

// Rows 48, 49: members of a parallel batch run at once on any worker; the last one ends
// the batch, once, with the outcomes in the order of the calls.
func TestAParallelBatchRunsAtOnceOnAnyWorkers(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	const n = 4
	var together, ends atomic.Int32
	all := make(chan struct{})
	meet := task.Define[int, string]("app.meet")
	registry.Handle(s.reg, meet, func(ctx context.Context, _ task.Object, in int) (string, error) {
		if together.Add(1) == n {
			close(all)
		}
		select {
		case <-all:
		case <-ctx.Done():
		}
		return fmt.Sprint(in), ctx.Err()
	})
	after := task.Define[batch.Results, task.None]("app.after")
	registry.Handle(s.reg, after, func(_ context.Context, _ task.Object, r batch.Results) (task.None, error) {
		ends.Add(int32(len(r)))
		return task.None{}, r.Err()
	})
	for range n {
		s.WorkWith(s.reg, consumer.Config{Concurrency: 1})
	}
	res := resultOf(s, put(s, batch.Parallel(meet.On(folder, 0), meet.On(folder, 1), meet.On(folder, 2), meet.On(folder, 3)).OnSuccess(after)))
	s.must(res.Err())
	workers := map[string]bool{}
	for i, o := range res {
		v, err := task.Result[string](o)
		s.must(err)
		s.same("member", fmt.Sprint(i), v)
		workers[o.Worker] = true
	}
	s.same("workers, and members that the callback got", []int{n, n}, []int{len(workers), int(ends.Load())})
}

// Row 51: a batch holds the quota until it is over, its members hold none: a serial batch
// is one unit in its lane, and parallel members are not limited by its size of 1.
func TestABatchHoldsTheQuotaAndItsMembersHoldNone(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	var ran notes
	work, hold := s.written("app.work", &ran), s.door("app.hold")
	s.Work(s.reg)
	serial := put(s, batch.Serial(work.On(folder, "1"), hold.On(folder, "2"), work.On(folder, "3")))
	put(s, work.On(folder, "4"))
	parallel := put(s, batch.Parallel(hold.On(folder, "5"), hold.On(folder, "6")))
	last := put(s, work.On(folder, "7"))
	arrives(s, hold.in)
	q, err := s.Client.Queue("default").Quotas(s.ctx)
	s.must(err)
	s.same("holders of the quota, and who wait", []int{1, 3}, []int{q[0].Active, q[0].Pending})
	hold.open()
	resultOf(s, serial)
	arrives(s, hold.in)
	arrives(s, hold.in) // both at once
	s.stateIs(task.StatePending, last.Status)
	hold.open()
	hold.open()
	resultOf(s, parallel)
	resultOf(s, last)
	s.same("order", []string{"1", "3", "4", "7"}, ran.all())
}

// Row 53: when a worker dies in a batch, the next one goes on at the first member that
// has not ended, and in order.
func TestABatchKeepsItsOrderOverACrash(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	var ran notes
	var tries atomic.Int32
	work := s.written("app.work", &ran)
	two := task.Define[string, string]("app.two")
	in := make(chan struct{}, 2)
	registry.Handle(s.reg, two, func(ctx context.Context, _ task.Object, in2 string) (string, error) {
		ran.add(in2)
		in <- struct{}{}
		if tries.Add(1) == 1 {
			<-ctx.Done()
		}
		return in2, ctx.Err()
	})
	worker := s.doomed(s.reg, consumer.Config{})
	b := put(s, batch.Serial(work.On(folder, "one"), two.On(folder, "two"), work.On(folder, "three")))
	arrives(s, in)
	worker.kill()
	s.Work(s.reg)
	s.must(resultOf(s, b).Err())
	s.same("order", []string{"one", "two", "two", "three"}, ran.all())
}

// Row 54: handlers hear of the batch alone, as a success although a member failed; who
// wants members too asks for them by ID.
func TestHandlersHearOfABatchAlone(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	var ran notes
	work, broken := s.written("app.work", &ran), s.broken("app.broken")
	heard := make(chan string, 10)
	tell := func(_ context.Context, o task.Outcome) error {
		heard <- o.Task + " " + string(o.End)
		return nil
	}
	s.hear(hooks.Handlers{Success: tell, Failure: tell, Cancelled: tell}, hooks.Config{})
	s.Work(s.reg)
	put(s, batch.Serial(work.On(folder, "1"), broken.On(folder, "2")))
	put(s, batch.Parallel(work.On(folder, "3"), broken.On(folder, "4")))
	resultOf(s, put(s, work.On(folder, "5")))
	s.same("events", []string{"batch.serial succeeded", "batch.parallel succeeded", "app.work succeeded"}, []string{arrives(s, heard), arrives(s, heard), arrives(s, heard)})
	<-time.After(10 * time.Millisecond)
	s.same("further events", 0, len(heard))
}
