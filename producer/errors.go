package producer

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/natsasync/natsasync/internal/stream"
	"github.com/natsasync/natsasync/task"
)

// What can be wrong with a request, for [errors.Is].
var (
	// ErrUnknown means that no answer came in time: what was asked for may have been
	// done. Enqueue returns the job's handle too; Commit may be called again.
	ErrUnknown = errors.New("no answer in time: it may be queued or not")
	// ErrQueueFull means that Config.MaxPending jobs wait already, or that the server has
	// no room. Nothing was queued.
	ErrQueueFull = errors.New("the queue is full")
	// ErrNoSuchQueue means that nobody has declared the queue; the error names those that
	// exist, if this login may list them.
	ErrNoSuchQueue = stream.ErrNoSuchQueue
	// ErrNoSuchQuota means that the queue has no such quota; the error names those that
	// exist, if this login may list them.
	ErrNoSuchQuota = stream.ErrNoSuchQuota
	// ErrNoSuchJob means that there is neither a message nor an outcome of the job.
	ErrNoSuchJob = errors.New("no such job")
	// ErrAmbiguous means that several users or queues have a job of the ID: look with that
	// job's user in the context, or through the handle of Enqueue.
	ErrAmbiguous = errors.New("several jobs have this ID")
	// ErrStaged means that the job is not queued yet: its Tx is not committed, or the job
	// that queued it has not succeeded.
	ErrStaged = errors.New("the job is staged")
	// ErrAborted means that the job's Tx was aborted.
	ErrAborted = errors.New("the transaction was aborted")
	// ErrDeadlock means that a handler waits for a job that cannot start before the
	// handler ends.
	ErrDeadlock = errors.New("the job waits for its own lane")
	// ErrCompleted means that a job has ended and cannot be cancelled any more.
	ErrCompleted = errors.New("the job has ended")
)

const defaultTimeout = 15 * time.Second

// withDeadline gives a context without a deadline one.
func withDeadline(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, defaultTimeout)
}

// told is an error from below in the words of this package.
type told struct {
	text string
	err  error
}

func (e *told) Error() string { return e.text }
func (e *told) Unwrap() error { return e.err }

// tell makes an error of this package of one from below; what says what was done, ""
// if the error says it.
func tell(what string, err error) error {
	if err == nil {
		return nil
	}
	text := "producer: "
	if what != "" {
		text += what + ": "
	}
	return &told{text + strings.TrimPrefix(strings.TrimPrefix(err.Error(), "stream: "), "producer: "), err}
}

func noSuchJob(id string) error {
	return fmt.Errorf("producer: job %s: %w (it was never queued, it was put aside, see \"natsasync rejected ls\", or its outcome has aged out)", task.Quote(id), ErrNoSuchJob)
}

func checkQueue(name string) error {
	if err := task.CheckToken("queue", name); err != nil {
		return tell("", err)
	}
	return nil
}

func checkID(id string) error {
	if err := task.CheckFullID(id); err != nil {
		return tell("", err)
	}
	return nil
}
