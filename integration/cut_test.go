package integration_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/natsasync/natsasync/consumer"
)

// hireBehind is hire for a worker behind a wire.
func (c *cell) hireBehind(w *wire, name string) *hand {
	c.t.Helper()
	return c.hireWith(jetStreamOf(c.t, c.dial(w.url())), newStory(c.history, c.dir, name).registry(),
		consumer.Config{Trust: trusted, Name: name, Logger: quiet})
}

func TestF14AWorkerThatIsCutOffEndsItsFunctionsBeforeAnotherStartsThem(t *testing.T) {
	t.Parallel()
	for round := range rounds(5, 50) {
		t.Run(fmt.Sprint("round ", round), func(t *testing.T) {
			t.Parallel()
			c := newCellWithLease(t, time.Second)
			w := newWire(t, c.url)
			first, second := c.hireBehind(w, "first"), c.hire("second")
			first.begin()
			one := queue(c, gated("one", "gate"))
			two := queue(c, do("two"))
			c.history.await(t, "start", "one", 1)
			w.cut()
			second.begin()
			ended := awaitBy(c, "end", "one", "first")
			if !ended.Lost || ended.Err == "" {
				t.Errorf("the function ended with %q, and its context had ended: %v", ended.Err, ended.Lost)
			}
			if again := awaitBy(c, "start", "one", "second"); again.At.Before(ended.At) {
				t.Errorf("the other worker started at %v, before this one's function ended at %v", again.At, ended.At)
			}
			w.heal()
			c.open("gate")
			succeeds(c, one)
			succeeds(c, two)
			c.drained()
			if by := c.recorded("default", one.ID()).Record.Worker; by != "second" {
				t.Errorf("the outcome is by %q, want second", by)
			}
			c.inOrder("default", []string{one.ID(), two.ID()}, []string{"one", "two"})
		})
	}
}

func TestF14AWorkerThatIsCutOffForLessThanItsLeaseGoesOn(t *testing.T) {
	t.Parallel()
	c := newCell(t)
	w := newWire(t, c.url)
	first := c.hireBehind(w, "first")
	first.begin()
	one := queue(c, gated("one", "gate"))
	c.history.await(t, "start", "one", 1)
	w.cut()
	w.heal()
	c.open("gate")
	succeeds(c, one)
	c.starts("one", 1, 1)
	c.recorded("default", one.ID())
}
