package consumer_test

import (
	"context"
	"strings"
	"testing"

	"github.com/natsasync/natsasync/embedded/embeddedtest"
	"github.com/natsasync/natsasync/producer"
	"github.com/natsasync/natsasync/task"
)

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
