package batch

import (
	"errors"
	"fmt"

	"github.com/natsasync/natsasync/task"
)

// Results are the outcomes of a batch's members, one a member, in the order of the
// calls. A member that is a batch has its own Results as its value:
// task.Result[batch.Results](results[i]).
type Results []task.Outcome

// Err joins the failures of the members that did not succeed, in their order; nil if all
// did. errors.Is matches any of them. It does not look into members that are batches.
func (r Results) Err() error {
	var all []error
	for i, o := range r {
		if err := o.Err(); err != nil {
			all = append(all, fmt.Errorf("batch: member %d: %w", i+1, err))
		}
	}
	return errors.Join(all...)
}

// Serial makes a call that runs calls one after another, whatever comes of them. Without
// calls it succeeds with no results.
func Serial(calls ...task.Callable) task.Call[Results] {
	return of(task.SerialBatch, task.Serial, calls)
}

// Parallel makes a call that runs calls at once, in no order. Without calls it succeeds
// with no results.
func Parallel(calls ...task.Callable) task.Call[Results] {
	return of(task.ParallelBatch, task.Parallel, calls)
}

func of(name string, mode task.Mode, calls []task.Callable) task.Call[Results] {
	members := make([]task.Spec, len(calls))
	for i, c := range calls {
		members[i] = c.Spec()
	}
	return task.CallOf[Results](task.Spec{Task: name, Mode: mode, Members: members})
}
