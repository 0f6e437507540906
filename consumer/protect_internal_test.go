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
		fn   func() ([]byte, error)
		want error
		text string
	}{
		{"a result", func() ([]byte, error) { return []byte("x"), nil }, nil, ""},
		{"an error", func() ([]byte, error) { return nil, plain }, plain, "plain"},
		{"a panic", func() ([]byte, error) { panic("boom") }, task.ErrPanicked, "boom"},
		{"a panic with an error", func() ([]byte, error) { panic(plain) }, task.ErrPanicked, "plain"},
		{"a panic with nil", func() ([]byte, error) { panic(nil) }, task.ErrPanicked, "nil"}, //nolint:govet // what it is about
		{"a panic whose text panics", func() ([]byte, error) { panic(grumpy{}) }, task.ErrPanicked, "panic"},
		{"a nil map", func() ([]byte, error) { var m map[string]int; m["x"] = 1; return nil, nil }, task.ErrPanicked, "nil map"},
		{"runtime.Goexit", func() ([]byte, error) { runtime.Goexit(); return nil, nil }, task.ErrPanicked, "Goexit"},
		{"a nil failure", func() ([]byte, error) { var f *task.Failure; return nil, f }, nil, "nil *task.Failure"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			type end struct {
				value []byte
				err   error
			}
			ended := make(chan end, 2)
			go protect(c.fn, func(v []byte, err error) { ended <- end{v, err} })
			got := <-ended
			switch {
			case c.want != nil && !errors.Is(got.err, c.want):
				t.Errorf("error is %v, want %v", got.err, c.want)
			case c.text == "" && got.err != nil:
				t.Errorf("error is %v, want none", got.err)
			case c.text != "" && (got.err == nil || !strings.Contains(got.err.Error(), c.text)):
				t.Errorf("error is %v, want one with %q", got.err, c.text)
			}
			var f *task.Failure
			if c.want == task.ErrPanicked && c.name != "runtime.Goexit" && (!errors.As(got.err, &f) || !strings.Contains(f.Stack, "protect_internal_test")) {
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
