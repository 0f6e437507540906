package registry

import (
	"errors"
	"fmt"

	"github.com/natsasync/natsasync/task"
)

// ErrUnavailable means that a directory could not tell who the user is, what they may
// do, or what an object is. It is no failure of the job: the worker gives it back and
// counts no attempt. [Registry.Run] and [Check] return it.
var ErrUnavailable = errors.New("registry: the directory is unavailable")

// answered says whether a directory gave an answer, if not one that helps the job.
func answered(err error) bool {
	return errors.Is(err, task.ErrUnauthorized) || errors.Is(err, task.ErrNoSuchUser) || errors.Is(err, task.ErrNoSuchObject)
}

// fromDirectory keeps an answer and marks everything else as no answer.
func fromDirectory(what, value string, err error) error {
	if answered(err) {
		return fmt.Errorf("registry: %s %s: %w", what, task.Quote(value), err)
	}
	return fmt.Errorf("%w: %s %s: %w", ErrUnavailable, what, task.Quote(value), err)
}

// noSuchObject is one text for an object that is not there and one that is not shown.
func noSuchObject(obj task.Object) error {
	return fmt.Errorf("registry: object %s: %w", task.Quote(string(obj)), task.ErrNoSuchObject)
}
