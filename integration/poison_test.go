package integration_test

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/natsasync/natsasync/embedded"
	"github.com/natsasync/natsasync/task"
)

func TestAJobThatKillsItsWorkersEndsAsInterruptedAndItsLaneGoesOn(t *testing.T) {
	t.Parallel()
	srv, err := embedded.Start(embedded.Config{Port: -1, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { shutDown(t, srv) })
	c := cellOn(t, srv.URL(), 500*time.Millisecond)
	poison := queue(c, follow(script{Name: "poison", Exit: true}).OnFailure(regret))
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
	_, err = result(c, poison)
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
