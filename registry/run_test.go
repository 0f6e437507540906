package registry_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/natsasync/natsasync/registry"
	"github.com/natsasync/natsasync/task"
)

func TestAnyInputReachesTheFunctionAndItsResultComesBack(t *testing.T) {
	t.Parallel()
	reg := registry.New()
	registry.Handle(reg, add, sum)
	rapid.Check(t, func(rt *rapid.T) {
		in := addArgs{rapid.Int().Draw(rt, "a"), rapid.Int().Draw(rt, "b")}
		value, err := reg.Run(t.Context(), "math.add", "", encode(t, in))
		if err != nil {
			rt.Fatal(err)
		}
		got, err := task.Result[int](task.Outcome{End: task.Succeeded, Value: value})
		if err != nil || got != in.A+in.B {
			rt.Fatalf("%d and %d make %d, %v", in.A, in.B, got, err)
		}
	})
}

func TestAnUnknownTaskIsNoSuchTask(t *testing.T) {
	t.Parallel()
	_, err := registry.New().Run(t.Context(), "math.sub", "", nil)
	if !errors.Is(err, task.ErrNoSuchTask) {
		t.Errorf("error %v, want no such task", err)
	}
}

func TestInputThatDoesNotFitFailsWithBadInputAndTheTask(t *testing.T) {
	t.Parallel()
	ran := false
	reg := registry.New()
	registry.Handle(reg, add, func(context.Context, task.Object, addArgs) (int, error) {
		ran = true
		return 0, nil
	})
	registry.Handle(reg, touch, nothing)
	registry.Handle(reg, rename, func(context.Context, *folder, string) (string, error) {
		ran = true
		return "", nil
	})
	registry.Objects(reg, "/{path...}", openFolder)
	registry.Users(reg, everybody(rights{}))
	reg.HandleRaw("raw.take", func(context.Context, task.Object, []byte) ([]byte, error) {
		ran = true
		return nil, nil
	})
	for _, c := range []struct {
		story, task string
		input       []byte
	}{
		{"a text", "math.add", encode(t, "forty-two")},
		{"a field of another version", "math.add", encode(t, map[string]int{"A": 1, "C": 2})},
		{"nothing", "math.add", nil},
		{"half a map", "math.add", []byte{0x82, 0xa1}},
		{"five deadly bytes", "math.add", []byte{0xdd, 0xff, 0xff, 0xff, 0xff}},
		{"something for a task without input", "doc.touch", encode(t, 1)},
		{"a text that is not UTF-8", "doc.rename", []byte{0xa2, 0xff, 0xfe}},
		{"a text that is not UTF-8, untyped", "raw.take", []byte{0x91, 0xa2, 0xff, 0xfe}},
		{"a key twice, untyped", "raw.take", []byte{0x82, 0x01, 0x01, 0x01, 0x02}},
	} {
		_, err := reg.Run(t.Context(), c.task, "/a", c.input)
		if !errors.Is(err, task.ErrBadInput) {
			t.Errorf("%s: error %v, want bad input", c.story, err)
			continue
		}
		mentions(t, err.Error(), c.task)
	}
	if ran {
		t.Error("the function ran")
	}
}

func TestATaskWithoutInputAndResultTakesNoneAndGivesNone(t *testing.T) {
	t.Parallel()
	reg := registry.New()
	registry.Handle(reg, touch, nothing)
	for _, input := range [][]byte{nil, {}, {0xc0}} {
		value, err := reg.Run(t.Context(), "doc.touch", "/a", input)
		if err != nil || value != nil {
			t.Errorf("input %x: value %x, error %v; want none", input, value, err)
		}
	}
}

func TestRawInputAndResultsAreLeftAsTheyAre(t *testing.T) {
	t.Parallel()
	echo := task.Define[task.Raw, task.Raw]("raw.echo")
	reg := registry.New()
	registry.Handle(reg, echo, func(_ context.Context, _ task.Object, in task.Raw) (task.Raw, error) { return in, nil })
	reg.HandleRaw("cli.echo", func(_ context.Context, obj task.Object, in []byte) ([]byte, error) {
		if obj != "/a" {
			t.Errorf("the object is %q, want /a", obj)
		}
		return in, nil
	})
	for _, name := range []string{"raw.echo", "cli.echo"} {
		for _, in := range [][]byte{nil, encode(t, map[string]any{"x": []int{1, 2}})} {
			value, err := reg.Run(t.Context(), name, "/a", in)
			if err != nil || !bytes.Equal(value, in) {
				t.Errorf("%s of %x: %x, %v", name, in, value, err)
			}
		}
		if _, err := reg.Run(t.Context(), name, "/a", []byte{0x92, 0x01}); err == nil {
			t.Errorf("%s: a result that nobody can decode was taken", name)
		}
	}
}

func TestOutcomesAndFailuresAreInputsOfCallbacks(t *testing.T) {
	t.Parallel()
	audit := task.Define[task.Outcome, string]("audit.log")
	alert := task.Define[task.Failure, string]("mail.alert")
	reg := registry.New()
	registry.Handle(reg, audit, func(_ context.Context, _ task.Object, o task.Outcome) (string, error) {
		return o.ID + " " + string(o.End), nil
	})
	registry.Handle(reg, alert, func(_ context.Context, _ task.Object, f task.Failure) (string, error) { return f.Code, nil })

	for name, c := range map[string]struct {
		in   any
		want string
	}{
		"audit.log":  {task.Outcome{ID: "J", End: task.Cancelled}, "J cancelled"},
		"mail.alert": {task.Failure{Code: "out_of_stock", Message: "none left"}, "out_of_stock"},
	} {
		value, err := reg.Run(t.Context(), name, "", encode(t, c.in))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got, err := task.Result[string](task.Outcome{End: task.Succeeded, Value: value}); got != c.want || err != nil {
			t.Errorf("%s: %q, %v; want %q", name, got, err, c.want)
		}
	}
}

func TestAResultThatIsTooLargeFailsWithLimitAndSize(t *testing.T) {
	t.Parallel()
	big := task.Define[int, []byte]("big.make")
	reg := registry.New()
	registry.Handle(reg, big, func(_ context.Context, _ task.Object, n int) ([]byte, error) { return make([]byte, n), nil })

	const header = 5
	if _, err := reg.Run(t.Context(), "big.make", "", encode(t, task.MaxResult-header)); err != nil {
		t.Errorf("a result of exactly the limit: %v", err)
	}
	_, err := reg.Run(t.Context(), "big.make", "", encode(t, task.MaxResult-header+1))
	if !errors.Is(err, task.ErrTooLarge) {
		t.Fatalf("error %v, want too large", err)
	}
	mentions(t, err.Error(), "262145", "262144", "big.make", "object store")
}

func TestErrorsOfTheFunctionComeBackAsTheyAre(t *testing.T) {
	t.Parallel()
	plain := errors.New("the disk is full")
	_, handover := task.Continue(rename.On("/a", "b"))
	for _, want := range []error{plain, task.RetryAfter(time.Minute, plain), task.Permanent(plain), task.Fail("out_of_stock", ""), handover} {
		reg := registry.New()
		registry.Handle(reg, add, func(context.Context, task.Object, addArgs) (int, error) { return 7, want })
		value, err := reg.Run(t.Context(), "math.add", "", encode(t, addArgs{}))
		if err != want || value != nil {
			t.Errorf("value %x, error %#v; want no value and %#v", value, err, want)
		}
	}
}

func TestPanicsAreLeftToTheWorker(t *testing.T) {
	t.Parallel()
	reg := registry.New()
	registry.Handle(reg, touch, func(context.Context, task.Object, task.None) (task.None, error) { panic("ouch") })
	if said := panics(t, func() { _, _ = reg.Run(t.Context(), "doc.touch", "", nil) }); said != "ouch" {
		t.Errorf("it panicked with %q, want ouch", said)
	}
}

func TestMiddlewareWrapsEveryAttemptTheFirstOutermost(t *testing.T) {
	t.Parallel()
	var log []string
	built := 0
	note := func(name string) func(registry.Run) registry.Run {
		return func(next registry.Run) registry.Run {
			built++
			return func(ctx context.Context) error {
				log = append(log, name+" in")
				err := next(ctx)
				log = append(log, fmt.Sprintf("%s out: %v", name, err))
				return err
			}
		}
	}
	reg := registry.New()
	reg.Use(note("a"), note("b"))
	registry.Handle(reg, add, func(context.Context, task.Object, addArgs) (int, error) {
		log = append(log, "run")
		return 0, errors.New("no")
	})
	reg.Use(note("c"))

	for range 2 {
		log = nil
		if _, err := reg.Run(t.Context(), "math.add", "", encode(t, addArgs{})); err == nil || err.Error() != "no" {
			t.Errorf("error %v, want no", err)
		}
		want := []string{"a in", "b in", "c in", "run", "c out: no", "b out: no", "a out: no"}
		if diff := cmp.Diff(want, log); diff != "" {
			t.Errorf("what ran (-want +got):\n%s", diff)
		}
	}
	if built != 3 {
		t.Errorf("middleware was built %d times, want 3", built)
	}
}

func TestMiddlewareSeesUserPrincipalAndObject(t *testing.T) {
	t.Parallel()
	reg := registry.New()
	registry.Users(reg, everybody(rights{"View", "Edit"}))
	registry.Objects(reg, "/plone/{path...}", openFolder, registry.Require("View"))
	registry.Handle(reg, rename, func(_ context.Context, f *folder, name string) (string, error) { return f.name + name, nil })
	seen := false
	reg.Use(func(next registry.Run) registry.Run {
		return func(ctx context.Context) error {
			seen = true
			if got := task.UserFrom(ctx); got != alice {
				t.Errorf("the user is %v, want alice", got)
			}
			if err := registry.Check(ctx, "Edit", "/plone/a"); err != nil {
				t.Errorf("alice may not edit: %v", err)
			}
			if got := registry.PathValue(ctx, "path"); got != "a/b" {
				t.Errorf("the path is %q, want a/b", got)
			}
			return next(ctx)
		}
	})
	if _, err := reg.Run(asAlice(t), "doc.rename", "/plone/a/b", encode(t, "x")); err != nil || !seen {
		t.Errorf("seen %v, error %v", seen, err)
	}
}

func TestMiddlewareDecidesWhatTheAttemptReturns(t *testing.T) {
	t.Parallel()
	stop := errors.New("closed on Sundays")
	for story, c := range map[string]struct {
		mw   func(registry.Run) registry.Run
		want any
		err  error
	}{
		"its own error": {
			func(registry.Run) registry.Run { return func(context.Context) error { return stop } }, nil, stop,
		},
		"an error after a result": {
			func(next registry.Run) registry.Run {
				return func(ctx context.Context) error { return errors.Join(next(ctx), stop) }
			}, nil, stop,
		},
		"nil without running": {
			func(registry.Run) registry.Run { return func(context.Context) error { return nil } }, 0, nil,
		},
		"running twice": {
			func(next registry.Run) registry.Run {
				return func(ctx context.Context) error {
					if err := next(ctx); err != nil {
						return err
					}
					return next(ctx)
				}
			}, 42, nil,
		},
	} {
		t.Run(story, func(t *testing.T) {
			t.Parallel()
			reg := registry.New()
			registry.Handle(reg, add, sum)
			reg.Use(c.mw)
			value, err := reg.Run(t.Context(), "math.add", "", encode(t, addArgs{40, 2}))
			if !errors.Is(err, c.err) {
				t.Fatalf("error %v, want %v", err, c.err)
			}
			var want []byte
			if c.want != nil {
				want = encode(t, c.want)
			}
			if !bytes.Equal(value, want) {
				t.Errorf("value %x, want %x", value, want)
			}
		})
	}
}

func TestMiddlewareThatLosesTheContextIsTold(t *testing.T) {
	t.Parallel()
	reg := registry.New()
	registry.Handle(reg, touch, nothing)
	reg.Use(func(next registry.Run) registry.Run {
		return func(context.Context) error { return next(context.Background()) }
	})
	_, err := reg.Run(t.Context(), "doc.touch", "", nil)
	if err == nil {
		t.Fatal("no error")
	}
	mentions(t, err.Error(), "middleware", "context")
}

func BenchmarkRun(b *testing.B) {
	reg := registry.New()
	registry.Users(reg, everybody(rights{"View", "Edit"}))
	registry.Objects(reg, "/plone/{path...}", func(context.Context, task.Object) (*folder, error) { return &folder{}, nil }, registry.Require("View"))
	registry.Handle(reg, add, func(_ context.Context, _ *folder, in addArgs) (int, error) { return in.A + in.B, nil }, registry.Require("Edit"))
	ctx, input := asAlice(b), encode(b, addArgs{40, 2})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := reg.Run(ctx, "math.add", "/plone/folder", input); err != nil {
			b.Fatal(err)
		}
	}
}
