package producer

import (
	"context"
	"sync/atomic"

	"github.com/natsasync/natsasync/internal/stream"
	"github.com/natsasync/natsasync/task"
)

// Job is a handle on a queued call that yields an Out. It holds no connection and no
// copy of the job's state: every method asks.
type Job[Out any] struct{ h *handle }

// Find makes a handle of an ID alone, in whatever process. Whether there is such a job,
// and whether the ID can be one, is told by what is asked of it. What is asked first
// finds out whose job it is and of which queue. If several users or queues have a job of
// that ID, it is that of the user of ctx, if it is one; else it is [ErrAmbiguous], also
// where others have stored too much under the ID to look at all of it.
func Find[Out any](c *Client, id string) *Job[Out] {
	return &Job[Out]{&handle{client: c, id: id, queue: anyone, owner: c.anyOwner()}}
}

// bound says whether this login may look at the jobs of one user alone, and at nothing else.
func (c *Client) bound() bool { return !c.cfg.Owner.Anonymous() }

// ID returns the job's ID. It is there before the job is queued.
func (j *Job[Out]) ID() string { return j.h.id }

// Queue returns the name of the job's queue, "" for a handle that was made by Find.
func (j *Job[Out]) Queue() string {
	if j.h.queue == "*" {
		return ""
	}
	return j.h.queue
}

// Wait returns the job's result once it has ended and its callbacks have run. The error
// is a [*task.Failure] if the job failed, matches [task.ErrCancelled] if it was
// cancelled, and is something else if we could not ask: [ErrNoSuchJob], [ErrAmbiguous],
// [ErrStaged], [ErrAborted], or what ended ctx. Without a deadline it waits for ever, over outages
// too. If the callbacks were taken away it is [ErrNoSuchJob], and [Job.Outcome] still tells
// how the job ended. In a handler it gives the worker's slot back while it waits, and returns
// once it has one again, which may be after ctx has ended, or once the handler is to end
// itself; it is [ErrDeadlock] at once for a job that needs the lane of the one that runs.
func (j *Job[Out]) Wait(ctx context.Context) (Out, error) {
	r, err := j.h.wait(ctx)
	if err != nil {
		var none Out
		return none, err
	}
	return task.Result[Out](r.Outcome)
}

// Outcome returns the job's outcome, nil if none is recorded yet. It waits for nothing,
// not for callbacks either.
func (j *Job[Out]) Outcome(ctx context.Context) (*task.Outcome, error) { return j.h.outcome(ctx) }

// Status says where the job stands now. A staged job is pending to its own handle, or
// scheduled.
func (j *Job[Out]) Status(ctx context.Context) (task.Status, error) { return j.h.status(ctx) }

// Cancel ends the job as cancelled: its result will not count, though it may run to its
// end. No callback and no handler of successes or failures runs. Cancelling again is no
// error; a job that has ended otherwise is [ErrCompleted].
func (j *Job[Out]) Cancel(ctx context.Context) error { return j.h.cancel(ctx) }

// handle is a job without its type.
type handle struct {
	client       *Client // nil for a job that is queued by a job
	id           string
	queue, owner string // "*" if only the ID is known
	lane         string // "" if only the ID is known
	object       task.Object
	queued       bool // this process has seen it stored
	callbacks    bool // those of a job that has ended
	stage        *staging

	found atomic.Pointer[stream.Home] // what is known since, of one of which only the ID was
	own   atomic.Pointer[stream.Home] // the same, for the user that it is of
}

func (c *Client) handleOf(e *task.Envelope) *handle {
	return &handle{client: c, id: e.ID, queue: e.Queue, owner: e.User.Owner(), lane: e.Lane, object: e.Object}
}

// raw makes a Job of a handle that may be nil beside an error.
func raw(h *handle, err error) (*Job[task.Raw], error) {
	if h == nil {
		return nil, err
	}
	return &Job[task.Raw]{h}, err
}

// live is nil if the job can be asked for.
func (h *handle) live() error {
	if err := checkID(h.id); err != nil {
		return err
	}
	if h.stage == nil {
		return nil
	}
	return h.stage.live(h.id)
}

func (h *handle) stored() bool { return h.queued || h.stage != nil && h.stage.committed() }

func (h *handle) outcome(ctx context.Context) (*task.Outcome, error) {
	if err := h.live(); err != nil {
		return nil, err
	}
	ctx, cancel := withDeadline(ctx)
	defer cancel()
	r, err := h.record(ctx)
	if r == nil {
		return nil, err
	}
	return &r.Outcome, err
}
