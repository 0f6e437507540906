package integration_test

import (
	"errors"
	"runtime"
	"strings"
	"testing"

	"github.com/natsasync/natsasync/producer"
	"github.com/natsasync/natsasync/task"
)

// panics are what a function does that ends it and must not end its process.
var panics = map[string]func(){
	"panic":              func() { panic("as the script says") },
	"panic with nil":     func() { panic(nil) }, //nolint:govet // what it is about
	"panic with 1 MB":    func() { panic(strings.Repeat("long ", 200_000)) },
	"a nil map":          func() { unmade()["x"] = 1 },
	"a closed channel":   func() { c := make(chan int); close(c); close(c) },
	"an index":           func() { _ = []int{}[len(crashes)] },
	"a nil pointer":      func() { sink = *nowhere() },
	"runtime.Goexit":     runtime.Goexit,
	"a panic in a defer": func() { defer panic("second"); panic("first") },
}

func nowhere() *int { return nil }

func TestF24APanicFailsItsJobAloneAndItsProcessLives(t *testing.T) {
	t.Parallel()
	c := newCell(t)
	p := c.employ("worker", c.url)
	jobs, after := map[string]*producer.Job[string]{}, map[string]*producer.Job[string]{}
	for name := range panics {
		jobs[name] = queue(c, follow(script{Name: name, Panic: name}).OnFailure(regret))
		after[name] = queue(c, do("after "+name))
	}
	for name, job := range jobs {
		_, err := result(c, job)
		if !errors.Is(err, task.ErrPanicked) {
			t.Errorf("%s: the error is %v, want ErrPanicked", name, err)
		}
		f := c.recorded("default", job.ID()).Record.Failure
		if len(f.Message) > 16<<10 || len(f.Stack) > 16<<10 {
			t.Errorf("%s: the failure has a message of %d bytes and a stack of %d", name, len(f.Message), len(f.Stack))
		}
		succeeds(c, after[name])
		c.starts(name, 1, 1)
	}
	c.history.await(t, "end", "regret panicked", len(panics))
	c.drained()
	for _, l := range c.history.read(t) {
		if l.PID != 0 && l.Event == "start" && l.PID != p.cmd.Process.Pid {
			t.Errorf("process %d ran %q, the worker is %d", l.PID, l.Name, p.cmd.Process.Pid)
		}
	}
	select {
	case <-p.done:
		t.Errorf("the worker has ended:\n%s", p.said())
	default:
	}
}
