package task_test

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/natsasync/natsasync/task"
)

// recorded sends an error the way of a failed job: to a record, over the wire and back.
func recorded(t interface {
	Helper()
	Fatalf(string, ...any)
}, err error,
) *task.Failure {
	t.Helper()
	o := outcome(task.Failed)
	o.Failure = task.FailureOf(err)
	r, bad := task.DecodeRecord((&task.Record{Outcome: o}).Encode())
	if bad != nil {
		t.Fatalf("the record of %T cannot be read: %v", err, bad)
	}
	if diff := cmp.Diff(o.Failure, r.Failure); diff != "" {
		t.Fatalf("the wire changed a failure (-before +after):\n%s", diff)
	}
	return r.Failure
}

func TestErrorsMatchByCodeAfterTheWire(t *testing.T) {
	t.Parallel()
	for code, sentinel := range map[string]error{
		"unauthorized": task.ErrUnauthorized, "no_such_user": task.ErrNoSuchUser, "no_such_object": task.ErrNoSuchObject, "no_such_task": task.ErrNoSuchTask,
		"no_such_job": task.ErrNoSuchJob, "expired": task.ErrExpired, "timeout": task.ErrTimeout, "interrupted": task.ErrInterrupted,
		"panicked": task.ErrPanicked, "too_large": task.ErrTooLarge, "cancelled": task.ErrCancelled, "bad_input": task.ErrBadInput,
	} {
		for _, err := range []error{
			sentinel, fmt.Errorf("submit: %w", sentinel), fmt.Errorf("a: %w", fmt.Errorf("b: %w", sentinel)), task.Permanent(sentinel),
			fmt.Errorf("a: %w", task.RetryAfter(time.Second, sentinel)), errors.Join(io.EOF, sentinel), fmt.Errorf("%w, %w", io.EOF, sentinel),
		} {
			f := recorded(t, err)
			if !errors.Is(f, sentinel) || f.Code != code {
				t.Errorf("%q: code %q does not match %v", err, f.Code, sentinel)
			}
			if errors.Is(f, io.EOF) {
				t.Errorf("%q matches an error that has no code", err)
			}
			if sentinel != task.ErrTimeout && errors.Is(f, task.ErrTimeout) {
				t.Errorf("%q matches another code", err)
			}
		}
	}
}

func TestTheFirstCodeOfAChainCounts(t *testing.T) {
	t.Parallel()
	inner := &task.Failure{Code: "out_of_stock", Message: "no more"}
	for _, test := range []struct {
		err  error
		want string
	}{
		{fmt.Errorf("%w: %w", task.ErrUnauthorized, inner), "unauthorized"},
		{fmt.Errorf("%w: %w", inner, task.ErrUnauthorized), "out_of_stock"},
		{errors.Join(errors.New("x"), inner, task.ErrTimeout), "out_of_stock"},
		{errors.Join(errors.New("x"), errors.New("y")), task.CodeError},
		{errors.New("x"), task.CodeError},
		{task.Fail("", "no code"), task.CodeError},
		{fmt.Errorf("x: %w", task.Fail("", "no code")), task.CodeError},
	} {
		f := recorded(t, test.err)
		if f.Code != test.want {
			t.Errorf("%v: code %q, want %q", test.err, f.Code, test.want)
		}
	}
}

func TestCodesOfTheApplication(t *testing.T) {
	t.Parallel()
	f := recorded(t, fmt.Errorf("order 7: %w", task.Fail("out_of_stock", "no more chairs")))
	if !errors.Is(f, task.Fail("out_of_stock", "")) || errors.Is(f, task.Fail("other", "")) {
		t.Errorf("%+v does not match by its code", f)
	}
	errOutOfStock := task.Fail("out_of_stock", "there are no more")
	if !errors.Is(f, errOutOfStock) {
		t.Error("an error kept in a variable is no sentinel")
	}
	another := recorded(t, errOutOfStock)
	another.ID = "another"
	if errors.Is(f, another) {
		t.Error("the failure of another job is a sentinel")
	}
	if f.Error() != "order 7: no more chairs" || f.Cause.Error() != "no more chairs" {
		t.Errorf("%q, caused by %q", f, f.Cause)
	}
	if got := (&task.Failure{Code: "x"}).Error(); got != "x" {
		t.Errorf("a failure without a message says %q", got)
	}
	if got, ok := errors.AsType[*task.Failure](fmt.Errorf("wait: %w", f)); !ok || got != f {
		t.Error("errors.AsType does not find it")
	}
}

func TestCausesAreKept(t *testing.T) {
	t.Parallel()
	f := recorded(t, fmt.Errorf("a: %w", fmt.Errorf("b: %w", task.ErrTimeout)))
	want := &task.Failure{
		Code: "timeout", Message: "a: b: task: the attempt took too long",
		Cause: &task.Failure{
			Code: "timeout", Message: "b: task: the attempt took too long",
			Cause: &task.Failure{Code: "timeout", Message: "the attempt took too long"},
		},
	}
	if diff := cmp.Diff(want, f); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// A record that cannot be read counts for nothing: its job would run for ever.
func TestEveryFailureCanBeRecorded(t *testing.T) {
	t.Parallel()
	chain := &task.Failure{Code: "deep"}
	for range 50 {
		chain = &task.Failure{Code: "deep", Cause: chain}
	}
	var wrapped error = task.ErrTimeout
	for i := range 50 {
		wrapped = fmt.Errorf("%d: %w", i, wrapped)
	}
	half := &task.Failure{Code: "half", Cause: &task.Failure{Code: "half", Cause: recorded(t, wrapped)}}
	for _, err := range []error{
		chain, wrapped, fmt.Errorf("a: %w", chain), fmt.Errorf("a: %w", half),
		task.Fail("\xff\xfe", "\xff"), task.Fail(strings.Repeat("c", 1<<20), strings.Repeat("m", 10<<20)),
		&task.Failure{Code: "x", Attempt: -1, ID: "not an ID", Task: "\xff", Stack: "\xff"}, errors.New(""),
		&task.Failure{Code: "x", Cause: &task.Failure{Code: "y", Message: strings.Repeat("m", 1<<20)}},
	} {
		recorded(t, err)
	}
	rapid.Check(t, func(t *rapid.T) {
		var err error = &task.Failure{Code: rapid.String().Draw(t, "code"), Message: rapid.String().Draw(t, "message"), Attempt: rapid.Int().Draw(t, "attempt")}
		for range rapid.IntRange(0, 40).Draw(t, "wraps") {
			switch rapid.IntRange(0, 2).Draw(t, "how") {
			case 0:
				err = fmt.Errorf("%s: %w", string(rapid.SliceOf(rapid.Byte()).Draw(t, "text")), err)
			case 1:
				err = errors.Join(io.EOF, err)
			case 2:
				err = &task.Failure{Code: "outer", Cause: task.FailureOf(err)}
			}
		}
		recorded(t, err)
	})
}

func TestMakingAFailureChangesNobodysValue(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("m", 1<<20)
	f := &task.Failure{Code: "x", Message: long, Cause: &task.Failure{Code: "y", Message: long}}
	task.FailureOf(f)
	if len(f.Message) != 1<<20 || len(f.Cause.Message) != 1<<20 {
		t.Error("the error of the handler was cut")
	}
}

func TestLongTextsAreCutAndSaySo(t *testing.T) {
	t.Parallel()
	f := recorded(t, &task.Failure{Code: "panicked", Message: strings.Repeat("é", 5<<20), Stack: strings.Repeat("s", 10<<20)})
	for _, text := range []string{f.Message, f.Stack} {
		if len(text) > task.MaxStack || !utf8.ValidString(text) || !strings.HasSuffix(text, "… (10485760 bytes)") {
			t.Errorf("%d bytes, ends in %q", len(text), text[len(text)-40:])
		}
	}
	if f := recorded(t, errors.New(strings.Repeat("m", task.MaxStack))); len(f.Message) != task.MaxStack {
		t.Errorf("a message of the longest size has %d bytes", len(f.Message))
	}
}

func TestVerdicts(t *testing.T) {
	t.Parallel()
	if task.Retryable(nil) != nil || task.RetryAfter(time.Second, nil) != nil || task.Permanent(nil) != nil {
		t.Error("no error became one")
	}
	for _, test := range []struct {
		err  error
		want task.Verdict
	}{
		{io.EOF, task.Verdict{}},
		{task.Retryable(io.EOF), task.Verdict{Retry: true}},
		{fmt.Errorf("x: %w", task.RetryAfter(time.Second, io.EOF)), task.Verdict{Retry: true, After: time.Second}},
		{task.RetryAfter(-time.Second, io.EOF), task.Verdict{Retry: true}},
		{task.Permanent(task.Retryable(io.EOF)), task.Verdict{Permanent: true}},
	} {
		if got := task.VerdictOf(test.err); got != test.want {
			t.Errorf("%v: %+v, want %+v", test.err, got, test.want)
		}
		if !errors.Is(test.err, io.EOF) {
			t.Errorf("%v hides its cause", test.err)
		}
	}
}

func TestContinueCarriesItsCall(t *testing.T) {
	t.Parallel()
	call := add.On(folder, addArgs{A: 1, B: 2})
	n, err := task.Continue(call)
	s, ok := task.Continuation(fmt.Errorf("wrapped: %w", err))
	if n != 0 || !ok || s.Task != "math.add" || s.Object != folder {
		t.Errorf("%v %+v %v", n, s, ok)
	}
	if _, ok := task.Continuation(io.EOF); ok {
		t.Error("an ordinary error continues")
	}
}
