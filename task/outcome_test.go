package task_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/natsasync/natsasync/task"
)

func succeeded(t *testing.T, v any) task.Outcome {
	t.Helper()
	b, err := task.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	o := outcome(task.Succeeded)
	o.Value = b
	return o
}

func TestResultsAreDecoded(t *testing.T) {
	t.Parallel()
	if n, err := task.Result[int](succeeded(t, 42)); n != 42 || err != nil {
		t.Errorf("%v, %v", n, err)
	}
	want := addArgs{A: 1, B: -2}
	if v, err := task.Result[addArgs](succeeded(t, want)); v != want || err != nil {
		t.Errorf("%+v, %v", v, err)
	}
	if v, err := task.Result[*addArgs](succeeded(t, want)); err != nil || *v != want {
		t.Errorf("%+v, %v", v, err)
	}
	o := succeeded(t, "text")
	if v, err := task.Result[task.Raw](o); err != nil || string(v) != string(o.Value) {
		t.Errorf("raw: %x, %v", v, err)
	}
	if v, err := task.Result[task.None](outcome(task.Succeeded)); v != (task.None{}) || err != nil {
		t.Errorf("none: %v, %v", v, err)
	}
	inner := outcome(task.Succeeded)
	if v, err := task.Result[task.Outcome](succeeded(t, inner)); err != nil || !cmp.Equal(v, inner) {
		t.Errorf("an outcome as a value: %+v, %v", v, err)
	}
}

func TestAResultOfAnotherTypeIsAnErrorThatNamesTheJob(t *testing.T) {
	t.Parallel()
	o := succeeded(t, "text")
	for _, err := range []error{
		func() error { _, err := task.Result[int](o); return err }(),
		func() error { _, err := task.Result[addArgs](o); return err }(),
		func() error { _, err := task.Result[int](outcome(task.Succeeded)); return err }(),
	} {
		if err == nil || !strings.Contains(err.Error(), o.ID) {
			t.Errorf("%v", err)
		}
		if _, failed := errors.AsType[*task.Failure](err); failed {
			t.Errorf("%v looks as if the job had failed", err)
		}
	}
}

func TestEndsWithoutAResult(t *testing.T) {
	t.Parallel()
	failed := outcome(task.Failed)
	failed.Failure = deepFailure
	if _, err := task.Result[int](failed); err != error(deepFailure) {
		t.Errorf("failed: %v", err)
	}
	if _, err := task.Result[task.Raw](failed); err != error(deepFailure) {
		t.Errorf("failed, raw: %v", err)
	}
	if _, err := task.Result[int](outcome(task.Cancelled)); !errors.Is(err, task.ErrCancelled) {
		t.Errorf("cancelled: %v", err)
	}
	f, ok := errors.AsType[*task.Failure](outcome(task.Failed).Err())
	if !ok || f.Code != task.CodeError || f.ID != outcome(task.Failed).ID {
		t.Errorf("failed without a failure: %+v", f)
	}
	if err := (task.Outcome{}).Err(); err == nil {
		t.Error("an outcome without an end is no success")
	}
	if err := outcome(task.Succeeded).Err(); err != nil {
		t.Error(err)
	}
}
