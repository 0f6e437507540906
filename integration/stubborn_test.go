package integration_test

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/natsasync/natsasync/consumer"
	"github.com/natsasync/natsasync/task"
)

// said is what a worker in this process logs.
type said struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *said) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(b)
}

func (s *said) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

func TestF05AFunctionThatIgnoresItsContextHoldsItsJobAndNothingElse(t *testing.T) {
	t.Parallel()
	const lease = 3 * shortLease // one second without an answer must not cost the job
	c := newCellWithLease(t, lease)
	c.hire("worker").begin()
	c.hire("another").begin()
	stubborn := queue(c, follow(script{Name: "stubborn", Gate: "gate", Stubborn: true}).With(task.Timeout(100*time.Millisecond)).OnFailure(regret))
	behind := queue(c, do("behind"))
	c.history.await(t, "start", "stubborn", 1)
	for began := time.Now(); time.Since(began) < lease*3/2; { // others go on
		succeeds(c, queue(c, do("beside").With(task.WithoutQuota())))
		time.Sleep(100 * time.Millisecond)
	}
	c.starts("stubborn", 1, 1)
	c.starts("behind", 0, 0)
	c.open("gate")
	succeeds(c, stubborn) // it returned a value after all
	succeeds(c, behind)
	c.drained()
	c.starts("stubborn", 1, 1)
	c.inOrder("default", []string{stubborn.ID(), behind.ID()}, []string{"stubborn", "behind"})
}

func TestF05AWorkerWhoseSlotsAreStuckIsNotHealthy(t *testing.T) {
	t.Parallel()
	c := newCellWithLease(t, 3*shortLease)
	var log said
	h := c.hire("worker", func(cfg *consumer.Config) { cfg.Concurrency, cfg.Logger = 2, slog.New(slog.NewTextHandler(&log, nil)) })
	h.begin()
	one := queue(c, follow(script{Name: "one", Gate: "gate.one", Stubborn: true, Fail: "late"}).With(task.Timeout(100*time.Millisecond), task.WithoutQuota()))
	awaitTrue(t, "the function that goes on is named", func() bool {
		return strings.Contains(log.String(), "a function goes on although its context has ended") && strings.Contains(log.String(), one.ID())
	})
	if err := h.worker.Health(t.Context()); err != nil {
		t.Errorf("with a slot left it is not healthy: %v", err)
	}
	queue(c, follow(script{Name: "two", Gate: "gate.two", Stubborn: true}).With(task.Timeout(100*time.Millisecond), task.WithoutQuota()))
	awaitTrue(t, "the worker is not healthy", func() bool {
		err := h.worker.Health(t.Context())
		return err != nil && strings.Contains(err.Error(), "all 2 slots are held")
	})
	c.open("gate.one")
	if _, err := result(c, one); !errors.Is(err, task.ErrTimeout) {
		t.Errorf("the error is %v, want ErrTimeout", err)
	}
	awaitTrue(t, "the worker is healthy again", func() bool { return h.worker.Health(t.Context()) == nil })
	c.open("gate.two")
	c.drained()
	if n := strings.Count(log.String(), "a function goes on although its context has ended"); n != 2 {
		t.Errorf("it is said %d times, want 2", n)
	}
}
