package consumer_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/natsasync/natsasync/consumer"
	"github.com/natsasync/natsasync/embedded/embeddedtest"
	"github.com/natsasync/natsasync/producer"
	"github.com/natsasync/natsasync/task"
)

// Handlers whose waits have ended by deadlines of their own go on as many at once as there
// are slots.
func TestHandlersThatHaveWaitedRunOnlyAsManyAsThereAreSlots(t *testing.T) {
	t.Parallel()
	env := embeddedtest.New(t)
	never := queue(t, env, echo.On(at, "never", task.Delay(time.Hour)))
	const slots, jobs = 2, 12
	var running atomic.Int64
	reg := echoing()
	handle(reg, work, func(ctx context.Context, in string) (string, error) {
		brief, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
		defer cancel()
		if _, err := producer.Find[string](env.Client, never.ID()).Wait(brief); err == nil {
			return "", errors.New("what never ends has ended")
		}
		if n := running.Add(1); n > slots {
			t.Errorf("%d functions run at once, there are %d slots", n, slots)
		}
		defer running.Add(-1)
		time.Sleep(100 * time.Millisecond) // the work
		return in, nil
	})
	env.WorkWith(reg, consumer.Config{Concurrency: slots, Logger: quiet})
	var all []*producer.Job[string]
	for range jobs {
		all = append(all, queue(t, env, work.On(at, "x", task.WithoutQuota())))
	}
	for _, job := range all {
		wait(t, patience, job)
	}
}

// A handler that has waited and finds its slot taken goes on without one if it is to end.
func TestHandlerThatWaitsForItsSlotEndsWithItsJob(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]struct {
		opts []task.Option
		do   func(t *testing.T, job *producer.Job[string], stop func())
		want error
	}{
		"timeout":  {[]task.Option{task.Timeout(3 * time.Second)}, func(*testing.T, *producer.Job[string], func()) {}, task.ErrTimeout},
		"cancel":   {nil, func(t *testing.T, job *producer.Job[string], _ func()) { wantErr(t, job.Cancel(soon(t)), nil) }, task.ErrCancelled},
		"shutdown": {nil, func(_ *testing.T, _ *producer.Job[string], stop func()) { stop() }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env := embeddedtest.New(t)
			never := queue(t, env, echo.On(at, "never", task.Delay(time.Hour)))
			began, gate, wentOn := make(chan struct{}), make(chan struct{}), make(chan error, 1)
			reg := echoing()
			handle(reg, work, func(ctx context.Context, in string) (string, error) {
				brief, cancel := context.WithCancel(ctx)
				defer cancel()
				go func() {
					select {
					case <-began:
						cancel()
					case <-ctx.Done():
					}
				}()
				_, err := producer.Find[string](env.Client, never.ID()).Wait(brief)
				wentOn <- context.Cause(ctx)
				return "", err
			})
			handle(reg, other, func(ctx context.Context, in string) (string, error) {
				close(began)
				select {
				case <-gate:
				case <-ctx.Done():
				}
				return in, nil
			})
			_, stop, stopped := running(t, env, reg, consumer.Config{Concurrency: 1, ShutdownTimeout: 200 * time.Millisecond})
			job := queue(t, env, work.On(at, "x", end.opts...).With(task.WithoutQuota()))
			holder := queue(t, env, other.On(at, "y", task.WithoutQuota()))
			receive(t, patience, "another job has the slot", began)
			end.do(t, job, stop)
			if cause := receive(t, patience, "the handler goes on", wentOn); cause == nil {
				t.Error("the handler went on although another has the only slot and its job is not to end")
			}
			if end.want == nil {
				wantErr(t, receive(t, patience, "the worker has stopped", stopped), nil)
				return
			}
			_, err := job.Wait(soon(t))
			wantErr(t, err, end.want)
			close(gate)
			wait(t, patience, holder)
			if got := wait(t, patience, queue(t, env, echo.On(at, "next", task.WithoutQuota()))); got != "next" {
				t.Errorf("got %q", got)
			}
		})
	}
}
