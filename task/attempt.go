package task

import (
	"context"
	"fmt"
	"math"
	"strings"
	"time"
)

// Job is what a handler can know of the job it runs.
type Job struct {
	ID, Parent, Task, Queue string
	Object                  Object
	User                    User
	Attempt                 int       // from 1; interruptions do not count
	Deadline                time.Time // zero without a timeout
	// Fence is the sequence of the job's message: it only grows along a lane, the
	// attempts of a job share it and members have that of their outer job. A storage
	// of your own that refuses a smaller one is safe from a worker that was paused.
	Fence uint64
}

// Attempt is what a worker puts into the context of a handler. For workers.
type Attempt struct {
	Job       Job
	Lane      string // the lane of the outer job
	Limited   bool   // whether the lane has a size
	Preceding *Outcome
	Host
}

// Host is what a worker does for a handler while it runs. For workers.
type Host interface {
	Progress(share float64, text string)
	Note(key string, value []byte)
	// Stage takes a call that is to be queued if this attempt succeeds, and returns
	// its envelope.
	Stage(Spec) (*Envelope, error)
	// Yield gives the worker's slot back while the handler waits; the returned
	// function returns once it has one again, or once the attempt's context has ended.
	Yield() (resume func() error)
}

type attemptKey struct{}

// WithAttempt returns a context for a handler: with the attempt, and the job's user.
// For workers.
func WithAttempt(ctx context.Context, a *Attempt) context.Context {
	return WithUser(context.WithValue(ctx, attemptKey{}, a), a.Job.User)
}

// AttemptFrom returns the attempt of ctx, nil outside a handler. For workers and
// producers.
func AttemptFrom(ctx context.Context) *Attempt {
	a, _ := ctx.Value(attemptKey{}).(*Attempt)
	return a
}

// JobFrom returns the job that ctx belongs to; false outside a handler.
func JobFrom(ctx context.Context) (Job, bool) {
	a := AttemptFrom(ctx)
	if a == nil {
		return Job{}, false
	}
	return a.Job, true
}

// Preceding returns the outcome that a callback follows; false elsewhere.
func Preceding(ctx context.Context) (Outcome, bool) {
	a := AttemptFrom(ctx)
	if a == nil || a.Preceding == nil {
		return Outcome{}, false
	}
	return *a.Preceding, true
}

// Progress says how far the job is, from 0 to 1, and what it does. Watchers see it at
// once, at most once a second; it survives a retry. Outside a worker it does nothing.
func Progress(ctx context.Context, share float64, text string) {
	a := AttemptFrom(ctx)
	if a == nil || a.Host == nil || math.IsNaN(share) {
		return
	}
	a.Host.Progress(min(max(share, 0), 1), strings.ToValidUTF8(text, "\uFFFD"))
}

// Note leaves a small value for whoever looks at the job, as msgpack. All notes of a
// job hold 4 KiB together; the last value of a key counts. Outside a worker it does
// nothing but check the value.
func Note(ctx context.Context, key string, value any) error {
	if err := CheckName(key); err != nil {
		return fmt.Errorf("note %s: keys are like names of tasks: %w", Quote(key), err)
	}
	b, err := MarshalWithin(value, MaxNotes)
	if err != nil {
		return fmt.Errorf("note %s: encode %T: %w", Quote(key), value, err)
	}
	if len(b)+len(key) > MaxNotes {
		return fmt.Errorf("note %s: %d bytes: %w", Quote(key), len(b), tooLarge(fmt.Sprintf("notes have at most %d", MaxNotes)))
	}
	if a := AttemptFrom(ctx); a != nil && a.Host != nil {
		a.Host.Note(key, b)
	}
	return nil
}
