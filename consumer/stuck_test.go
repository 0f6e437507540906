package consumer_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/natsasync/natsasync/batch"
	"github.com/natsasync/natsasync/consumer"
	"github.com/natsasync/natsasync/embedded/embeddedtest"
	"github.com/natsasync/natsasync/internal/stream"
	"github.com/natsasync/natsasync/producer"
	"github.com/natsasync/natsasync/registry"
	"github.com/natsasync/natsasync/task"
)

// A worker whose places for parked jobs are all taken leaves batches where they are:
// that is no interruption, however long it lasts.
func TestBatchThatFindsNoPlaceIsNotInterrupted(t *testing.T) {
	t.Parallel()
	env := embeddedtest.New(t)
	release := make(chan struct{})
	reg := echoing()
	handle(reg, work, func(ctx context.Context, in string) (string, error) {
		select {
		case <-release:
			return in, nil
		case <-ctx.Done():
			return "", context.Cause(ctx)
		}
	})
	env.WorkWith(reg, consumer.Config{Parked: 1, Concurrency: 10, Logger: quiet})
	first := queue(t, env, batch.Parallel(work.On(at, "a")).With(task.WithoutQuota()))
	until(t, patience, "the first batch parks", func() bool {
		s, err := broker(t, env).Standing(t.Context(), "default", alice.Owner(), first.ID())
		return err == nil && s.Claim != nil && s.Claim.State == task.ClaimParked
	})
	second := queue(t, env, batch.Parallel(echo.On(at, "b")).With(task.WithoutQuota()))
	b := broker(t, env)
	// Each redelivery after the second must leave no open claim behind.
	for range 40 {
		s, err := b.Standing(t.Context(), "default", alice.Owner(), second.ID())
		if err != nil {
			t.Fatal(err)
		}
		if s.Claim != nil && s.Claim.Interruptions > 0 {
			t.Errorf("a batch that waits for a place has %d interruptions", s.Claim.Interruptions)
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	close(release)
	wait(t, patience, first)
	wait(t, patience, second)
}

// inVersion is an honest envelope with another version.
func inVersion(t *testing.T, b *stream.Broker, v byte) (id string, body []byte) {
	t.Helper()
	e, err := echo.On(at, "x").Spec().Seal(task.Sealing{Installation: b.Installation(), User: alice, Now: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	body = e.Encode()
	version := []byte{0xa1, 'v', task.Version}
	if !bytes.Contains(body, version) {
		t.Fatalf("no version in %q", body)
	}
	return e.ID, bytes.Replace(body, version, []byte{0xa1, 'v', v}, 1)
}

// A job of a later version of the wire keeps its place for the grace time and is put
// aside then; the lane goes on.
func TestJobOfALaterVersionIsPutAsideAfterItsGrace(t *testing.T) {
	t.Parallel()
	env := embeddedtest.New(t)
	b := broker(t, env)
	id, body := inVersion(t, b, task.Version+1)
	if _, err := b.Publish(soon(t), &nats.Msg{Subject: b.Job("default", "default", alice.Owner(), id), Data: body}); err != nil {
		t.Fatal(err)
	}
	env.WorkWith(echoing(), consumer.Config{UnknownGrace: 500 * time.Millisecond, Logger: quiet})
	next := queue(t, env, echo.On(at, "next"))
	if got := wait(t, promptly, next); got != "next" {
		t.Errorf("got %q", got)
	}
	n, err := b.Count(t.Context(), b.Rejected(), b.RejectedSubject("version"))
	if err != nil || n != 1 {
		t.Errorf("%d messages put aside (%v), want 1", n, err)
	}
}

// No worker will ever know a version that is none: there is nothing to wait for.
func TestJobOfVersionZeroIsPutAsideAtOnce(t *testing.T) {
	t.Parallel()
	env := embeddedtest.New(t)
	b := broker(t, env)
	id, body := inVersion(t, b, 0)
	if _, err := b.Publish(soon(t), &nats.Msg{Subject: b.Job("default", "default", alice.Owner(), id), Data: body}); err != nil {
		t.Fatal(err)
	}
	env.WorkWith(echoing(), consumer.Config{UnknownGrace: time.Hour, Logger: quiet})
	wait(t, patience, queue(t, env, echo.On(at, "next")))
	n, err := b.Count(t.Context(), b.Rejected(), b.RejectedSubject("version"))
	if err != nil || n != 1 {
		t.Errorf("%d messages put aside (%v), want 1", n, err)
	}
}

// A message as large as the server takes does not fit where rejected bytes go, with
// headers: it must not block its lane.
func TestHugeRubbishDoesNotBlockItsLane(t *testing.T) {
	t.Parallel()
	env := embeddedtest.New(t)
	b := broker(t, env)
	rubbish := bytes.Repeat([]byte{0xc1}, int(env.Conn.MaxPayload()))
	if _, err := b.Publish(soon(t), &nats.Msg{Subject: b.Job("default", "default", alice.Owner(), task.NewID()), Data: rubbish}); err != nil {
		t.Fatal(err)
	}
	env.WorkWith(echoing(), consumer.Config{Logger: quiet})
	if got := wait(t, promptly, queue(t, env, echo.On(at, "next"))); got != "next" {
		t.Errorf("got %q", got)
	}
}

// With as many slots as lanes, idle lanes' pulls hold them all. A handler that has
// waited must still go on at once.
func TestHandlerGoesOnAfterItsWaitThoughIdleLanesPull(t *testing.T) {
	t.Parallel()
	for _, slots := range []int{1, 2, 3, 4, 10} {
		t.Run(fmt.Sprint(slots), func(t *testing.T) {
			t.Parallel()
			env := embeddedtest.New(t)
			reg := echoing()
			handle(reg, work, func(ctx context.Context, in string) (string, error) {
				job, err := producer.Enqueue(ctx, env.Client, echo.On(at, in, task.WithoutQuota()))
				if err != nil {
					return "", err
				}
				return job.Wait(ctx)
			})
			env.WorkWith(reg, consumer.Config{Concurrency: slots})
			if got := wait(t, promptly, queue(t, env, work.On(at, "inner"))); got != "inner" {
				t.Errorf("got %q", got)
			}
		})
	}
}

// A handler that waits for two jobs at once holds no slot while it waits for either: the
// second may need the very slot.
func TestHandlerThatWaitsForTwoJobsAtOnceLetsBothRun(t *testing.T) {
	t.Parallel()
	env := embeddedtest.New(t)
	reg := echoing()
	handle(reg, work, func(ctx context.Context, in string) (string, error) {
		firstEnded := make(chan struct{})
		var second *producer.Job[string]
		both := make(chan error, 2)
		queued := make(chan struct{})
		go func() {
			defer close(firstEnded)
			job, err := producer.Enqueue(ctx, env.Client, echo.On(at, "first", task.WithoutQuota()))
			if err == nil {
				<-queued
				_, err = job.Wait(ctx)
			}
			both <- err
		}()
		go func() {
			var err error
			second, err = producer.Enqueue(ctx, env.Client, echo.On(at, "second", task.WithoutQuota(), task.Delay(500*time.Millisecond)))
			close(queued)
			if err == nil {
				_, err = second.Wait(ctx)
			}
			both <- err
		}()
		err := errors.Join(<-both, <-both)
		<-firstEnded
		return in, err
	})
	env.WorkWith(reg, consumer.Config{Concurrency: 1, Logger: quiet})
	if got := wait(t, patience, queue(t, env, work.On(at, "both"))); got != "both" {
		t.Errorf("got %q", got)
	}
}

// A Wait that outlives its handler costs no slot for ever.
func TestWaitThatOutlivesItsHandlerLeaksNoSlot(t *testing.T) {
	t.Parallel()
	env := embeddedtest.New(t)
	never := queue(t, env, echo.On(at, "never", task.Delay(time.Hour)))
	ended := make(chan error, 100)
	reg := echoing()
	handle(reg, work, func(ctx context.Context, in string) (string, error) {
		waits := make(chan struct{})
		go func() {
			close(waits)
			_, err := producer.Find[string](env.Client, never.ID()).Wait(ctx)
			ended <- err
		}()
		<-waits
		return in, nil
	})
	env.WorkWith(reg, consumer.Config{Concurrency: 2, Logger: quiet})
	for i := range 10 {
		if got := wait(t, patience, queue(t, env, work.On(at, fmt.Sprint(i)))); got != fmt.Sprint(i) {
			t.Errorf("got %q", got)
		}
		if err := receive(t, patience, "the Wait ends with its handler", ended); err == nil {
			t.Error("a Wait for what never ends returned nil")
		}
	}
	if got := wait(t, promptly, queue(t, env, echo.On(at, "end", task.WithoutQuota()))); got != "end" {
		t.Errorf("got %q", got)
	}
}

// An error that panics when it is asked for its text, like a nil pointer in an error,
// fails its job and nothing else.
func TestErrorThatPanicsFailsItsJobAlone(t *testing.T) {
	t.Parallel()
	env := embeddedtest.New(t)
	reg := echoing()
	handle(reg, work, func(context.Context, string) (string, error) {
		var e *nilError
		return "", e
	})
	env.WorkWith(reg, consumer.Config{Logger: quiet})
	_, err := queue(t, env, work.On(at, "x")).Wait(soon(t))
	wantErr(t, err, task.ErrPanicked)
	wait(t, patience, queue(t, env, echo.On(at, "next")))
}

type nilError struct{ text string }

func (e *nilError) Error() string { return e.text }

// A job that is retried at once may be redelivered before the worker has let go of it.
func TestRetryAtOnceIsNeverSwallowed(t *testing.T) {
	t.Parallel()
	env := embeddedtest.New(t)
	const attempts, jobs = 200, 4
	namespace, lease, client := apart(t, env)
	var mu sync.Mutex
	last, longest := map[string]time.Time{}, time.Duration(0)
	reg := registry.New()
	handle(reg, work, func(ctx context.Context, in string) (string, error) {
		job, _ := task.JobFrom(ctx)
		mu.Lock()
		if before := last[job.ID]; !before.IsZero() {
			longest = max(longest, time.Since(before))
		}
		last[job.ID] = time.Now()
		mu.Unlock()
		if job.Attempt < attempts {
			return "", task.Retryable(errors.New("not yet"))
		}
		return in, nil
	})
	env.WorkWith(reg, consumer.Config{Namespace: namespace, Logger: quiet})
	var all []*producer.Job[string]
	for range jobs {
		job, err := producer.Enqueue(soon(t), client, work.On(at, "x", task.WithoutQuota(), task.Retry(task.Policy{Attempts: attempts})))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, job)
	}
	for _, job := range all {
		wait(t, 2*patience, job)
	}
	if longest > lease/2 {
		t.Errorf("an attempt that was to follow at once came after %v: its delivery was swallowed until the lease ended", longest)
	}
}
