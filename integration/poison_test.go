package integration_test

import (
	"errors"
	"os"
	"runtime/debug"
	"sync"
	"testing"
	"time"

	"github.com/natsasync/natsasync/task"
)

// crashes are what a function does that nothing in its process survives.
var crashes = map[string]func(){
	"exit": func() { os.Exit(7) },
	"stack": func() {
		debug.SetMaxStack(1 << 20)
		sink = deep(1)
	},
}

var sink int

func deep(n int) int {
	if n < 0 { // never
		return 0
	}
	return n + deep(n+1)
}

func TestF23AJobThatKillsItsWorkersEndsAsInterruptedAndItsLaneGoesOn(t *testing.T) {
	t.Parallel()
	for crash := range crashes {
		t.Run(crash, func(t *testing.T) {
			t.Parallel()
			c := newCellWithLease(t, 500*time.Millisecond)
			poison := queue(c, follow(script{Name: "poison", Crash: crash}).OnFailure(regret))
			next := queue(c, do("next"))
			var supervising sync.WaitGroup
			enough := make(chan struct{})
			supervising.Go(func() { // as an init system would
				for {
					p := spawn(t, role{Part: "worker", Name: "mortal", URL: c.url, Dir: c.dir, History: c.history.path})
					select {
					case <-p.done:
					case <-enough:
						p.kill()
						<-p.done
						return
					}
				}
			})
			_, err := result(c, poison)
			succeeds(c, next)
			c.drained()
			close(enough)
			supervising.Wait()
			if !errors.Is(err, task.ErrInterrupted) {
				t.Errorf("the error is %v, want ErrInterrupted", err)
			}
			// The first run of a plain job leaves no claim that could be counted.
			c.starts("poison", 10, 11)
			c.starts("next", 1, 1)
			c.starts("regret interrupted", 1, 1)
			c.recorded("default", poison.ID())
			c.inOrder("default", []string{poison.ID(), next.ID()}, []string{"poison", "next"})
		})
	}
}

func TestInterruptionsAreNoAttempts(t *testing.T) {
	t.Parallel()
	c := newCell(t)
	k := killing{name: "before the outcome", at: to(succeededAt, 1)}
	c.dies(k, func() { queue(c, do("one").With(task.WithID("one"))) })
	c.drained()
	for _, l := range c.history.find(t, "start", "one") {
		if l.Attempt != 1 {
			t.Errorf("%s ran it as attempt %d, want 1", l.Worker, l.Attempt)
		}
	}
	if n := c.recorded("default", "one").Record.Attempt; n != 1 {
		t.Errorf("the outcome has attempt %d, want 1", n)
	}
}
