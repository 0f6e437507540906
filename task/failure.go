package task

import (
	"fmt"
	"math"
	"strings"
	"unicode/utf8"
)

// Failure is how a job failed: a value, recorded in its outcome and returned by Wait.
// It is an error; [errors.Is] matches it by code with the sentinels of this package
// and with [Fail].
type Failure struct {
	Code    string   // "unauthorized", "timeout" …, the application's own, or "error"
	Message string   // at most 8 KiB
	Stack   string   // of a panic, at most 8 KiB
	Task    string   // the task that failed
	ID      string   // its job
	Attempt int      // which attempt it was, from 1
	Cause   *Failure // what it wraps
}

// Error returns the message.
func (f *Failure) Error() string {
	if f.Message == "" {
		return f.Code
	}
	return f.Message
}

// Unwrap returns the cause.
func (f *Failure) Unwrap() error {
	if f.Cause == nil {
		return nil
	}
	return f.Cause
}

// Is matches by code: a sentinel of this package, or what [Fail] made. A failure that
// was recorded is no sentinel, and matches itself alone.
func (f *Failure) Is(target error) bool {
	switch t := target.(type) {
	case *coded:
		return t.code == f.Code
	case *Failure:
		return t.Code == f.Code && t.ID == ""
	}
	return false
}

const maxCauses = 16

// FailureOf makes a failure of an error: its code from the first sentinel or Failure
// in the chain, its causes from what the error wraps. For workers.
func FailureOf(err error) *Failure { return failureOf(err, maxCauses) }

func failureOf(err error, left int) *Failure {
	for {
		v, ok := err.(*verdict)
		if !ok {
			break
		}
		err = v.err
	}
	if f, ok := err.(*Failure); ok {
		return f.bounded(left)
	}
	f := &Failure{Code: legible(codeOf(err)), Message: clip(err.Error())}
	if c, ok := err.(*coded); ok {
		f.Message = c.message
	}
	if inner := unwrap(err); inner != nil && left > 0 {
		f.Cause = failureOf(inner, left-1)
	}
	return f
}

// bounded copies f so that it can be recorded and read again, whoever made it.
func (f *Failure) bounded(left int) *Failure {
	c := &Failure{
		Code: legible(f.Code), Message: clip(f.Message), Stack: clip(f.Stack),
		Task: legible(f.Task), ID: f.ID, Attempt: min(max(f.Attempt, 0), math.MaxInt32),
	}
	if CheckFullID(f.ID) != nil {
		c.ID = ""
	}
	if c.Code == "" {
		c.Code = CodeError
	}
	if f.Cause != nil && left > 0 {
		c.Cause = f.Cause.bounded(left - 1)
	}
	return c
}

// legible keeps a code or a name within [MaxName] bytes, and valid.
func legible(s string) string {
	return strings.ToValidUTF8(s[:min(len(s), MaxName)], "")
}

// codeOf returns the code of the first sentinel or Failure in err, depth first.
func codeOf(err error) string {
	for err != nil {
		switch e := err.(type) {
		case *Failure:
			if e.Code != "" {
				return e.Code
			}
			return CodeError
		case *coded:
			return e.code
		case interface{ Unwrap() error }:
			err = e.Unwrap()
		case interface{ Unwrap() []error }:
			for _, branch := range e.Unwrap() {
				if code := codeOf(branch); code != CodeError {
					return code
				}
			}
			return CodeError
		default:
			return CodeError
		}
	}
	return CodeError
}

// unwrap follows the branch of a joined error that has a code, else its first.
func unwrap(err error) error {
	switch w := err.(type) {
	case interface{ Unwrap() error }:
		return w.Unwrap()
	case interface{ Unwrap() []error }:
		all := w.Unwrap()
		for _, e := range all {
			if codeOf(e) != CodeError {
				return e
			}
		}
		if len(all) > 0 {
			return all[0]
		}
	}
	return nil
}

// clip keeps a text within what is recorded, and valid.
func clip(s string) string {
	if len(s) > MaxStack {
		cut := MaxStack - 32
		for cut > 0 && !utf8.RuneStart(s[cut]) {
			cut--
		}
		s = fmt.Sprintf("%s… (%d bytes)", s[:cut], len(s))
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}
