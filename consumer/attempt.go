package consumer

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"time"

	"github.com/natsasync/natsasync/internal/planted"
	"github.com/natsasync/natsasync/registry"
	"github.com/natsasync/natsasync/task"
)

// attempted is what came of one run of a task.
type attempted struct {
	*attempt
	value []byte
	err   error
	// What err says is read where a panic of its methods is caught.
	failure      *task.Failure
	verdict      task.Verdict
	continuation *task.Spec
	unavailable  bool
	refused      bool
}

func (a *attempted) read(err error) {
	if f, ok := err.(*task.Failure); ok && f == nil {
		err = errors.New("the task returned a nil *task.Failure as its error (return nil itself)")
	}
	a.err = err
	if spec, ok := task.Continuation(err); ok {
		a.continuation = &spec
		return
	}
	a.failure, a.verdict = task.FailureOf(err), task.VerdictOf(err)
	a.unavailable, a.refused = errors.Is(err, registry.ErrUnavailable), refused(err)
}

// attempt is one run of a task, and what the worker does for its handler meanwhile.
type attempt struct {
	task.Attempt
	d       *delivery
	env     *task.Envelope
	ctx     context.Context
	started time.Time
	notes   notes
	staged  staged

	// The delivery's mutex guards these.
	waits int  // how many goroutines of its handler wait for other jobs
	owes  bool // its function goes on with a slot that was not free

	overdue time.Time // when its context was seen to have ended; only watchStuck uses these
	told    bool
}

// over says whether its function has returned.
func (a *attempt) over() bool { return a.d.running.Load() != a }

// attempt runs the task of env and hands what came of it to then, in this goroutine,
// or in another one if the function ended this one by runtime.Goexit.
func (d *delivery) attempt(env *task.Envelope, preceding *task.Record, then func(attempted)) {
	a := &attempt{d: d, env: env, ctx: d.ctx, started: d.w.broker.Now()}
	a.Attempt = task.Attempt{
		Job: task.Job{
			ID: env.ID, Parent: env.Parent, Task: env.Task, Queue: env.Queue, Object: env.Object, User: env.User,
			Attempt: d.attempts(env.ID) + 1, Fence: d.message,
		},
		Lane: d.env.Lane, Limited: d.from.size.Load() > 0, Host: a,
	}
	if preceding != nil {
		a.Preceding = &preceding.Outcome
	}
	switch planted.Bug {
	case planted.AckFirst:
		d.w.answer(d.msg, []byte("+ACK"))
	case planted.UserNotSet:
		a.Job.User = task.User{}
	}
	cancel := context.CancelFunc(func() {})
	if env.Timeout > 0 {
		a.Job.Deadline = time.Now().Add(env.Timeout)
		a.ctx, cancel = context.WithDeadlineCause(d.ctx, a.Job.Deadline, task.ErrTimeout)
	}
	d.running.Store(a)
	d.w.event(task.EventStarted, a, 0, "")
	result := attempted{attempt: a}
	protect(func() error {
		input, err := inputOf(env, preceding)
		if err != nil {
			return err
		}
		result.value, err = d.w.reg.Run(task.WithAttempt(a.ctx, &a.Attempt), env.Task, env.Object, input)
		if err == nil {
			return nil
		}
		if errors.Is(context.Cause(a.ctx), task.ErrTimeout) {
			err = fmt.Errorf("%w (%v): %w", task.ErrTimeout, env.Timeout, err)
		}
		result.read(err)
		return nil
	}, func(err error) {
		if err != nil {
			result.read(err)
		}
		d.ended(result.attempt)
		cancel()
		a.notes.flush(a)
		then(result)
	})
}

// attemptAndWait is attempt for who needs the result where it stands.
func (d *delivery) attemptAndWait(env *task.Envelope, preceding *task.Record) attempted {
	done := make(chan attempted, 1)
	go d.attempt(env, preceding, func(a attempted) { done <- a })
	return <-done
}

// protect calls fn and then with what it returns. A panic is an error; so is
// runtime.Goexit, after which this goroutine is not to be had any more.
func protect(fn func() error, then func(error)) {
	returned := false
	defer func() {
		if returned {
			return
		}
		if p := recover(); p != nil {
			then(&task.Failure{Code: codePanicked, Message: fmt.Sprint("panic: ", p), Stack: string(debug.Stack())})
			return
		}
		go then(&task.Failure{Code: codePanicked, Message: "the task called runtime.Goexit"})
	}()
	err := fn()
	returned = true
	then(err)
}

var codePanicked = task.FailureOf(task.ErrPanicked).Code

// inputOf returns what the task takes: its own input, or part of the outcome that it
// follows.
func inputOf(env *task.Envelope, preceding *task.Record) ([]byte, error) {
	if env.Take == task.TakeNothing {
		return env.Input, nil
	}
	if preceding == nil {
		return nil, fmt.Errorf("the outcome of %s, which %s takes: %w", env.After, env.Task, task.ErrNoSuchJob)
	}
	switch env.Take {
	case task.TakeValue:
		return preceding.Value, nil
	case task.TakeFailure:
		return task.Marshal(preceding.Failure)
	}
	return task.Marshal(preceding.Outcome)
}

// attempts is how many attempts of a member, or of the whole job, have failed.
func (d *delivery) attempts(id string) int {
	if d.claim == nil || d.claim.Member != id {
		return 0
	}
	return d.claim.Attempts
}

// judge says what follows from an attempt: an outcome, or something else instead of one.
func (d *delivery) judge(env *task.Envelope, a attempted) (*task.Record, *stop) {
	if err := d.isLost(); err != nil {
		return nil, stopLost
	}
	cause := context.Cause(d.ctx)
	if errors.Is(cause, task.ErrCancelled) {
		return nil, stopCancelled
	}
	if a.err == nil {
		rec := d.outcome(env, task.Succeeded, a)
		rec.Value, rec.Queues = a.value, a.staged.take()
		return rec, nil
	}
	switch {
	case a.continuation != nil:
		return d.continueAs(env, *a.continuation, a)
	case a.unavailable:
		return nil, d.stopUnavailable(a.err)
	case errors.Is(cause, errShutdown):
		return nil, stopReturned
	}
	failure := a.failure
	failure.Task, failure.ID, failure.Attempt = env.Task, env.ID, a.Job.Attempt
	if pause, again := d.again(env, a); again {
		return nil, stopRetry(env, failure, pause)
	}
	rec := d.outcome(env, task.Failed, a)
	rec.Failure = failure
	d.w.log.Debug("attempt failed", "id", env.ID, "task", env.Task, "attempt", a.Job.Attempt, "code", failure.Code)
	return rec, nil
}

// again says whether a failed attempt is tried again, and after which pause.
func (d *delivery) again(env *task.Envelope, a attempted) (time.Duration, bool) {
	v := a.verdict
	if v.Permanent || env.Retry == nil && !v.Retry || !v.Retry && a.refused {
		return 0, false
	}
	policy := task.Policy{}
	if env.Retry != nil {
		policy = *env.Retry
	}
	policy = policy.WithDefaults()
	if a.Job.Attempt >= policy.Attempts {
		return 0, false
	}
	pause := v.After
	if !v.Retry {
		pause = policy.Pause(a.Job.Attempt, rand.Float64())
	}
	if d.env.StartWithin > 0 && d.now().Add(pause).After(d.due().Add(d.env.StartWithin)) {
		return 0, false
	}
	return pause, true
}

// refused says whether an attempt ended before its function ran, for a reason that
// trying again does not change.
func refused(err error) bool {
	for _, final := range [...]error{task.ErrUnauthorized, task.ErrNoSuchUser, task.ErrNoSuchObject, task.ErrBadInput, task.ErrTooLarge} {
		if errors.Is(err, final) {
			return true
		}
	}
	return false
}

// outcome is the record of env as far as it does not depend on the end.
func (d *delivery) outcome(env *task.Envelope, end task.End, a attempted) *task.Record {
	started, n := d.w.broker.Now(), d.attempts(env.ID)+1
	switch {
	case a.attempt != nil:
		started = a.started
	case d.claim != nil && !d.claim.Started.IsZero():
		started = d.claim.Started
	}
	return &task.Record{Outcome: task.Outcome{
		ID: env.ID, Parent: env.Parent, Task: env.Task, Queue: env.Queue, Object: env.Object, User: env.User,
		End: end, Attempt: n, Queued: env.Issued, Started: started, Ended: d.w.broker.Now(), Worker: d.w.cfg.Name,
	}}
}

// failed is the record of a job that ends without running.
func (d *delivery) failed(env *task.Envelope, err error, attempt int) *task.Record {
	rec := d.outcome(env, task.Failed, attempted{})
	rec.Attempt = attempt
	rec.Failure = task.FailureOf(err)
	rec.Failure.Task, rec.Failure.ID, rec.Failure.Attempt = env.Task, env.ID, attempt
	return rec
}
