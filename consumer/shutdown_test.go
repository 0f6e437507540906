package consumer_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/natsasync/natsasync/batch"
	"github.com/natsasync/natsasync/consumer"
	"github.com/natsasync/natsasync/embedded/embeddedtest"
	"github.com/natsasync/natsasync/internal/stream"
	"github.com/natsasync/natsasync/registry"
	"github.com/natsasync/natsasync/task"
)

func jobMessage(b *stream.Broker, e *task.Envelope) *nats.Msg {
	return &nats.Msg{Subject: b.Job(e.Queue, e.Lane, e.User.Owner(), e.ID), Data: e.Encode()}
}

// running starts a worker that the test stops itself.
func running(t *testing.T, env *embeddedtest.Env, reg *registry.Registry, cfg consumer.Config) (w *consumer.Worker, stop func(), ended <-chan error) {
	t.Helper()
	cfg.Trust, cfg.Logger = task.TrustBroker, quiet
	w, err := consumer.New(soon(t), env.JS, reg, cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	end := make(chan error, 1)
	gone := make(chan struct{})
	go func() { defer close(gone); end <- w.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-gone })
	receive(t, patience, "ready", w.Ready())
	return w, cancel, end
}

func TestShutdownLetsRunningJobsFinish(t *testing.T) {
	t.Parallel()
	env := embeddedtest.New(t)
	reg := registry.New()
	began, release := make(chan struct{}), make(chan struct{})
	handle(reg, work, func(ctx context.Context, in string) (string, error) {
		close(began)
		<-release
		return in, ctx.Err()
	})
	_, stop, ended := running(t, env, reg, consumer.Config{})
	job := queue(t, env, work.On(at, "x"))
	receive(t, patience, "the job begins", began)
	stop()
	select {
	case err := <-ended:
		t.Fatalf("Run returned %v while a job ran", err)
	case <-time.After(200 * time.Millisecond):
	}
	close(release)
	if err := receive(t, patience, "Run returns", ended); err != nil {
		t.Error(err)
	}
	if got := wait(t, patience, job); got != "x" {
		t.Errorf("got %q", got)
	}
}

// What does not finish in time goes back at once, and is neither an attempt nor an
// interruption.
func TestShutdownGivesBackWhatDoesNotFinish(t *testing.T) {
	t.Parallel()
	env := embeddedtest.New(t)
	reg := registry.New()
	began := make(chan struct{}, 8)
	var again atomic.Bool
	handle(reg, work, func(ctx context.Context, in string) (string, error) {
		began <- struct{}{}
		if again.Load() {
			return in, nil
		}
		<-ctx.Done()
		return "", context.Cause(ctx)
	})
	b := broker(t, env)
	job := queue(t, env, work.On(at, "x"))
	const rounds = 12 // more than a job may be interrupted
	for range rounds {
		_, stop, ended := running(t, env, reg, consumer.Config{ShutdownTimeout: 10 * time.Millisecond})
		receive(t, patience, "the job begins", began)
		stop()
		if err := receive(t, patience, "Run returns", ended); err != nil {
			t.Error(err)
		}
		s, err := b.Standing(soon(t), "default", alice.Owner(), job.ID())
		if err != nil || s.Claim == nil || s.Claim.State != task.ClaimReturned || s.Claim.Attempts != 0 || s.Claim.Interruptions != 0 {
			t.Fatalf("the claim is %+v (%v)", s.Claim, err)
		}
	}
	again.Store(true)
	running(t, env, reg, consumer.Config{})
	if got := wait(t, patience, job); got != "x" {
		t.Errorf("got %q", got)
	}
}

func TestShutdownNamesHandlersThatIgnoreTheirContext(t *testing.T) {
	t.Parallel()
	env := embeddedtest.New(t)
	reg := registry.New()
	began, release := make(chan struct{}), make(chan struct{})
	handle(reg, work, func(_ context.Context, in string) (string, error) {
		close(began)
		<-release
		return in, nil
	})
	_, stop, ended := running(t, env, reg, consumer.Config{ShutdownTimeout: 20 * time.Millisecond})
	queue(t, env, work.On(at, "x"))
	receive(t, patience, "the job begins", began)
	stop()
	err := receive(t, patience, "Run returns", ended)
	if err == nil || !strings.Contains(err.Error(), "1 handlers did not return") {
		t.Errorf("Run returned %v", err)
	}
	close(release)
}

func TestParkedJobGoesBackAtShutdownAndGoesOnElsewhere(t *testing.T) {
	t.Parallel()
	env := embeddedtest.New(t)
	began, ran := make(chan string, 8), atomic.Int64{}
	release := make(chan struct{})
	outer := echoing()
	members := registry.New()
	handle(members, work, func(_ context.Context, in string) (string, error) {
		ran.Add(1)
		began <- in
		<-release
		return in, nil
	})
	running(t, env, members, consumer.Config{})
	_, stop, ended := running(t, env, outer, consumer.Config{})
	job := queue(t, env, batch.Serial(echo.On(at, "first"), batch.Parallel(work.On(at, "a"), work.On(at, "b"))))
	_ = job
	receive(t, patience, "a member begins", began)
	receive(t, patience, "a member begins", began)
	stop()
	if err := receive(t, patience, "Run returns", ended); err != nil {
		t.Error(err)
	}
	running(t, env, echoing(), consumer.Config{})
	close(release)
	rs := wait(t, patience, job)
	inner, err := task.Result[batch.Results](rs[1])
	if err != nil || len(inner) != 2 {
		t.Fatalf("%v, %v", inner, err)
	}
	if n := ran.Load(); n != 2 {
		t.Errorf("two members ran %d times", n)
	}
}

// A lane that was changed by other means is left alone and named, and served again
// when it is as it must be.
func TestF22AChangedLaneIsLeftAloneAndNamed(t *testing.T) {
	t.Parallel()
	env := embeddedtest.New(t)
	b := broker(t, env)
	w, _, _ := running(t, env, echoing(), consumer.Config{})
	wait(t, patience, queue(t, env, echo.On(at, "before")))
	name := stream.Consumer("default", "default")
	change := func(lease time.Duration) {
		c, err := env.JS.Consumer(soon(t), b.Jobs(), name)
		if err != nil {
			t.Fatal(err)
		}
		cfg := c.CachedInfo().Config
		cfg.AckWait = lease
		if _, err := env.JS.UpdateConsumer(soon(t), b.Jobs(), cfg); err != nil {
			t.Fatal(err)
		}
		if err := env.Conn.Publish(b.LanesEvent("default"), nil); err != nil {
			t.Fatal(err)
		}
	}
	change(time.Minute)
	until(t, patience, "the worker says what differs", func() bool {
		err := w.Health(soon(t))
		return err != nil && strings.Contains(err.Error(), name) && strings.Contains(err.Error(), "ack_wait")
	})
	job := queue(t, env, echo.On(at, "held"))
	free := queue(t, env, echo.On(at, "free", task.WithoutQuota()))
	wait(t, patience, free)
	if o, err := job.Outcome(soon(t)); err != nil || o != nil {
		t.Errorf("a job of the changed lane has run: %v, %v", o, err)
	}
	change(embeddedtest.Lease)
	wait(t, patience, job)
	if err := w.Health(soon(t)); err != nil {
		t.Error(err)
	}
}

func TestNewQuotaIsServedAtOnce(t *testing.T) {
	t.Parallel()
	env := embeddedtest.New(t)
	env.Work(echoing())
	if err := env.Client.Queue("default").SetQuota(soon(t), "smtp", 3); err != nil {
		t.Fatal(err)
	}
	wait(t, 8*time.Second, queue(t, env, echo.On(at, "x", task.WithQuota("smtp")))) // lanes are looked at every 10 s anyway
}

// A worker whose job was claimed by another records nothing and ends its handler.
func TestJobClaimedByAnotherIsLeftToIt(t *testing.T) {
	t.Parallel()
	env := embeddedtest.New(t)
	reg := registry.New()
	began, ended := make(chan string, 8), make(chan error, 8)
	handle(reg, work, func(ctx context.Context, in string) (string, error) {
		job, _ := task.JobFrom(ctx)
		began <- job.ID
		<-ctx.Done()
		ended <- context.Cause(ctx)
		return "of the loser", nil
	})
	running(t, env, reg, consumer.Config{Queues: []string{"default"}})
	b := broker(t, env)
	job := queue(t, env, work.On(at, "x", task.WithoutQuota()))
	receive(t, patience, "the job begins", began)
	claim := task.Claim{ID: job.ID(), Worker: "another", State: task.ClaimRunning, Created: time.Now().Add(time.Hour), Delivery: 99, Started: time.Now()}
	if _, err := b.Publish(soon(t), &nats.Msg{Subject: b.Outcome("default", stream.KindClaimed, alice.Owner(), job.ID()), Data: claim.Encode()}); err != nil {
		t.Fatal(err)
	}
	cause := receive(t, patience, "the handler's context ends", ended)
	if cause == nil || errors.Is(cause, task.ErrCancelled) || !strings.Contains(cause.Error(), "lease") {
		t.Errorf("the cause is %v", cause)
	}
	if o, err := job.Outcome(soon(t)); err != nil || o != nil {
		t.Errorf("the loser recorded %v, %v", o, err)
	}
}
