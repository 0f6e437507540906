package hooks

import (
	"errors"
	"fmt"
	"runtime/debug"
)

// begin runs fn in a goroutine, which tells the one error that came of it: also of a
// panic, and of a goroutine that exited.
func begin(fn func() error) <-chan error {
	done := make(chan error, 1)
	go func() {
		err := errors.New("the handler's goroutine exited")
		defer func() {
			if p := recover(); p != nil {
				err = fmt.Errorf("the handler panicked: %v\n%s", p, debug.Stack())
			}
			done <- err
		}()
		err = fn()
	}()
	return done
}
