package task

import (
	"fmt"
	"strings"
)

// None is the input or the result of a task that has none.
type None struct{}

// Raw is a value as it is on the wire, msgpack bytes that nobody has decoded.
type Raw []byte

// Definition is a named task that takes an In and yields an Out. It holds no
// implementation: a worker gives it one with registry.Handle. Make it with [Define].
type Definition[In, Out any] struct {
	name     string
	defaults Options
}

// Define names a task and sets its defaults: queue, quota, timeout, retry, keep. It
// panics if the name or an option is bad: definitions are package variables, so
// this happens when the program starts. In and Out travel as msgpack: structs as
// maps by field name, or by `msgpack:"…"` tag.
func Define[In, Out any](name string, opts ...Option) Definition[In, Out] {
	d := Definition[In, Out]{name: name, defaults: apply(Options{}, opts)}
	if err := checkDefined(name, d.defaults); err != nil {
		panic(err.Error())
	}
	return d
}

func checkDefined(name string, defaults Options) error {
	if err := CheckName(name); err != nil {
		return err
	}
	if strings.HasPrefix(name, batchNames) {
		return fmt.Errorf("task: name %s: names that begin with %s are taken", Quote(name), batchNames)
	}
	if defaults.wrong != nil {
		return fmt.Errorf("task: %s: %w", name, defaults.wrong)
	}
	if defaults.ID != "" {
		return fmt.Errorf("task: %s: id %s: an ID belongs to one call (use With)", name, Quote(defaults.ID))
	}
	return nil
}

// Name returns the name of the task.
func (d Definition[In, Out]) Name() string { return d.name }

// On makes a call: this task on o with in. What is wrong with it is told when it is
// queued.
func (d Definition[In, Out]) On(o Object, in In, opts ...Option) Call[Out] {
	s := d.spec(o, opts)
	s.Input, s.wrong = encodeInput(d.name, in)
	return Call[Out]{spec: s}
}

// At makes a callback with an object and options of its own, for
// [Call.OnSuccess], [Call.OnFailure] or [Call.OnDone]. A Definition by itself
// follows on its job's object.
func (d Definition[In, Out]) At(o Object, opts ...Option) Follower[In] {
	s := d.spec(o, opts)
	s.at = true
	return follower[In]{spec: s}
}

func (d Definition[In, Out]) spec(o Object, opts []Option) Spec {
	return Spec{Task: d.name, Object: o, Defaults: d.defaults, Options: apply(Options{}, opts)}
}

func (d Definition[In, Out]) follows(In) Spec { return d.spec("", nil) }

// Follower is what can follow a call that yields an In: every Definition[In, …], and
// what its At returns.
type Follower[In any] interface{ follows(In) Spec }

type follower[In any] struct{ spec Spec }

func (f follower[In]) follows(In) Spec { return f.spec }

func encodeInput(name string, in any) ([]byte, error) {
	if _, none := in.(None); none {
		return nil, nil
	}
	if raw, ok := in.(Raw); ok {
		if err := Scan(raw); err != nil {
			return nil, fmt.Errorf("input of %s: %w", name, err)
		}
		return raw, nil
	}
	b, err := MarshalWithin(in, MaxEnvelope)
	if err != nil {
		return nil, fmt.Errorf("input of %s: encode %T: %w", name, in, err)
	}
	return b, nil
}
