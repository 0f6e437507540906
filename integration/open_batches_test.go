package integration_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/natsasync/natsasync/producer"
	"github.com/natsasync/natsasync/task"
)

// Fifty batches may be open in a stream, and one that is not ended lies open for 10 s.
func TestF37BatchesThatKilledProducersLeftOpenHoldUpCommitsAlone(t *testing.T) {
	t.Parallel()
	const (
		left      = 60
		abandoned = 10 * time.Second // so long a server keeps a batch that goes not on
	)
	c := newCell(t)
	c.hire("worker").begin()
	refused, opened := c.openBatches(left)
	for range 3 {
		if time.Since(opened) < abandoned/2 {
			break
		}
		time.Sleep(abandoned) // the machine was too slow: once the server has forgotten these, again
		refused, opened = c.openBatches(left)
	}
	if refused != left-50 {
		t.Fatalf("the server let in all but %d of %d batches, want all but %d", refused, left, left-50)
	}

	began := time.Now()
	committed := make(chan error, 1)
	tx := c.client.Begin()
	var staged []*producer.Job[string]
	for i := range 3 {
		job, err := producer.Enqueue(task.WithUser(t.Context(), jane), tx, do(fmt.Sprint("staged ", i)))
		if err != nil {
			t.Fatal(err)
		}
		staged = append(staged, job)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	go func() { committed <- tx.Commit(ctx) }()
	jobs := 0
	for ; jobs < 20 && time.Since(opened) < abandoned/2; jobs++ {
		name := fmt.Sprint("job ", jobs)
		succeeds(c, queue(c, follow(script{Name: name, Queues: &script{Name: "inner of " + name}}).OnSuccess(hear)))
		c.history.await(t, "end", "hear "+name, 1)
	}
	if jobs == 0 {
		t.Error("no job went through while the batches lay open")
	}
	select {
	case err := <-committed:
		if open := time.Since(opened); open < abandoned {
			t.Errorf("the commit returned %v while the batches lay open, for %v", err, open)
		}
		committed <- err
	default:
	}
	if err := <-committed; err != nil {
		t.Fatal(err)
	}
	within(t, "the commit", time.Since(began), abandoned+20*time.Second)
	for _, job := range staged {
		succeeds(c, job)
	}
	c.drained()
	for i := range 3 {
		c.starts(fmt.Sprint("staged ", i), 1, 1)
	}
}

// openBatches sends the first messages of n batches, all at once, and leaves them open. It returns how many the server
// refused, and when the first one was sent.
func (c *cell) openBatches(n int) (refused int, opened time.Time) {
	c.t.Helper()
	dying := c.dial(c.url)
	defer dying.Close()
	answers := dying.NewRespInbox()
	sub, err := dying.SubscribeSync(answers)
	if err != nil {
		c.t.Fatal(err)
	}
	opened = time.Now()
	for range n {
		id := task.NewID()
		err := dying.PublishMsg(&nats.Msg{Subject: c.broker.Job("default", "default", jane.Owner(), id), Reply: answers, Header: nats.Header{
			"Nats-Batch-Id": {id}, "Nats-Batch-Sequence": {"1"},
		}})
		if err != nil {
			c.t.Fatal(err)
		}
	}
	for range n {
		answer, err := sub.NextMsg(patience)
		if err != nil {
			c.t.Fatal(err)
		}
		if len(answer.Data) > 0 { // the first message of a batch that was let in has no answer
			refused++
		}
	}
	return refused, opened
}
