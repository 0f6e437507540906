package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/natsasync/natsasync/consumer"
	"github.com/natsasync/natsasync/embedded/embeddedtest"
	"github.com/natsasync/natsasync/registry"
	"github.com/natsasync/natsasync/task"
)

var errOops = errors.New("oops")

// failing fails the first times attempts with what fail makes.
func failing(reg *registry.Registry, times int, fail func() error) *attemptTimes {
	seen := &attemptTimes{}
	handle(reg, work, func(ctx context.Context, in string) (string, error) {
		job, _ := task.JobFrom(ctx)
		seen.add(in, job.Attempt)
		if job.Attempt <= times {
			return "", fail()
		}
		return in, nil
	})
	return seen
}

type attemptTimes struct {
	mu  sync.Mutex
	log []string
	at  []time.Time
}

func (a *attemptTimes) add(in string, n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.log, a.at = append(a.log, fmt.Sprint(in, n)), append(a.at, time.Now())
}

func (a *attemptTimes) read() ([]string, []time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]string(nil), a.log...), append([]time.Time(nil), a.at...)
}

func TestAnOrdinaryErrorIsFinal(t *testing.T) {
	t.Parallel()
	env := embeddedtest.New(t)
	reg := registry.New()
	seen := failing(reg, 1, func() error { return errOops })
	env.Work(reg)
	_, err := queue(t, env, work.On(at, "a")).Wait(soon(t))
	f, ok := errors.AsType[*task.Failure](err)
	if !ok || f.Message != "oops" || f.Attempt != 1 || f.Task != "test.work" {
		t.Errorf("failure is %+v (%v)", f, err)
	}
	if log, _ := seen.read(); !cmp.Equal(log, []string{"a1"}) {
		t.Errorf("attempts %v", log)
	}
}

func TestRetryableFailsAfterFiveAttempts(t *testing.T) {
	t.Parallel()
	env := embeddedtest.New(t)
	reg := registry.New()
	seen := failing(reg, 100, func() error { return task.Retryable(errOops) })
	env.WorkWith(reg, consumer.Config{Logger: quiet})
	_, err := queue(t, env, work.On(at, "a")).Wait(soon(t))
	f, ok := errors.AsType[*task.Failure](err)
	if !ok || f.Attempt != 5 {
		t.Errorf("failure is %+v (%v)", f, err)
	}
	if log, _ := seen.read(); len(log) != 5 {
		t.Errorf("attempts %v", log)
	}
}

func TestPermanentIsFinalWhateverThePolicy(t *testing.T) {
	t.Parallel()
	env := embeddedtest.New(t)
	reg := registry.New()
	seen := failing(reg, 100, func() error { return task.Permanent(errOops) })
	env.Work(reg)
	if _, err := queue(t, env, work.On(at, "a", task.Retry(task.Policy{Attempts: 5}))).Wait(soon(t)); err == nil {
		t.Error("no failure")
	}
	if log, _ := seen.read(); len(log) != 1 {
		t.Errorf("attempts %v", log)
	}
}

func TestRetryKeepsItsPlaceUnlessItGoesAside(t *testing.T) {
	t.Parallel()
	for name, aside := range map[string]bool{"in place": false, "aside": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env := embeddedtest.New(t)
			reg := registry.New()
			var mu sync.Mutex
			var order []string
			queued := make(chan struct{})
			handle(reg, work, func(ctx context.Context, in string) (string, error) {
				job, _ := task.JobFrom(ctx)
				<-queued
				mu.Lock()
				defer mu.Unlock()
				order = append(order, fmt.Sprint(in, job.Attempt))
				if in == "a" && job.Attempt == 1 {
					return "", errOops
				}
				return in, nil
			})
			env.WorkWith(reg, consumer.Config{Logger: quiet})
			a := queue(t, env, work.On(at, "a", task.Retry(task.Policy{Delay: 2 * time.Second, Aside: aside})))
			b := queue(t, env, work.On(at, "b"))
			close(queued)
			wait(t, patience, a)
			wait(t, patience, b)
			want := []string{"a1", "a2", "b1"}
			if aside {
				want = []string{"a1", "b1", "a2"}
			}
			mu.Lock()
			defer mu.Unlock()
			if d := cmp.Diff(want, order); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestRetryAfterWaitsAsLongAsItSays(t *testing.T) {
	t.Parallel()
	env := embeddedtest.New(t)
	reg := registry.New()
	const pause = 600 * time.Millisecond
	seen := failing(reg, 1, func() error { return task.RetryAfter(pause, errOops) })
	env.WorkWith(reg, consumer.Config{Logger: quiet})
	wait(t, patience, queue(t, env, work.On(at, "a")))
	_, times := seen.read()
	if len(times) != 2 || times[1].Sub(times[0]) < pause-5*time.Millisecond {
		t.Errorf("attempts at %v", times)
	}
}

func TestTimeoutEndsTheAttempt(t *testing.T) {
	t.Parallel()
	env := embeddedtest.New(t)
	reg := registry.New()
	handle(reg, work, func(ctx context.Context, _ string) (string, error) {
		job, _ := task.JobFrom(ctx)
		if d, ok := ctx.Deadline(); !ok || !d.Equal(job.Deadline) {
			return "", fmt.Errorf("deadline %v is not %v", d, job.Deadline)
		}
		<-ctx.Done()
		return "", context.Cause(ctx)
	})
	env.Work(reg)
	_, err := queue(t, env, work.On(at, "a", task.Timeout(100*time.Millisecond))).Wait(soon(t))
	wantErr(t, err, task.ErrTimeout)
}

// A job whose time to start has passed while its lane was busy fails and does not run.
func TestJobThatCannotStartInTimeExpires(t *testing.T) {
	t.Parallel()
	env := embeddedtest.New(t)
	reg := registry.New()
	release, ran := make(chan struct{}), atomic.Int64{}
	handle(reg, work, func(_ context.Context, in string) (string, error) { <-release; return in, nil })
	handle(reg, other, func(_ context.Context, in string) (string, error) { ran.Add(1); return in, nil })
	env.Work(reg)
	first := queue(t, env, work.On(at, "a"))
	late := queue(t, env, other.On(at, "b", task.StartWithin(100*time.Millisecond)))
	time.AfterFunc(300*time.Millisecond, func() { close(release) })
	wait(t, patience, first)
	_, err := late.Wait(soon(t))
	wantErr(t, err, task.ErrExpired)
	if ran.Load() != 0 {
		t.Error("it ran")
	}
}

// A directory that is down is no attempt.
func TestUnavailableDirectoryCostsNoAttempt(t *testing.T) {
	t.Parallel()
	env := embeddedtest.New(t)
	reg := registry.New()
	var asked atomic.Int64
	registry.Users(reg, func(context.Context, task.User) (registry.Principal, error) {
		if asked.Add(1) < 3 {
			return nil, errors.New("no route to host")
		}
		return nil, nil
	})
	seen := failing(reg, 0, nil)
	env.WorkWith(reg, consumer.Config{Logger: quiet})
	job := queue(t, env, work.On(at, "a"))
	wait(t, patience, job)
	if log, _ := seen.read(); !cmp.Equal(log, []string{"a1"}) {
		t.Errorf("attempts %v", log)
	}
	s, err := broker(t, env).Standing(soon(t), "default", alice.Owner(), job.ID())
	if err != nil || s.Record == nil || s.Record.Attempt != 1 {
		t.Errorf("record %+v (%v)", s.Record, err)
	}
}

func TestNotesSurviveARetryAndGoOutAtMostOnceASecond(t *testing.T) {
	t.Parallel()
	env := embeddedtest.New(t)
	reg := registry.New()
	handle(reg, work, func(ctx context.Context, in string) (string, error) {
		job, _ := task.JobFrom(ctx)
		if job.Attempt == 1 {
			if err := task.Note(ctx, "first", 1); err != nil {
				return "", task.Permanent(err)
			}
			for i := range 200 {
				task.Progress(ctx, float64(i)/400, "busy")
			}
			return "", task.Retryable(errOops)
		}
		if err := task.Note(ctx, "second", 2); err != nil {
			return "", task.Permanent(err)
		}
		return in, nil
	})
	b := broker(t, env)
	env.WorkWith(reg, consumer.Config{Logger: quiet})
	job := queue(t, env, work.On(at, "a"))
	wait(t, patience, job)
	var st task.Status
	until(t, patience, "the notes of both attempts", func() bool {
		var err error
		st, err = job.Status(soon(t))
		return err == nil && len(st.Notes) == 2
	})
	if st.Progress < 0.49 {
		t.Errorf("progress is %v", st.Progress)
	}
	n := 0
	for _, err := range b.Range(t.Context(), b.Outcomes(), b.Note(alice.Owner(), job.ID()), 1) {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	if n > 4 {
		t.Errorf("%d notes were stored for 202 changes within a moment", n)
	}
}

// Two workers share a lane; each job runs once and in order.
func TestTwoWorkersKeepTheOrderOfALane(t *testing.T) {
	t.Parallel()
	env := embeddedtest.New(t)
	var mu sync.Mutex
	var order []string
	var running atomic.Int64
	for range 2 {
		reg := registry.New()
		handle(reg, work, func(_ context.Context, in string) (string, error) {
			if running.Add(1) > 1 {
				t.Error("two jobs of one lane run at once")
			}
			defer running.Add(-1)
			mu.Lock()
			defer mu.Unlock()
			order = append(order, in)
			return in, nil
		})
		env.Work(reg)
	}
	var want []string
	for i := range 100 {
		want = append(want, fmt.Sprint(i))
		queue(t, env, work.On(at, fmt.Sprint(i)))
	}
	if err := env.Drain(soon(t)); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	defer mu.Unlock()
	if d := cmp.Diff(want, order); d != "" {
		t.Error(d)
	}
}
