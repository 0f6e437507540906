package integration_test

import (
	"fmt"
	"testing"

	"github.com/natsasync/natsasync/consumer"
	"github.com/natsasync/natsasync/producer"
	"github.com/natsasync/natsasync/task"
)

func TestNoJobWaitsInABusyWorkerWhileAnotherIdles(t *testing.T) {
	t.Parallel()
	c := newCell(t)
	lanes := []string{"red", "green", "blue"}
	for _, l := range lanes {
		if err := c.client.Queue("default").SetQuota(t.Context(), l, 1); err != nil {
			t.Fatal(err)
		}
	}
	for i := range lanes {
		c.hire(fmt.Sprint("worker-", i), func(cfg *consumer.Config) { cfg.Concurrency = 1 }).begin()
	}
	var jobs []*producer.Job[string]
	for _, l := range lanes {
		jobs = append(jobs, queue(c, gated(l, "gate").With(task.WithQuota(l))))
	}
	for _, l := range lanes { // none has ended yet: each runs in a worker of its own
		c.history.await(t, "start", l, 1)
	}
	c.open("gate")
	for _, job := range jobs {
		succeeds(c, job)
	}
}
