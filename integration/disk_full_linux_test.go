package integration_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/natsasync/natsasync/producer"
	"github.com/natsasync/natsasync/task"
)

// A server whose disk is full answers nothing, and its streams stay silent until it is
// started again: seen with nats-server 2.15.
func TestF19AFullDiskLosesNothingThatWasAccepted(t *testing.T) {
	t.Parallel()
	const patient = 5 * time.Second
	d := newDisk(t, 512)
	h := newHostOn(t, d, false)
	c := cellOn(t, h.url(), shortLease)
	worker := c.hire("worker")
	jobs := map[string]*producer.Job[string]{}
	for i := range 20 {
		name := fmt.Sprint("before ", i)
		jobs[name] = queue(c, do(name))
	}
	empty := d.fill()
	unknown := map[string]string{} // IDs
	for i := 0; len(unknown) < 2; i++ {
		name := fmt.Sprint("while ", i)
		ctx, cancel := context.WithTimeout(task.WithUser(t.Context(), jane), patient)
		asked := time.Now()
		job, err := producer.Enqueue(ctx, c.client, do(name))
		cancel()
		within(t, "the answer", time.Since(asked), patient+10*time.Second)
		switch {
		case err == nil:
			jobs[name] = job
			continue
		case errors.Is(err, producer.ErrUnknown):
			unknown[name] = job.ID()
		case errors.Is(err, producer.ErrQueueFull):
			unknown[name] = task.NewID()
		default:
			t.Fatal(err)
		}
		if !strings.Contains(err.Error(), c.broker.Jobs()) {
			t.Errorf("the error does not name the stream: %v", err)
		}
	}
	empty()
	h.process.kill()
	h.process.gone(t)
	h.again()
	for name, id := range unknown {
		jobs[name] = queue(c, do(name).With(task.WithID(id)))
	}
	worker.begin()
	for name, job := range jobs {
		succeeds(c, job)
		c.recorded("default", job.ID())
		c.starts(name, 1, 1)
	}
	c.drained()
}
