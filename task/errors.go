package task

import (
	"errors"
	"fmt"
	"time"
)

// Ends of a job that have a code of their own. Each matches a *[Failure] of its code
// with [errors.Is], also after the wire.
var (
	ErrUnauthorized = sentinel("unauthorized", "the user may not do this")
	ErrNoSuchUser   = sentinel("no_such_user", "there is no such user")
	ErrNoSuchObject = sentinel("no_such_object", "there is no such object")
	ErrNoSuchTask   = sentinel("no_such_task", "no worker knows this task")
	ErrNoSuchJob    = sentinel("no_such_job", "there is no such job")
	ErrExpired      = sentinel("expired", "the job did not start in time")
	ErrTimeout      = sentinel("timeout", "the attempt took too long")
	ErrInterrupted  = sentinel("interrupted", "the job was interrupted too often")
	ErrPanicked     = sentinel("panicked", "the task panicked")
	ErrTooLarge     = sentinel("too_large", "too large")
	ErrCancelled    = sentinel("cancelled", "the job was cancelled")
	ErrBadInput     = sentinel("bad_input", "the input does not fit the task")
	ErrBadResult    = sentinel("bad_result", "the result cannot be recorded")
)

// CodeError is the code of a failure whose error named none.
const CodeError = "error"

type coded struct{ code, message string }

func sentinel(code, message string) error { return &coded{code, message} }

func (e *coded) Error() string { return "task: " + e.message }

func tooLarge(message string) error { return fmt.Errorf("%w: %s", ErrTooLarge, message) }

// Fail makes an error that ends a job with a code of the application's own, like
// "out_of_stock". Kept in a variable it is a sentinel: errors.Is matches it by code, also
// after the wire.
func Fail(code, message string) error { return &Failure{Code: code, Message: message} }

// Verdict is what an error says about trying again. For workers.
type Verdict struct {
	Retry     bool          // try again, whatever the policy
	After     time.Duration // with Retry: the pause that was asked for
	Permanent bool          // do not try again, whatever the policy
}

type verdict struct {
	Verdict
	err error
}

func (v *verdict) Error() string { return v.err.Error() }
func (v *verdict) Unwrap() error { return v.err }

// Retryable marks err as passing: the job is tried again at once, up to the attempts
// of its policy, five without one. It returns nil for nil.
func Retryable(err error) error { return RetryAfter(0, err) }

// RetryAfter is [Retryable] with a pause of d.
func RetryAfter(d time.Duration, err error) error {
	if err == nil {
		return nil
	}
	return &verdict{Verdict{Retry: true, After: max(d, 0)}, err}
}

// Permanent marks err as final whatever the policy says. It returns nil for nil.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return &verdict{Verdict{Permanent: true}, err}
}

// VerdictOf returns what err says about trying again. For workers.
func VerdictOf(err error) Verdict {
	if v, ok := errors.AsType[*verdict](err); ok {
		return v.Verdict
	}
	return Verdict{}
}

type continuation struct{ spec Spec }

func (c *continuation) Error() string { return "task: the job continues as " + c.spec.Task }

// Continue hands the job over: its outcome will be the outcome of c, which runs in
// the same queue, as the same user, holding neither quota nor slot of this job.
//
//	return task.Continue(docs.Submit.On(at, "foo"))
func Continue[Out any](c Call[Out]) (Out, error) {
	var none Out
	return none, &continuation{c.spec}
}

// Continuation returns the call that err hands over to. For workers.
func Continuation(err error) (Spec, bool) {
	if c, ok := errors.AsType[*continuation](err); ok {
		return c.spec, true
	}
	return Spec{}, false
}
