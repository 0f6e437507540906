package registry_test

import (
	"context"
	"errors"
	"testing"

	"github.com/natsasync/natsasync/registry"
	"github.com/natsasync/natsasync/task"
)

type ring struct{ Next *ring }

func endlessRing() *ring {
	r := &ring{}
	r.Next = r
	return r
}

func nested(levels int) any {
	var v any = 1
	for range levels {
		v = []any{v}
	}
	return v
}

// resultOf is what comes of a function that returns v.
func resultOf[T any](t *testing.T, v T) ([]byte, error) {
	t.Helper()
	reg := registry.New()
	registry.Handle(reg, task.Define[task.None, T]("thing.make"), func(context.Context, task.Object, task.None) (T, error) { return v, nil })
	return reg.Run(t.Context(), "thing.make", "", nil)
}

// A success that nobody can read would be a success that fails in every Wait.
func TestAResultThatNobodyCouldReadFailsTheJob(t *testing.T) {
	t.Parallel()
	for name, v := range map[string]any{
		"it contains itself":  endlessRing(),
		"too deep":            nested(task.MaxDepth + 1),
		"fractions as keys":   map[float64]int{1.5: 1},
		"lists as keys":       map[[2]int]int{{1, 2}: 1},
		"a text not in UTF-8": map[string]any{"a": "\xff\xfe"},
		"a channel":           []any{make(chan int)},
		"raw, and no msgpack": task.Raw{0xc1},
		"raw, and too deep":   task.Raw(append(make([]byte, 0, 64), []byte("\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\xc0")...)),
	} {
		value, err := resultOf(t, v)
		if !errors.Is(err, task.ErrBadResult) || value != nil {
			t.Errorf("%s: value %x, error %v; want a bad result", name, value, err)
			continue
		}
		mentions(t, err.Error(), "thing.make")
		if code := task.FailureOf(err).Code; code != "bad_result" {
			t.Errorf("%s: code %q", name, code)
		}
		if !task.VerdictOf(err).Permanent {
			t.Errorf("%s: it is tried again", name)
		}
	}
	_, err := resultOf(t, endlessRing())
	mentions(t, err.Error(), ".Next.Next", "32")
}

func TestAResultIsReadAsItWasMade(t *testing.T) {
	t.Parallel()
	value, err := resultOf(t, nested(task.MaxDepth))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := task.Result[any](task.Outcome{End: task.Succeeded, Value: value}); err != nil {
		t.Errorf("a result that was taken: %v", err)
	}
}

func TestALargeResultIsRefusedBeforeItIsEncoded(t *testing.T) {
	t.Parallel()
	large := make([]byte, 64<<20)
	for name, run := range map[string]func() ([]byte, error){
		"typed": func() ([]byte, error) { return resultOf(t, large) },
		"loose": func() ([]byte, error) { return resultOf[any](t, map[string]any{"a": large}) },
		"raw":   func() ([]byte, error) { return resultOf(t, task.Raw(large)) },
	} {
		_, err := run()
		if !errors.Is(err, task.ErrTooLarge) {
			t.Errorf("%s: error %v, want too large", name, err)
			continue
		}
		mentions(t, err.Error(), "thing.make", "262144", "67108")
	}
}
