package integration_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/natsasync/natsasync/consumer"
	"github.com/natsasync/natsasync/producer"
	"github.com/natsasync/natsasync/registry"
	"github.com/natsasync/natsasync/task"
)

// Chapter B of the original's features: the handle of a job.

// Rows 20, 21, 22: a job goes through its states; the outcome is nil until it is recorded
// and there before the callbacks run. There is no failed state.
func TestAJobGoesThroughItsStates(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	var tries notes
	hold, after := s.door("app.hold"), s.door("app.after")
	flaky := task.Define[string, string]("app.flaky", task.Retry(task.Policy{Attempts: 2, Delay: 2 * time.Second}))
	registry.Handle(s.reg, flaky, func(ctx context.Context, _ task.Object, _ string) (string, error) {
		tries.add("try")
		if len(tries.all()) == 1 {
			return "", errors.New("not yet")
		}
		return "", errors.New("never")
	})
	job := put(s, hold.On(folder, "x", task.Delay(2*time.Second)).OnSuccess(after.Definition))
	failing := put(s, flaky.On(folder, "x", task.WithoutQuota()))
	s.stateIs(task.StateScheduled, job.Status)
	s.stateIs(task.StatePending, failing.Status)
	s.Work(s.reg)
	s.same("attempt of one that retries", 1, s.becomes(task.StateRetrying, failing.Status).Attempt)
	arrives(s, hold.in)
	st := s.stateIs(task.StateActive, job.Status)
	s.same("attempt", 1, st.Attempt)
	if o, err := job.Outcome(s.ctx); o != nil || err != nil {
		t.Errorf("a job that runs has outcome %v, %v", o, err)
	}
	hold.open()
	arrives(s, after.in)
	st = s.stateIs(task.StateCallbacks, job.Status)
	s.same("the end, before the callbacks are over", task.Succeeded, st.Outcome.End)
	s.same("the result, before the callbacks are over", task.Succeeded, outcomeOf(s, job).End)
	after.open()
	resultOf(s, job)
	s.stateIs(task.StateCompleted, job.Status)
	s.same("message", "never", failureOf(s, failing).Message)
	st = s.stateIs(task.StateCompleted, failing.Status)
	s.same("end and attempts of one that failed", []any{task.Failed, 2}, []any{st.Outcome.End, st.Attempt})
}

// Rows 23, 25: a failure is a value with its causes that errors.Is knows after the wire;
// a panic keeps its stack and is a failure like runtime.Goexit, and the worker lives on.
func TestAFailureIsAValueWithItsCauses(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	fail := task.Define[string, string]("app.fail")
	registry.Handle(s.reg, fail, func(_ context.Context, _ task.Object, how string) (string, error) {
		switch how {
		case "panic":
			panic("the function panics")
		case "nil":
			unmade()["x"] = 1
		case "goexit":
			runtime.Goexit()
		case "wrapped":
			return "", fmt.Errorf("order 7: %w", fmt.Errorf("cannot take the goods: %w", task.Fail("out_of_stock", "none left")))
		}
		return "fine", nil
	})
	s.Work(s.reg)
	f := failureOf(s, put(s, fail.On(folder, "wrapped")))
	s.wantErr(f, task.Fail("out_of_stock", ""))
	s.same("messages", []string{"order 7: cannot take the goods: none left", "cannot take the goods: none left", "none left"}, []string{f.Message, f.Cause.Message, f.Cause.Cause.Message})
	s.same("code, task and attempt", []any{"out_of_stock", "app.fail", 1}, []any{f.Code, f.Task, f.Attempt})
	for _, how := range []string{"panic", "nil"} {
		f = failureOf(s, put(s, fail.On(folder, how)))
		s.wantErr(f, task.ErrPanicked)
		if !strings.Contains(f.Stack, "semantics_handle_test.go") {
			t.Errorf("the stack of %s does not show the function:\n%s", how, f.Stack)
		}
	}
	s.wantErr(failureOf(s, put(s, fail.On(folder, "goexit"))), task.ErrPanicked)
	s.same("after all that", "fine", resultOf(s, put(s, fail.On(folder, "fine"))))
}

// Row 26: a job that returns a call has that call's result, and its failure; while it
// waits it holds no slot.
func TestAJobThatContinuesHasTheOthersResult(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	inner := task.Define[int, int]("app.inner")
	registry.Handle(s.reg, inner, func(_ context.Context, _ task.Object, in int) (int, error) {
		if in < 0 {
			return 0, task.Fail("negative", "too little")
		}
		return in * 2, nil
	})
	outer := task.Define[int, int]("app.outer")
	var runs notes
	registry.Handle(s.reg, outer, func(_ context.Context, o task.Object, in int) (int, error) {
		runs.add(fmt.Sprint(in))
		return task.Continue(inner.On(o, in))
	})
	deep := task.Define[int, int]("app.deep")
	registry.Handle(s.reg, deep, func(_ context.Context, o task.Object, in int) (int, error) { return task.Continue(outer.On(o, in)) })
	s.WorkWith(s.reg, consumer.Config{Concurrency: 1})
	s.same("the inner result", 42, resultOf(s, put(s, outer.On(folder, 21))))
	failed := put(s, outer.On(folder, -1))
	s.wantErr(failureOf(s, failed), task.Fail("negative", ""))
	s.same("the task of the outer outcome", "app.outer", outcomeOf(s, failed).Task)
	s.same("a continuation of a continuation", 6, resultOf(s, put(s, deep.On(folder, 3))))
	s.same("runs", []string{"21", "-1", "3"}, runs.all())
}

// Row 28: when it was queued, started and ended, when it was to run, and when its
// callbacks were done.
func TestTimesAreKept(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	var ran notes
	work := s.written("app.work", &ran)
	s.Work(s.reg)
	before := time.Now().Truncate(time.Millisecond)
	job := put(s, work.On(folder, "x", task.Delay(100*time.Millisecond)).OnSuccess(work))
	resultOf(s, job)
	o := outcomeOf(s, job)
	cb, err := s.Client.Status(s.ctx, job.ID()+".cb")
	s.must(err)
	times := []time.Time{before, o.Queued, o.Queued.Add(100 * time.Millisecond), o.Started, o.Ended, cb.Started, cb.Ended, time.Now()}
	for i := range times[1:] {
		if times[i+1].Before(times[i].Add(-time.Millisecond)) {
			t.Errorf("time %d, %v, is before time %d, %v", i+1, times[i+1], i, times[i])
		}
	}
	st := s.stateOf(job)
	s.same("times of the status", []time.Time{o.Queued, o.Started, o.Ended}, []time.Time{st.Queued, st.Started, st.Ended})
}

// Rows 29, 30: notes and progress are seen while the job runs, survive a failed attempt,
// and do nothing in a function that runs outside a worker.
func TestNotesAreSeenAtOnceAndSurviveARetry(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	work := task.Define[task.None, task.None]("app.work", task.Retry(task.Policy{Attempts: 2}))
	in, on := make(chan int, 2), make(chan struct{})
	function := func(ctx context.Context, _ task.Object, _ task.None) (task.None, error) {
		job, inside := task.JobFrom(ctx)
		if job.Attempt < 2 {
			task.Progress(ctx, 0.4, "resizing")
			if err := task.Note(ctx, "page", 7); err != nil {
				return task.None{}, err
			}
		}
		if !inside {
			return task.None{}, nil
		}
		in <- job.Attempt
		<-on
		if job.Attempt < 2 {
			return task.None{}, errors.New("once more")
		}
		return task.None{}, nil
	}
	if _, err := function(t.Context(), folder, task.None{}); err != nil {
		t.Errorf("the same function outside a worker: %v", err)
	}
	registry.Handle(s.reg, work, function)
	s.Work(s.reg)
	job := put(s, work.On(folder, task.None{}))
	seen := func() {
		t.Helper()
		for {
			st := s.stateOf(job)
			if b := st.Notes["page"]; b != nil {
				var page int
				s.must(task.Unmarshal(b, &page))
				s.same("progress and page", []any{0.4, 7}, []any{st.Progress, page})
				return
			}
			s.nap("no note is seen")
		}
	}
	arrives(s, in)
	seen()
	on <- struct{}{}
	s.same("attempt", 2, arrives(s, in))
	seen()
	on <- struct{}{}
	resultOf(s, job)
	seen()
}

// Row 32: a function can ask what it is running; nobody reads positions of arguments.
func TestAFunctionKnowsItsJob(t *testing.T) {
	t.Parallel()
	s := newSite(t, "docs")
	look := task.Define[task.None, string]("app.look", task.InQueue("docs"), task.Timeout(time.Minute))
	registry.Handle(s.reg, look, func(ctx context.Context, o task.Object, _ task.None) (string, error) {
		j, ok := task.JobFrom(ctx)
		if !ok || j.Fence == 0 || time.Until(j.Deadline) > time.Minute || time.Until(j.Deadline) < time.Second {
			return "", fmt.Errorf("the job is %+v", j)
		}
		return fmt.Sprint(j.ID, j.Task, j.Queue, j.Object, j.User, j.Attempt, o), nil
	})
	s.Work(s.reg, "docs")
	job := put(s, look.On(folder, task.None{}))
	s.same("the job", fmt.Sprint(job.ID(), "app.look", "docs", folder, editor, 1, folder), resultOf(s, job))
}

// Rows 33, 34: a job has its ID before the commit, by which another process finds it
// later, also when it has ended.
func TestAJobIsFoundByTheIDItHadBeforeTheCommit(t *testing.T) {
	t.Parallel()
	s := newSite(t, "docs")
	var ran notes
	work := s.written("app.work", &ran)
	tx := s.Client.Begin()
	job, err := producer.Enqueue(s.ctx, tx, work.On(folder, "x", task.InQueue("docs")))
	s.must(err)
	id := job.ID()
	js, err := jetstream.New(s.Connect())
	s.must(err)
	elsewhere, err := producer.New(s.ctx, js, producer.Config{BindOnly: true, Logger: quietly})
	s.must(err)
	found := producer.Find[string](elsewhere, id)
	_, err = found.Status(s.ctx)
	s.wantErr(err, producer.ErrNoSuchJob)
	s.must(tx.Commit(s.ctx))
	st := s.stateIs(task.StatePending, found.Status)
	s.same("queue and user", []any{"docs", editor}, []any{st.Queue, st.User})
	s.Work(s.reg, "docs")
	s.same("result", "x", resultOf(s, found))
	s.stateIs(task.StateCompleted, found.Status)
}

func unmade() map[string]int { return nil }
