package consumer

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/natsasync/natsasync/task"
)

func TestWhateverATaskDoesIsAnError(t *testing.T) {
	t.Parallel()
	plain := errors.New("plain")
	for _, c := range []struct {
		name string
		fn   func() error
		want error
		text string
	}{
		{"a result", func() error { return nil }, nil, ""},
		{"an error", func() error { return plain }, plain, "plain"},
		{"a panic", func() error { panic("boom") }, task.ErrPanicked, "boom"},
		{"a panic with an error", func() error { panic(plain) }, task.ErrPanicked, "plain"},
		{"a panic with nil", func() error { panic(nil) }, task.ErrPanicked, "nil"}, //nolint:govet // what it is about
		{"a panic whose text panics", func() error { panic(grumpy{}) }, task.ErrPanicked, "panic"},
		{"a nil map", func() error { unmade()["x"] = 1; return nil }, task.ErrPanicked, "nil map"},
		{"runtime.Goexit", func() error { runtime.Goexit(); return nil }, task.ErrPanicked, "Goexit"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			ended := make(chan error, 2)
			go protect(c.fn, func(err error) { ended <- err })
			got := <-ended
			switch {
			case c.want != nil && !errors.Is(got, c.want):
				t.Errorf("error is %v, want %v", got, c.want)
			case c.text == "" && got != nil:
				t.Errorf("error is %v, want none", got)
			case c.text != "" && (got == nil || !strings.Contains(got.Error(), c.text)):
				t.Errorf("error is %v, want one with %q", got, c.text)
			}
			var f *task.Failure
			if c.want == task.ErrPanicked && c.name != "runtime.Goexit" && (!errors.As(got, &f) || !strings.Contains(f.Stack, "protect_internal_test")) {
				t.Error("the failure has no stack of the task")
			}
			select {
			case more := <-ended:
				t.Errorf("it ended twice: %v", more)
			default:
			}
		})
	}
}

func TestNilFailureIsAnErrorThatSaysSo(t *testing.T) {
	t.Parallel()
	var none *task.Failure
	var a attempted
	a.read(none)
	if a.failure == nil || !strings.Contains(a.failure.Message, "nil *task.Failure") {
		t.Errorf("the failure is %+v", a.failure)
	}
}

func unmade() map[string]int { return nil }

type grumpy struct{}

func (grumpy) Error() string { panic("no text") }

func TestAttemptsOfAnotherMemberDoNotCount(t *testing.T) {
	t.Parallel()
	d := &delivery{claim: &task.Claim{Member: "job.1", Attempts: 3}}
	for id, want := range map[string]int{"job.1": 3, "job.2": 0, "job": 0} {
		if got := d.attempts(id); got != want {
			t.Errorf("attempts of %s are %d, want %d", id, got, want)
		}
	}
	if got := (&delivery{}).attempts("job"); got != 0 {
		t.Errorf("attempts without a claim are %d", got)
	}
}

func TestNakNamesItsPause(t *testing.T) {
	t.Parallel()
	if got := string(nakBody(0)); got != "-NAK" {
		t.Errorf("got %q", got)
	}
	if got, want := string(nakBody(1500)), fmt.Sprintf(`-NAK {"delay": %d}`, 1500); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
