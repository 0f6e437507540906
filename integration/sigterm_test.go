//go:build unix

package integration_test

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/natsasync/natsasync/producer"
	"github.com/natsasync/natsasync/task"
)

// code waits until the process has ended and returns its exit code.
func (p *process) code(t *testing.T) int {
	t.Helper()
	p.gone(t)
	return p.cmd.ProcessState.ExitCode()
}

func TestF26AWorkerThatIsAskedToStopLosesNothing(t *testing.T) {
	t.Parallel()
	for _, running := range []int{0, 1, 5} {
		t.Run(fmt.Sprint("while it runs ", running), func(t *testing.T) {
			t.Parallel()
			const lease = time.Minute // so long that whoever waits for it is found out
			c := newCellWithLease(t, lease)
			for round := range rounds(3, 30) {
				gate := fmt.Sprint("gate ", round)
				first := c.employ("first", c.url)
				var jobs []*producer.Job[string]
				for i := range running {
					jobs = append(jobs, queue(c, gated(fmt.Sprint("job ", round, ".", i), gate).With(task.WithoutQuota())))
				}
				for i := range running {
					c.history.await(t, "start", fmt.Sprint("job ", round, ".", i), 1)
				}
				first.signal(t, syscall.SIGTERM)
				first.signal(t, syscall.SIGTERM) // twice is as once
				first.awaitSaid(t, "worker stops")
				later := queue(c, do(fmt.Sprint("later ", round)))
				c.open(gate)
				if code := first.code(t); code != 0 {
					t.Errorf("it ended with code %d:\n%s", code, first.said())
				}
				for i, job := range jobs {
					if by := c.recorded("default", job.ID()).Record.Worker; by != "first" {
						t.Errorf("the outcome of job %d is by %q", i, by)
					}
				}
				c.starts(fmt.Sprint("later ", round), 0, 0)
				next := c.hire(fmt.Sprint("next-", round))
				next.begin()
				succeeds(c, later)
				next.stop()
			}
			c.drained()
		})
	}
}

func TestF26AFunctionThatDoesNotFinishInTimeGoesToAnotherWorkerSoon(t *testing.T) {
	t.Parallel()
	const lease, patience = time.Minute, 300 * time.Millisecond
	c := newCellWithLease(t, lease)
	first := c.employ("first", c.url, func(r *role) { r.Patience = patience })
	second := c.hire("second")
	one := queue(c, gated("one", "gate.second"))
	c.history.await(t, "start", "one", 1)
	second.begin()
	c.open("gate.second")
	first.signal(t, syscall.SIGTERM)
	asked := time.Now()
	succeeds(c, one)
	within(t, "the next start", time.Since(asked), lease/2)
	if code := first.code(t); code != 0 {
		t.Errorf("it ended with code %d:\n%s", code, first.said())
	}
	if n := c.recorded("default", one.ID()).Record.Attempt; n != 1 {
		t.Errorf("the interrupted attempt was counted: it is %d", n)
	}
	c.drained()
}

func TestF26AWorkerStopsWithoutAServerToo(t *testing.T) {
	t.Parallel()
	t.Run("while it connects", func(t *testing.T) {
		t.Parallel()
		h := newHost(t)
		cellOn(t, h.url(), shortLease)
		h.process.freeze(t)
		p := spawn(t, role{Part: "worker", Name: "first", URL: h.url(), Dir: t.TempDir(), History: t.TempDir() + "/history"})
		asked := time.Now()
		p.signal(t, syscall.SIGTERM)
		p.gone(t)
		within(t, "the stop", time.Since(asked), patience/2) // it has a whole one to find a server
		h.process.thaw(t)
	})
	t.Run("while it idles", func(t *testing.T) {
		t.Parallel()
		h := newHost(t)
		c := cellOn(t, h.url(), shortLease)
		p := c.employ("first", c.url)
		h.process.kill()
		h.process.gone(t)
		p.signal(t, syscall.SIGTERM)
		if code := p.code(t); code != 0 {
			t.Errorf("it ended with code %d:\n%s", code, p.said())
		}
	})
	for name, lease := range map[string]time.Duration{
		"while it has an outcome to record":    time.Minute,
		"while it has one and loses its lease": shortLease,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t)
			c := cellOn(t, h.url(), lease)
			p := c.employ("first", c.url, func(r *role) { r.Patience = time.Second })
			one := queue(c, gated("one", "gate"))
			c.history.await(t, "start", "one", 1)
			h.process.kill()
			h.process.gone(t)
			c.open("gate")
			c.history.await(t, "end", "one", 1)
			p.signal(t, syscall.SIGTERM)
			code := p.code(t)
			h.again()
			if lease == shortLease {
				if !strings.Contains(p.said(), "reassigned") {
					t.Errorf("it said:\n%s", p.said())
				}
				c.hire("second").begin()
				succeeds(c, one)
				c.drained()
				c.starts("one", 2, 2)
				return
			}
			if code == 0 || !strings.Contains(p.said(), "what became of 1 jobs could not be recorded") {
				t.Errorf("it ended with code %d:\n%s", code, p.said())
			}
			if left, err := c.broker.Left(t.Context()); left != 1 || err != nil {
				t.Errorf("%d jobs are left, %v; want the one that runs when the lease is over", left, err)
			}
		})
	}
}
