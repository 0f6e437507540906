package registry

import (
	"context"
	"errors"
	"fmt"
	"reflect"

	"github.com/natsasync/natsasync/task"
)

// handler is a task that has a function.
type handler struct {
	name, place string
	object      reflect.Type // nil takes the path
	permissions []string
	// prepare decodes the input and returns the function, ready to run.
	prepare func(c *call, input []byte) (func(context.Context) error, error)
	// zero is the result if a middleware leaves the function out.
	zero func() ([]byte, error)
}

// Handle gives a task its function. Obj is the type of the object that one of [Objects]
// makes of the path, or an interface that it has; with [task.Object] the function gets
// the path, unresolved, and permissions are asked for that path. A call without an
// object fails with [task.ErrNoSuchObject] unless Obj is task.Object.
//
// The function runs once an attempt, with the identity of whoever queued the job in
// ctx. Its error says what is next, see package task; a result of more than
// [task.MaxResult] bytes fails with [task.ErrTooLarge], one that nobody could read with
// [task.ErrBadResult]. Handle panics if the task has a function already.
func Handle[Obj, In, Out any](r *Registry, d task.Definition[In, Out], fn func(context.Context, Obj, In) (Out, error), opts ...Option) {
	at := place(1)
	if fn == nil {
		panic(fmt.Sprintf("registry: task %q at %s: its function is nil", d.Name(), at))
	}
	h := &handler{
		name: d.Name(), place: at, object: reflect.TypeFor[Obj](), permissions: permissions(opts),
		zero: func() ([]byte, error) {
			var none Out
			return encodeResult(d.Name(), none)
		},
		prepare: func(c *call, input []byte) (func(context.Context) error, error) {
			obj, ok := c.resolved.(Obj)
			if !ok {
				return nil, fmt.Errorf("registry: object %s of task %s: it is %T and the task works on %v: %w",
					task.Quote(string(c.object)), d.Name(), c.resolved, reflect.TypeFor[Obj](), task.ErrBadInput)
			}
			in, err := decodeInput[In](d.Name(), input)
			if err != nil {
				return nil, err
			}
			return func(ctx context.Context) error {
				out, err := fn(ctx, obj, in)
				if err != nil {
					return err
				}
				return c.finish(encodeResult(d.Name(), out))
			}, nil
		},
	}
	if h.object == reflect.TypeFor[task.Object]() {
		h.object = nil
	}
	r.handle(h)
}

// HandleRaw is [Handle] without types, for tasks whose types are not known to this
// program: input and result are msgpack, nil is none, and the object is the path.
func (r *Registry) HandleRaw(name string, fn func(ctx context.Context, obj task.Object, input []byte) ([]byte, error), opts ...Option) {
	at := place(1)
	if fn == nil {
		panic(fmt.Sprintf("registry: task %q at %s: its function is nil", name, at))
	}
	r.handle(&handler{
		name: name, place: at, permissions: permissions(opts),
		zero: func() ([]byte, error) { return nil, nil },
		prepare: func(c *call, input []byte) (func(context.Context) error, error) {
			in, err := decodeInput[task.Raw](name, input)
			if err != nil {
				return nil, err
			}
			return func(ctx context.Context) error {
				out, err := fn(ctx, c.object, in)
				if err != nil {
					return err
				}
				return c.finish(encodeResult(name, task.Raw(out)))
			}, nil
		},
	})
}

func (r *Registry) handle(h *handler) {
	r.change(h.place, func() {
		if err := checkTask(h.name); err != nil {
			panic(fmt.Sprintf("registry: registration at %s: %v", h.place, err))
		}
		if other := r.tasks[h.name]; other != nil {
			panic(fmt.Sprintf("registry: task %q at %s: it has a function already, at %s (leave one out)", h.name, h.place, other.place))
		}
		r.tasks[h.name] = h
	})
}

func decodeInput[In any](name string, input []byte) (In, error) {
	var in In
	switch p := any(&in).(type) {
	case *task.Raw:
		*p = input
		if len(input) == 0 {
			return in, nil
		}
		if err := task.Scan(input); err != nil {
			return in, fmt.Errorf("registry: input of task %s: %w: %w", name, task.ErrBadInput, err)
		}
		return in, nil
	case *task.None:
		if len(input) == 0 {
			return in, nil
		}
	}
	if len(input) == 0 {
		return in, fmt.Errorf("registry: input of task %s: there is none and the task takes %T: %w", name, in, task.ErrBadInput)
	}
	if err := task.Unmarshal(input, &in); err != nil {
		return in, fmt.Errorf("registry: input of task %s: it is no %T: %w: %w", name, in, task.ErrBadInput, err)
	}
	return in, nil
}

// encodeResult makes bytes that every reader takes, or fails the job for good: the function
// has run, and it would give the same result again.
func encodeResult(name string, out any) (value []byte, err error) {
	switch v := out.(type) {
	case task.None:
		return nil, nil
	case task.Raw:
		if len(v) == 0 {
			return nil, nil
		}
		if len(v) > task.MaxResult {
			return nil, task.Permanent(fmt.Errorf("registry: result of task %s: %d bytes, at most %d are recorded (put it into an object store and return its name): %w",
				name, len(v), task.MaxResult, task.ErrTooLarge))
		}
		value, err = v, task.Scan(v)
	default:
		value, err = task.MarshalWithin(out, task.MaxResult)
	}
	switch {
	case err == nil:
		return value, nil
	case errors.Is(err, task.ErrTooLarge):
		return nil, task.Permanent(fmt.Errorf("registry: result of task %s: encode %T: %w", name, out, err))
	}
	return nil, task.Permanent(fmt.Errorf("registry: result of task %s: encode %T: %w: %w", name, out, task.ErrBadResult, err))
}
