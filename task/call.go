package task

import "slices"

// Call is a task on an object with an input: what there is to do. It is a value:
// every method returns a new one, so that a call can be kept and reused.
type Call[Out any] struct{ spec Spec }

// Callable is a call of any result.
type Callable interface{ Spec() Spec }

// CallOf makes a typed call of a spec, the raw twin of [Definition.On].
func CallOf[Out any](s Spec) Call[Out] { return Call[Out]{spec: s} }

// Spec returns the call without its type.
func (c Call[Out]) Spec() Spec { return c.spec }

// With sets options of this call.
func (c Call[Out]) With(opts ...Option) Call[Out] {
	c.spec.Options = apply(c.spec.Options, opts)
	return c
}

// OnSuccess adds a callback that takes the result.
func (c Call[Out]) OnSuccess(f Follower[Out]) Call[Out] {
	var none Out
	return c.follow(f.follows(none), WhenSucceeded, TakeValue)
}

// OnFailure adds a callback that takes the failure.
func (c Call[Out]) OnFailure(f Follower[Failure]) Call[Out] {
	return c.follow(f.follows(Failure{}), WhenFailed, TakeFailure)
}

// OnDone adds a callback that takes the outcome, success or failure.
func (c Call[Out]) OnDone(f Follower[Outcome]) Call[Out] {
	return c.follow(f.follows(Outcome{}), WhenDone, TakeOutcome)
}

// Then adds callbacks that have an input of their own. They run after a success and
// after a failure; [Preceding] tells them the outcome.
func (c Call[Out]) Then(next ...Callable) Call[Out] {
	for _, n := range next {
		s := n.Spec()
		s.at = true
		c = c.follow(s, WhenDone, TakeNothing)
	}
	return c
}

func (c Call[Out]) follow(s Spec, when When, take Take) Call[Out] {
	s.When, s.Take = when, take
	c.spec.Callbacks = slices.Concat(c.spec.Callbacks, []Spec{s})
	return c
}
