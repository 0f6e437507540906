package producer

import (
	"context"
	"errors"
	"fmt"

	"github.com/natsasync/natsasync/task"
)

// Within returns where a handler queues what is to be queued only if its job succeeds:
// the calls travel in the job's outcome and are published once that is recorded, for
// the job's own user. Outside a handler Enqueue is an error. A handle knows its ID and
// shows the job as pending, and everything else is [ErrStaged]: use [Find] with the ID
// once the job has ended. When the handler has returned, Enqueue is an error.
func Within(ctx context.Context) Enqueuer { return within{task.AttemptFrom(ctx)} }

type within struct{ attempt *task.Attempt }

func (w within) enqueue(_ context.Context, call task.Spec) (*handle, error) {
	if w.attempt == nil || w.attempt.Host == nil {
		return nil, errors.New("producer: within: the context is not that of a handler (use a Client or a Tx)")
	}
	e, err := w.attempt.Stage(call)
	if err != nil {
		return nil, tell("", err)
	}
	return &handle{id: e.ID, queue: e.Queue, owner: e.User.Owner(), lane: e.Lane, object: e.Object, stage: &staging{envelope: e}}, nil
}

func stagedWithin(id string) error {
	return fmt.Errorf("producer: job %s: %w: it is queued once the job that runs has succeeded", task.Quote(id), ErrStaged)
}
