//go:build unix

package integration_test

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/natsasync/natsasync/batch"
	"github.com/natsasync/natsasync/task"
)

// freeze is SIGSTOP, thaw SIGCONT: between them the process exists, its connection and
// its open pulls too, and it does nothing.
func (p *process) freeze(t *testing.T) { p.signal(t, syscall.SIGSTOP) }
func (p *process) thaw(t *testing.T)   { p.signal(t, syscall.SIGCONT) }

func (p *process) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

func TestF04AWorkerThatWasPausedRecordsNothingOverAnothersOutcome(t *testing.T) {
	t.Parallel()
	for round := range rounds(10, 100) {
		stubborn := round%2 == 1 // the function ignores its context
		t.Run(fmt.Sprint("round ", round), func(t *testing.T) {
			t.Parallel()
			c := newCell(t)
			first, second := c.employ("first", c.url), c.hire("second")
			one := queue(c, follow(script{Name: "one", Gate: "gate", Stubborn: stubborn}).OnSuccess(hear))
			two := queue(c, do("two"))
			c.history.await(t, "start", "one", 1)
			first.freeze(t)
			frozen := time.Now()
			second.begin()
			c.open("gate.second")
			succeeds(c, one)
			succeeds(c, two)
			time.Sleep(time.Until(frozen.Add(3 * shortLease)))
			first.thaw(t)
			c.open("gate.first")
			late := awaitBy(c, "end", "one", "first")
			first.awaitSaid(t, "reassigned")
			if !stubborn && !late.Lost && late.Err != "" {
				t.Errorf("the late function ended with %q, and not since its context had", late.Err)
			}
			second.stop()
			three := queue(c, do("three")) // the late worker is still of use
			succeeds(c, three)
			c.drained()
			if by := c.recorded("default", one.ID()).Record.Worker; by != "second" {
				t.Errorf("the outcome is by %q, want second", by)
			}
			c.starts("one", 2, 2)
			c.starts("two", 1, 1)
			c.starts("hear one", 1, 1)
			c.inOrder("default", []string{one.ID(), two.ID(), three.ID()}, []string{"one", "two", "three"})
			if a, b := c.history.find(t, "start", "one")[0].Fence, c.history.find(t, "start", "two")[0].Fence; b <= a {
				t.Errorf("the fence of the second job is %d, that of the first %d", b, a)
			}
		})
	}
}

func TestF04AWorkerThatWasPausedInASerialBatchDoesNotGoOnWithIt(t *testing.T) {
	t.Parallel()
	c := newCell(t)
	first, second := c.employ("first", c.url), c.hire("second")
	b := queue(c, batch.Serial(gated("m1", "gate"), gated("m2", "middle"), do("m3")))
	next := queue(c, do("next"))
	c.history.await(t, "start", "m1", 1)
	first.freeze(t)
	frozen := time.Now()
	second.begin()
	c.open("gate.second")
	awaitBy(c, "start", "m2", "second")
	time.Sleep(time.Until(frozen.Add(2*shortLease + shortLease/2)))
	first.thaw(t)
	c.open("gate.first")
	awaitBy(c, "end", "m1", "first")
	first.awaitSaid(t, "reassigned")
	c.starts("next", 0, 0)
	c.open("middle")
	if err := succeeds(c, b).Err(); err != nil {
		t.Error(err)
	}
	succeeds(c, next)
	c.drained()
	c.starts("m1", 2, 2)
	c.starts("m2", 1, 1)
	c.starts("m3", 1, 1)
	for i := 1; i <= 3; i++ {
		if by := c.recorded("default", task.MemberID(b.ID(), i)).Record.Worker; by != "second" {
			t.Errorf("the outcome of member %d is by %q, want second", i, by)
		}
	}
	c.inOrder("default", []string{b.ID(), next.ID()}, []string{"m1", "next"})
}
