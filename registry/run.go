package registry

import (
	"context"
	"errors"
	"fmt"

	"github.com/natsasync/natsasync/task"
)

// call is one attempt.
type call struct {
	handler   *handler
	object    task.Object
	principal Principal
	by        *resolver // nil if the path is not resolved
	resolved  any
	function  func(context.Context) error
	value     []byte
	finished  bool
}

type callKey struct{}

func callFrom(ctx context.Context) *call {
	c, _ := ctx.Value(callKey{}).(*call)
	return c
}

func (c *call) finish(value []byte, err error) error {
	c.value, c.finished = value, err == nil
	return err
}

// Run makes one attempt at a task as the user of ctx, which the worker has put there,
// and returns the encoded result; the package's text says what it does in which order.
// It seals the registry. Errors of the function come back as they are: verdicts and
// continuations too. Others are [task.ErrNoSuchTask], [task.ErrNoSuchUser],
// [task.ErrNoSuchObject], [task.ErrUnauthorized], [task.ErrBadInput], [task.ErrBadResult]
// and [task.ErrTooLarge], which are failures, and [ErrUnavailable], which is none. Panics are
// not caught. For workers.
func (r *Registry) Run(ctx context.Context, name string, obj task.Object, input []byte) (value []byte, err error) {
	r.Seal()
	h := r.tasks[name]
	if h == nil {
		return nil, fmt.Errorf("registry: task %s: %w", task.Quote(name), task.ErrNoSuchTask)
	}
	c := &call{handler: h, object: obj}
	ctx = context.WithValue(ctx, callKey{}, c)
	if c.principal, err = r.principal(ctx); err != nil {
		return nil, err
	}
	c.resolved = obj
	if h.object != nil {
		if err := r.resolve(ctx, c); err != nil {
			return nil, err
		}
	}
	if err := checkAll(ctx, h.permissions, obj); err != nil {
		return nil, err
	}
	if c.function, err = h.prepare(c, input); err != nil {
		return nil, err
	}
	if err := r.run(ctx); err != nil {
		return nil, err
	}
	if !c.finished {
		return h.zero()
	}
	return c.value, nil
}

// runFunction is the innermost Run.
func runFunction(ctx context.Context) error {
	c := callFrom(ctx)
	if c == nil {
		return errors.New("registry: middleware: it handed on a context of its own (make it from the one that it got)")
	}
	return c.function(ctx)
}
