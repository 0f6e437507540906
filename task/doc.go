// Package task is the vocabulary of natsasync: what a task, a call, a job, an
// outcome and a failure are, and how they look on the wire.
//
// A task is a named, typed function. The author of a task defines it once, in a
// package that both sides import and that holds no implementation:
//
//	type AddArgs struct{ A, B int }
//
//	var Add = task.Define[AddArgs, int]("math.add")
//
// A call is a task with an object and an input. It is a value, inert until a
// producer queues it, and may be reused:
//
//	call := Add.On("/plone/folder", AddArgs{A: 40, B: 2}).With(task.Timeout(time.Minute))
//
// What follows from a call is added to it. Types that do not fit do not compile:
//
//	call = call.OnSuccess(Tell).OnFailure(Alert).OnDone(Log).Then(Submit.On("/plone/folder", "foo"))
//
// A job is a queued call. It runs as the user of the context it was queued with,
// see [WithUser]; it ends in one [Outcome]. A failure is a value: a [*Failure]
// with a code, and [errors.Is] matches it with the sentinels of this package
// although it crossed the wire:
//
//	if errors.Is(err, task.ErrUnauthorized) { … }
//
// Inside a handler [JobFrom], [UserFrom] and [Preceding] tell what runs for whom,
// [Progress] and [Note] tell others how it goes, and the error says what is to
// happen next: an ordinary error is final, [Retryable] and [RetryAfter] try again,
// [Fail] names a code, [Continue] hands over to another call.
//
// Bytes that come from the wire are measured, scanned without recursion and then
// decoded strictly, see [Unmarshal]. Names marked "For workers" are for the
// packages of this module and for those who write a worker of their own.
//
// The package imports no other package of this module. All its functions are safe
// for concurrent use; definitions, calls and specs are values that nobody changes.
package task
