package integration_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/natsasync/natsasync/producer"
	"github.com/natsasync/natsasync/task"
)

func TestF29OfManyProducersThatQueueTheSameJobEachHasItAndItRunsOnce(t *testing.T) {
	t.Parallel()
	const processes, goroutines = 5, 45
	c := newCell(t)
	var ids []string
	for i := range rounds(20, 200) {
		ids = append(ids, fmt.Sprint("order-", i))
	}
	for i := range processes {
		name := fmt.Sprint("producer ", i)
		p := spawn(t, role{Part: "producer", Name: name, URL: c.url, Dir: c.dir, History: c.history.path, One: true, IDs: ids})
		c.awaitReady(p, name, 1)
	}
	c.hire("first").begin()
	c.hire("second").begin()
	var racing sync.WaitGroup
	start := make(chan struct{})
	for range goroutines {
		racing.Go(func() {
			<-start
			for _, id := range ids {
				job, err := producer.Enqueue(task.WithUser(t.Context(), jane), c.client, do("job "+id).With(task.WithID(id)))
				if err != nil {
					t.Errorf("job %s: %v", id, err)
				} else if job.ID() != id {
					t.Errorf("job %s was queued as %s", id, job.ID())
				}
			}
		})
	}
	close(start)
	c.open("gate")
	racing.Wait()
	for _, id := range ids {
		c.history.await(t, "accepted", "job "+id, processes)
		succeeds(c, producer.Find[string](c.client, id))
		c.recorded("default", id)
	}
	c.drained()
	for _, id := range ids {
		c.starts("job "+id, 1, 1)
	}
}

func TestF29AJobThatHasEndedIsNotRunAgainByItsID(t *testing.T) {
	t.Parallel()
	c := newCell(t)
	c.hire("worker").begin()
	for name, call := range map[string]task.Call[string]{
		"succeeded": do("succeeded"),
		"failed":    follow(script{Name: "failed", Fail: "as-it-must"}),
	} {
		job := queue(c, call.With(task.WithID(name)))
		_, before := result(c, job)
		_, after := result(c, queue(c, call.With(task.WithID(name))))
		if fmt.Sprint(before) != fmt.Sprint(after) {
			t.Errorf("%s: it ended with %v, and when it was queued again with %v", name, before, after)
		}
		c.starts(name, 1, 1)
	}
	again, err := c.client.Retry(t.Context(), "failed") // another job, as it must be
	if err != nil {
		t.Fatal(err)
	}
	if _, err := again.Wait(t.Context()); err == nil || again.ID() == "failed" {
		t.Errorf("job %s ended with %v", again.ID(), err)
	}
	c.starts("failed", 2, 2)
	c.drained()
}
