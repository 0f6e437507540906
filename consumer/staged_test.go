package consumer_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/natsasync/natsasync/embedded/embeddedtest"
	"github.com/natsasync/natsasync/producer"
	"github.com/natsasync/natsasync/registry"
	"github.com/natsasync/natsasync/task"
)

// What does not fit takes no room from what does.
func TestStagedJobThatIsRefusedForItsSizeTakesNoRoom(t *testing.T) {
	t.Parallel()
	env := embeddedtest.New(t)
	reg := registry.New()
	ran := make(chan int, 3)
	handle(reg, echo, func(_ context.Context, in string) (string, error) {
		ran <- len(in)
		return "", nil
	})
	handle(reg, work, func(ctx context.Context, in string) (string, error) {
		stage := func(in string) error {
			_, err := producer.Enqueue(ctx, producer.Within(ctx), echo.On(at, in))
			return err
		}
		large := strings.Repeat("x", 150<<10)
		if err := stage(large); err != nil {
			t.Errorf("a job of 150 KiB: %v", err)
		}
		if err := stage(large); !errors.Is(err, task.ErrTooLarge) {
			t.Errorf("300 KiB together: error is %v, want %v", err, task.ErrTooLarge)
		}
		if err := stage("small"); err != nil {
			t.Errorf("a small one after that: %v", err)
		}
		return in, nil
	})
	env.Work(reg)
	wait(t, patience, queue(t, env, work.On(at, "outer")))
	got := []int{receive(t, patience, "a staged job", ran), receive(t, patience, "another", ran)}
	if d := cmp.Diff([]int{150 << 10, len("small")}, got); d != "" {
		t.Error(d)
	}
}

// A goroutine that outlives its handler is told that it queues nothing any more, however
// the handler has ended.
func TestJobIsNotStagedOnceItsHandlerHasReturned(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func() (string, error){
		"succeeded": func() (string, error) { return "x", nil },
		"failed":    func() (string, error) { return "", errOops },
		"continued": func() (string, error) { return task.Continue(echo.On(at, "x")) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env := embeddedtest.New(t)
			reg := echoing()
			ended, late := make(chan struct{}), make(chan error, 1)
			handle(reg, work, func(ctx context.Context, _ string) (string, error) {
				go func() {
					<-ended
					_, err := producer.Enqueue(ctx, producer.Within(ctx), echo.On(at, "late"))
					late <- err
				}()
				return end()
			})
			env.Work(reg)
			_, err := queue(t, env, work.On(at, "outer")).Wait(soon(t))
			if (err != nil) != (name == "failed") {
				t.Errorf("the job ended with %v", err)
			}
			close(ended)
			err = receive(t, patience, "an answer", late)
			if err == nil || !strings.Contains(err.Error(), "has ended") {
				t.Errorf("error is %v", err)
			}
		})
	}
}
