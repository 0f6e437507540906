package consumer_test

import (
	"context"
	"testing"

	"github.com/natsasync/natsasync/batch"
	"github.com/natsasync/natsasync/consumer"
	"github.com/natsasync/natsasync/embedded/embeddedtest"
	"github.com/natsasync/natsasync/internal/stream"
	"github.com/natsasync/natsasync/registry"
	"github.com/natsasync/natsasync/task"
)

// untilCancelled is a task that runs until its context ends, and says that it began
// and why it ended.
func untilCancelled(reg *registry.Registry, d task.Definition[string, string]) (began chan string, ended chan error) {
	began, ended = make(chan string, 16), make(chan error, 16)
	handle(reg, d, func(ctx context.Context, in string) (string, error) {
		job, _ := task.JobFrom(ctx)
		began <- job.ID
		<-ctx.Done()
		ended <- context.Cause(ctx)
		return in, context.Cause(ctx)
	})
	return began, ended
}

func TestCancelEndsTheContextOfARunningJob(t *testing.T) {
	t.Parallel()
	env := embeddedtest.New(t)
	reg := echoing()
	began, ended := untilCancelled(reg, work)
	env.Work(reg)
	job := queue(t, env, work.On(at, "x").OnDone(heard))
	receive(t, patience, "the job begins", began)
	if err := job.Cancel(soon(t)); err != nil {
		t.Fatal(err)
	}
	wantErr(t, receive(t, patience, "the job ends", ended), task.ErrCancelled)
	_, err := job.Wait(soon(t))
	wantErr(t, err, task.ErrCancelled)
	wait(t, patience, queue(t, env, echo.On(at, "next")))
}

func TestCancelOfAParallelBatchEndsItsMembers(t *testing.T) {
	t.Parallel()
	env := embeddedtest.New(t)
	reg := echoing()
	began, ended := untilCancelled(reg, work)
	env.Work(reg)
	job := queue(t, env, batch.Parallel(work.On(at, "a"), work.On(at, "b")))
	receive(t, patience, "a member begins", began)
	receive(t, patience, "a member begins", began)
	if err := job.Cancel(soon(t)); err != nil {
		t.Fatal(err)
	}
	wantErr(t, receive(t, patience, "a member ends", ended), task.ErrCancelled)
	wantErr(t, receive(t, patience, "a member ends", ended), task.ErrCancelled)
}

func TestCancelOfASerialBatchEndsTheMembersOfABatchInIt(t *testing.T) {
	t.Parallel()
	env := embeddedtest.New(t)
	reg := echoing()
	began, ended := untilCancelled(reg, work)
	env.Work(reg)
	job := queue(t, env, batch.Serial(batch.Parallel(work.On(at, "a"), work.On(at, "b")), echo.On(at, "c")))
	receive(t, patience, "a member begins", began)
	receive(t, patience, "a member begins", began)
	if err := job.Cancel(soon(t)); err != nil {
		t.Fatal(err)
	}
	wantErr(t, receive(t, promptly, "a member of the inner batch ends", ended), task.ErrCancelled)
	wantErr(t, receive(t, promptly, "a member of the inner batch ends", ended), task.ErrCancelled)
}

func TestCancelOfAContinuedJobEndsItsContinuation(t *testing.T) {
	t.Parallel()
	for name, handedOver := range map[string]bool{"by the worker that parked it": false, "by the next worker": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env := embeddedtest.New(t, "docs")
			outer := registry.New()
			handle(outer, other, func(context.Context, string) (string, error) {
				return task.Continue(work.On(at, "inner"))
			})
			inner := registry.New()
			began, ended := untilCancelled(inner, work)
			// The outer's worker does not know the inner's task, and the other way round.
			stop := env.WorkWith(outer, consumer.Config{Logger: quiet})
			env.WorkWith(inner, consumer.Config{Logger: quiet})
			job := queue(t, env, other.On(at, "x"))
			receive(t, patience, "the continuation begins", began)
			if handedOver {
				stop()
			}
			if err := job.Cancel(soon(t)); err != nil {
				t.Fatal(err)
			}
			wantErr(t, receive(t, promptly, "the continuation ends", ended), task.ErrCancelled)
		})
	}
}

// A quota's lane whose consumer was deleted is made again, like those of the queue.
func TestF22DeletedLanesAreMadeAgain(t *testing.T) {
	t.Parallel()
	for _, quota := range []string{"default", "smtp"} {
		t.Run(quota, func(t *testing.T) {
			t.Parallel()
			env := embeddedtest.New(t)
			if err := env.Client.Queue("default").SetQuota(soon(t), "smtp", 2); err != nil {
				t.Fatal(err)
			}
			env.WorkWith(echoing(), consumer.Config{Logger: quiet})
			b := broker(t, env)
			call := echo.On(at, "x", task.WithQuota(quota))
			wait(t, patience, queue(t, env, call))
			if err := env.JS.DeleteConsumer(soon(t), b.Jobs(), stream.Consumer("default", quota)); err != nil {
				t.Fatal(err)
			}
			job := queue(t, env, call)
			wait(t, promptly, job)
			lane, err := b.Lane(soon(t), "default", quota)
			if err != nil {
				t.Fatal(err)
			}
			if want := map[string]int{"default": 1, "smtp": 2}[quota]; lane.Size != want {
				t.Errorf("size %d, want %d", lane.Size, want)
			}
		})
	}
}

// An operator may bound what one pull asks for.
func TestBoundedPullsStillBringJobs(t *testing.T) {
	t.Parallel()
	env := embeddedtest.New(t)
	b := broker(t, env)
	c, err := env.JS.Consumer(soon(t), b.Jobs(), stream.Consumer("default", "free"))
	if err != nil {
		t.Fatal(err)
	}
	cfg := c.CachedInfo().Config
	cfg.MaxRequestBatch = 1
	if _, err := env.JS.UpdateConsumer(soon(t), b.Jobs(), cfg); err != nil {
		t.Fatal(err)
	}
	var asked atomicCounter
	sub, err := env.Conn.Subscribe("$JS.API.CONSUMER.MSG.NEXT."+b.Jobs()+"."+stream.Consumer("default", "free"), asked.count)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sub.Unsubscribe() })
	env.WorkWith(echoing(), consumer.Config{Concurrency: 20, Logger: quiet})
	for range 20 {
		wait(t, promptly, queue(t, env, echo.On(at, "x", task.WithoutQuota())))
	}
	if n := asked.Load(); n > 2000 {
		t.Errorf("%d pulls for 20 jobs: the worker asks in a busy loop", n)
	}
}
