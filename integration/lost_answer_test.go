package integration_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/natsasync/natsasync/producer"
	"github.com/natsasync/natsasync/task"
)

const jobAt = "natsasync.job.default.default."

// clientBehind is a producer behind a wire.
func (c *cell) clientBehind(w *wire) *producer.Client {
	c.t.Helper()
	client, err := producer.New(c.t.Context(), jetStreamOf(c.t, c.dial(w.url())), producer.Config{BindOnly: true, Logger: quiet})
	if err != nil {
		c.t.Fatal(err)
	}
	return client
}

func TestF07QueueingAgainAfterALostAnswerMakesNoSecondRun(t *testing.T) {
	t.Parallel()
	for name, forward := range map[string]bool{"the job arrived": true, "the job did not": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCell(t)
			c.hire("worker").begin()
			for round := range rounds(8, 80) {
				name := fmt.Sprint("job ", round)
				w := newWire(t, c.url)
				client := c.clientBehind(w)
				ctx, cancel := context.WithCancel(task.WithUser(t.Context(), jane))
				defer cancel()
				w.set(to(jobAt, 1), forward, func() { w.cut(); cancel() })
				job, err := producer.Enqueue(ctx, client, do(name))
				if !errors.Is(err, producer.ErrUnknown) {
					t.Fatalf("the error is %v, want ErrUnknown", err)
				}
				w.heal()
				if forward {
					c.history.await(t, "end", name, 1)
				}
				for range 2 {
					if _, err := producer.Enqueue(task.WithUser(t.Context(), jane), client, do(name).With(task.WithID(job.ID()))); err != nil {
						t.Fatal(err)
					}
					succeeds(c, job)
				}
				c.drained()
				c.starts(name, 1, 1)
				c.recorded("default", job.ID())
			}
		})
	}
}

func TestF07EnqueueTriesAgainByItselfWhileItsContextLives(t *testing.T) {
	t.Parallel()
	c := newCell(t)
	w := newWire(t, c.url)
	client := c.clientBehind(w)
	w.set(to(jobAt, 1), true, nil)
	one, err := producer.Enqueue(task.WithUser(t.Context(), jane), client, do("one"))
	if err != nil {
		t.Fatal(err)
	}
	c.hire("worker").begin()
	succeeds(c, one)
	c.drained()
	c.starts("one", 1, 1)
}

func TestF07CommittingAgainAfterALostAnswerMakesNoSecondRun(t *testing.T) {
	t.Parallel()
	const size = 5
	for name, forward := range map[string]bool{"the last message arrived": true, "the last message did not": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCell(t)
			w := newWire(t, c.url)
			client := c.clientBehind(w)
			tx := client.Begin()
			var jobs []*producer.Job[string]
			for i := range size {
				job, err := producer.Enqueue(task.WithUser(t.Context(), jane), tx, do(fmt.Sprint("job ", i)))
				if err != nil {
					t.Fatal(err)
				}
				jobs = append(jobs, job)
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			w.set(to(jobAt, size), forward, func() { w.cut(); cancel() })
			if err := tx.Commit(ctx); !errors.Is(err, producer.ErrUnknown) {
				t.Fatalf("the error is %v, want ErrUnknown", err)
			}
			w.heal()
			if err := tx.Commit(t.Context()); err != nil {
				t.Fatal(err)
			}
			c.hire("worker").begin()
			for i, job := range jobs {
				succeeds(c, job)
				c.starts(fmt.Sprint("job ", i), 1, 1)
			}
			c.drained()
		})
	}
}
