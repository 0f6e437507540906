package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/natsasync/natsasync/batch"
	"github.com/natsasync/natsasync/consumer"
	"github.com/natsasync/natsasync/embedded/embeddedtest"
	"github.com/natsasync/natsasync/producer"
	"github.com/natsasync/natsasync/registry"
	"github.com/natsasync/natsasync/task"
)

func values(t *testing.T, rs batch.Results) []string {
	t.Helper()
	var all []string
	for _, r := range rs {
		v, err := task.Result[string](r)
		if err != nil {
			v = err.Error()
		}
		all = append(all, v)
	}
	return all
}

func TestContinueInASerialMemberGoesOnWithTheNext(t *testing.T) {
	t.Parallel()
	env := embeddedtest.New(t)
	reg := echoing()
	var ran atomic.Int64
	handle(reg, work, func(_ context.Context, in string) (string, error) {
		ran.Add(1)
		return task.Continue(echo.On(at, in+"'"))
	})
	env.WorkWith(reg, consumer.Config{Concurrency: 1})
	rs := wait(t, patience, queue(t, env, batch.Serial(echo.On(at, "a"), work.On(at, "b"), work.On(at, "c"), echo.On(at, "d"))))
	if d := cmp.Diff([]string{"a", "b'", "c'", "d"}, values(t, rs)); d != "" {
		t.Error(d)
	}
	if n := ran.Load(); n != 2 {
		t.Errorf("the members that continue ran %d times, want 2", n)
	}
}

func TestContinueWithStagedJobsQueuesThemOnceItsEndIsGood(t *testing.T) {
	t.Parallel()
	for name, fails := range map[string]bool{"succeeds": false, "fails": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env := embeddedtest.New(t)
			reg := echoing()
			ids := make(chan string, 1)
			handle(reg, other, func(_ context.Context, in string) (string, error) {
				if fails {
					return "", errors.New("it went wrong")
				}
				return in, nil
			})
			handle(reg, work, func(ctx context.Context, in string) (string, error) {
				job, err := producer.Enqueue(ctx, producer.Within(ctx), echo.On(at, "staged"))
				if err != nil {
					return "", err
				}
				ids <- job.ID()
				return task.Continue(other.On(at, in))
			})
			env.Work(reg)
			got, err := queue(t, env, work.On(at, "x")).Wait(soon(t))
			staged := producer.Find[string](env.Client, receive(t, patience, "an ID", ids))
			if fails {
				if err == nil {
					t.Error("no failure")
				}
				if err := env.Drain(soon(t)); err != nil {
					t.Fatal(err)
				}
				_, err = staged.Status(soon(t))
				wantErr(t, err, producer.ErrNoSuchJob)
				return
			}
			if err != nil || got != "x" {
				t.Errorf("got %q, %v", got, err)
			}
			until(t, patience, "the staged job has run", func() bool {
				o, err := staged.Outcome(soon(t))
				return err == nil && o != nil && o.End == task.Succeeded
			})
		})
	}
}

func TestStagedJobWithoutItsQueueFailsByName(t *testing.T) {
	t.Parallel()
	env := embeddedtest.New(t)
	reg := echoing()
	ids := make(chan string, 1)
	handle(reg, work, func(ctx context.Context, in string) (string, error) {
		job, err := producer.Enqueue(ctx, producer.Within(ctx), echo.On(at, "x", task.InQueue("nowhere")))
		if err != nil {
			return "", err
		}
		ids <- job.ID()
		return in, nil
	})
	env.WorkWith(reg, consumer.Config{Logger: quiet})
	wait(t, patience, queue(t, env, work.On(at, "outer")))
	id := receive(t, patience, "an ID", ids)
	var o *task.Outcome
	until(t, patience, "the staged job's outcome", func() bool {
		var err error
		o, err = producer.Find[string](env.Client, id).Outcome(soon(t))
		return err == nil && o != nil
	})
	if o.Failure == nil || o.Failure.Code != "no_such_queue" || !strings.Contains(o.Failure.Message, "nowhere") {
		t.Errorf("outcome is %+v, failure %+v", o, o.Failure)
	}
	wait(t, patience, queue(t, env, echo.On(at, "next")))
}

func TestStagedJobWithoutItsQuotaIsRefusedInTheHandler(t *testing.T) {
	t.Parallel()
	env := embeddedtest.New(t)
	reg := registry.New()
	refused := make(chan error, 1)
	handle(reg, work, func(ctx context.Context, in string) (string, error) {
		_, err := producer.Enqueue(ctx, producer.Within(ctx), work.On(at, "x", task.WithQuota("smtp")))
		refused <- err
		return in, nil
	})
	env.Work(reg)
	wait(t, patience, queue(t, env, work.On(at, "outer")))
	wantErr(t, receive(t, patience, "an answer", refused), producer.ErrNoSuchQuota)
}

func TestStagedJobsOfAFailedJobAreNeverQueued(t *testing.T) {
	t.Parallel()
	env := embeddedtest.New(t)
	reg := echoing()
	ids := make(chan string, 1)
	handle(reg, work, func(ctx context.Context, _ string) (string, error) {
		job, err := producer.Enqueue(ctx, producer.Within(ctx), echo.On(at, "x"))
		if err != nil {
			return "", err
		}
		ids <- job.ID()
		return "", errOops
	})
	env.Work(reg)
	if _, err := queue(t, env, work.On(at, "outer")).Wait(soon(t)); err == nil {
		t.Error("no failure")
	}
	if err := env.Drain(soon(t)); err != nil {
		t.Fatal(err)
	}
	_, err := producer.Find[string](env.Client, receive(t, patience, "an ID", ids)).Status(soon(t))
	wantErr(t, err, producer.ErrNoSuchJob)
}

// Callbacks added late run for the end that they wait for, before it and after it, and
// end cancelled for others.
func TestLateCallbacksOfAllEnds(t *testing.T) {
	t.Parallel()
	for _, end := range []task.End{task.Succeeded, task.Failed, task.Cancelled} {
		for name, after := range map[string]bool{"before": false, "after": true} {
			t.Run(fmt.Sprint(end, " ", name), func(t *testing.T) {
				t.Parallel()
				env := embeddedtest.New(t)
				reg := registry.New()
				began, release := make(chan struct{}), make(chan struct{})
				handle(reg, work, func(ctx context.Context, in string) (string, error) {
					close(began)
					select {
					case <-release:
					case <-ctx.Done():
						return "", context.Cause(ctx)
					}
					if in == "fail" {
						return "", errOops
					}
					return in, nil
				})
				ran := make(chan task.Outcome, 4)
				registry.Handle(reg, heard, func(_ context.Context, _ task.Object, o task.Outcome) (task.None, error) {
					ran <- o
					return task.None{}, nil
				})
				env.Work(reg)
				in := "x"
				if end == task.Failed {
					in = "fail"
				}
				job := queue(t, env, work.On(at, in))
				receive(t, patience, "the job begins", began)
				finish := func() {
					if end == task.Cancelled {
						if err := job.Cancel(soon(t)); err != nil {
							t.Fatal(err)
						}
						return
					}
					close(release)
				}
				if after {
					finish()
					_, _ = job.Wait(soon(t))
				}
				done, err := job.OnDone(soon(t), heard)
				if err != nil {
					t.Fatal(err)
				}
				if !after {
					finish()
				}
				_, err = done.Wait(soon(t))
				if end == task.Cancelled {
					wantErr(t, err, task.ErrCancelled)
					if len(ran) > 0 {
						t.Error("a callback ran after a cancellation")
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				if o := receive(t, patience, "the callback", ran); o.ID != job.ID() || o.End != end {
					t.Errorf("the callback got %+v", o)
				}
			})
		}
	}
}

func TestLateCallbackOfNoJobFails(t *testing.T) {
	t.Parallel()
	env := embeddedtest.New(t)
	reg := registry.New()
	registry.Handle(reg, heard, func(context.Context, task.Object, task.Outcome) (task.None, error) { return task.None{}, nil })
	env.Work(reg)
	job := queue(t, env, heard.On(at, task.Outcome{}))
	wait(t, patience, job)
	b := broker(t, env)
	spec := task.Follow[task.Outcome](heard, task.WhenDone, task.TakeOutcome)
	e, err := spec.Seal(task.Sealing{Installation: b.Installation(), User: alice, Queue: "default", Now: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	e.Lane, e.After = "callbacks", task.NewID()
	if _, err := b.Publish(soon(t), jobMessage(b, e)); err != nil {
		t.Fatal(err)
	}
	_, err = producer.Find[task.Raw](env.Client, e.ID).Wait(soon(t))
	wantErr(t, err, task.ErrNoSuchJob)
}

// Batches nest, with one slot too: whoever waits holds none.
func TestNestedBatchesWithOneSlot(t *testing.T) {
	t.Parallel()
	env := embeddedtest.New(t)
	reg := echoing()
	handle(reg, work, func(context.Context, string) (string, error) { return "", errOops })
	env.WorkWith(reg, consumer.Config{Concurrency: 1})
	rs := wait(t, patience, queue(t, env, batch.Parallel(
		batch.Serial(echo.On(at, "a"), batch.Parallel(echo.On(at, "b"), work.On(at, "c")), echo.On(at, "d")),
		echo.On(at, "e"),
		batch.Parallel(),
	)))
	if len(rs) != 3 {
		t.Fatalf("%d results", len(rs))
	}
	serial, err := task.Result[batch.Results](rs[0])
	if err != nil {
		t.Fatal(err)
	}
	inner, err := task.Result[batch.Results](serial[1])
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"b", "oops"}, values(t, inner)); d != "" {
		t.Error(d)
	}
	if v, err := task.Result[string](serial[2]); err != nil || v != "d" {
		t.Errorf("got %q, %v", v, err)
	}
}

func TestCallbacksOfMembersRunAndAFailingCallbackTouchesNobody(t *testing.T) {
	t.Parallel()
	env := embeddedtest.New(t)
	reg := echoing()
	handle(reg, work, func(context.Context, string) (string, error) { return "", errOops })
	ran := make(chan string, 8)
	registry.Handle(reg, heard, func(_ context.Context, _ task.Object, o task.Outcome) (task.None, error) {
		ran <- o.ID
		return task.None{}, nil
	})
	env.Work(reg)
	member := echo.On(at, "a").Then(work.On(at, "fails")).OnDone(heard)
	job := queue(t, env, batch.Serial(member, echo.On(at, "b")).OnDone(heard))
	wait(t, patience, job)
	got := map[string]bool{receive(t, patience, "a callback", ran): true, receive(t, patience, "a callback", ran): true}
	want := map[string]bool{job.ID(): true, task.MemberID(job.ID(), 1): true}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}
