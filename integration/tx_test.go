package integration_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/natsasync/natsasync/producer"
	"github.com/natsasync/natsasync/task"
)

// stored counts the jobs of some IDs that lie in the stream.
func (c *cell) stored(ids []string) int {
	c.t.Helper()
	n := 0
	for _, id := range ids {
		m, err := c.broker.Last(c.t.Context(), c.broker.Jobs(), c.broker.Job("default", "default", jane.Owner(), id))
		if err != nil {
			c.t.Error(err)
		}
		if m != nil {
			n++
		}
	}
	return n
}

func TestACommitThatBreaksOffAtAnyPointIsAllOrNothing(t *testing.T) {
	t.Parallel()
	const rounds, size = 30, 20
	c := newCell(t)
	var (
		mu        sync.Mutex
		committed [][]string
		cutting   sync.WaitGroup
	)
	for round := range rounds {
		n, forward := 1+rand.IntN(size), rand.IntN(2) == 0
		if round < 4 { // the two ends of the last message in any case
			n, forward = size, round%2 == 0
		}
		w := newWire(t, c.url)
		client := c.clientBehind(w)
		cutting.Go(func() {
			ids := c.commitCut(w, client, size, n, forward)
			if n == size && forward {
				mu.Lock()
				committed = append(committed, ids)
				mu.Unlock()
			} else if got := c.stored(ids); got != 0 {
				t.Errorf("cut at message %d of %d (which arrived: %v), %d jobs are there", n, size, forward, got)
			}
		})
	}
	cutting.Wait()
	for _, ids := range committed {
		awaitTrue(t, "a batch that arrived whole is stored", func() bool { return c.stored(ids) == size })
	}
	n, err := c.client.Queue("default").Len(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if want := len(committed) * size; n != want {
		t.Errorf("%d jobs wait, want %d", n, want)
	}
}

// commitCut commits a Tx of size jobs whose connection ends at message n, for good, and
// returns their IDs. That is what a server sees of a producer that is killed: the bytes
// end, and nobody comes back.
func (c *cell) commitCut(w *wire, client *producer.Client, size, n int, forward bool) (ids []string) {
	c.t.Helper()
	tx := client.Begin()
	for i := range size {
		job, err := producer.Enqueue(task.WithUser(c.t.Context(), jane), tx, do(fmt.Sprint("staged ", i)))
		if err != nil {
			c.t.Error(err)
			return nil
		}
		ids = append(ids, job.ID())
	}
	tr := w.set(to(jobAt, n), forward, func() { _ = w.ln.Close() })
	ctx, cancel := context.WithCancel(c.t.Context())
	defer cancel()
	go func() {
		<-tr.fired
		cancel()
	}()
	if err := tx.Commit(ctx); !errors.Is(err, producer.ErrUnknown) {
		c.t.Errorf("the error is %v, want ErrUnknown", err)
	}
	return ids
}

func TestAProducerThatIsKilledInItsCommitLeavesAllOrNothing(t *testing.T) {
	t.Parallel()
	const size = 20
	c := newCell(t)
	want := 0
	for _, k := range []struct {
		n       int
		forward bool
	}{{1, true}, {size / 2, true}, {size, false}, {size, true}} {
		w := newWire(t, c.url)
		committing := make(chan *process, 1)
		tr := w.set(to(jobAt, k.n), k.forward, func() { (<-committing).kill() })
		p := spawn(t, role{Part: "producer", URL: w.url(), Jobs: size})
		committing <- p
		p.gone(t)
		select {
		case <-tr.fired:
		case <-time.After(shortLease):
			t.Fatalf("the producer ended by itself:\n%s", p.said())
		}
		if k.n == size && k.forward {
			want += size
		}
		awaitTrue(t, fmt.Sprintf("%d jobs wait", want), func() bool {
			n, err := c.client.Queue("default").Len(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return n == want
		})
	}
	c.hire("worker").begin()
	c.drained()
	c.starts("staged 0", 1, 1)
	c.starts("staged 19", 1, 1)
}

func TestATxThatIsAbortedLeavesNothing(t *testing.T) {
	t.Parallel()
	c := newCell(t)
	tx := c.client.Begin()
	job, err := producer.Enqueue(task.WithUser(t.Context(), jane), tx, do("one").OnSuccess(hear))
	if err != nil {
		t.Fatal(err)
	}
	tx.Abort()
	if _, err := job.Wait(t.Context()); !errors.Is(err, producer.ErrAborted) {
		t.Errorf("waiting says %v, want ErrAborted", err)
	}
	if err := tx.Commit(t.Context()); !errors.Is(err, producer.ErrAborted) {
		t.Errorf("committing says %v, want ErrAborted", err)
	}
	c.hire("worker").begin()
	succeeds(c, queue(c, do("two")))
	c.starts("one", 0, 0)
	if _, err := c.client.Status(t.Context(), job.ID()); !errors.Is(err, producer.ErrNoSuchJob) {
		t.Errorf("the status is %v, want ErrNoSuchJob", err)
	}
}

func TestATxWithOneBadCallQueuesNothing(t *testing.T) {
	t.Parallel()
	c := newCell(t)
	ctx := task.WithUser(t.Context(), jane)
	tx := c.client.Begin()
	if _, err := producer.Enqueue(ctx, tx, do("good")); err != nil {
		t.Fatal(err)
	}
	if _, err := producer.Enqueue(ctx, tx, do("bad").With(task.InQueue("nobody-declared-it"))); err != nil {
		t.Fatal(err)
	}
	if err := tx.Commit(ctx); !errors.Is(err, producer.ErrNoSuchQueue) {
		t.Errorf("the error is %v, want ErrNoSuchQueue", err)
	}
	if n, err := c.client.Queue("default").Len(ctx); err != nil || n != 0 {
		t.Errorf("%d jobs wait (%v), want none", n, err)
	}
}

func TestWhatAJobQueuesIsPublishedOnlyIfItSucceeds(t *testing.T) {
	t.Parallel()
	c := newCell(t)
	c.hire("worker").begin()
	failing := queue(c, follow(script{Name: "failing", Queues: &script{Name: "never"}, Fail: "out_of_stock"}))
	if _, err := result(c, failing); !errors.Is(err, task.Fail("out_of_stock", "")) {
		t.Errorf("the error is %v, want out_of_stock", err)
	}
	succeeds(c, queue(c, follow(script{Name: "succeeding", Queues: &script{Name: "once"}})))
	c.history.await(t, "end", "once", 1)
	c.drained()
	c.starts("never", 0, 0)
	c.starts("once", 1, 1)
}

func TestWhatAJobQueuesSurvivesItsWorker(t *testing.T) {
	t.Parallel()
	for _, k := range each("what the job queues is published", func() func(string, string) bool { return to(jobAt, 1) }) {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			c := newCell(t)
			var job *producer.Job[string]
			c.dies(k, func() { job = queue(c, follow(script{Name: "job", Queues: &script{Name: "queued"}})) })
			succeeds(c, job)
			c.history.await(t, "end", "queued", 1)
			c.drained()
			k.check(c, "job", "queued")
		})
	}
}

// awaitTrue waits until ok is.
func awaitTrue(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Errorf("not in time: %s", what)
}

func TestAServerThatIsKilledInACommitKeepsAllOrNothing(t *testing.T) {
	t.Parallel()
	const rounds, size = 4, 500
	h := newHost(t)
	c := cellOn(t, h.url(), shortLease)
	queued := 0
	for round := range rounds {
		w := newWire(t, c.url)
		tx := c.clientBehind(w).Begin()
		var ids []string
		for i := range size {
			job, err := producer.Enqueue(task.WithUser(t.Context(), jane), tx, do(fmt.Sprint("staged ", i)))
			if err != nil {
				t.Fatal(err)
			}
			ids = append(ids, job.ID())
		}
		ctx, cancel := context.WithCancel(t.Context())
		w.set(to(jobAt, size), true, func() {
			if round > 0 { // in the first round at once, later as soon as anything is heard of the jobs
				c.countsMoreThan(queued)
			}
			h.process.kill()
			cancel()
			_ = w.ln.Close()
		})
		if err := tx.Commit(ctx); !errors.Is(err, producer.ErrUnknown) {
			t.Errorf("the error is %v, want ErrUnknown", err)
		}
		cancel()
		h.process.gone(t)
		h.again()
		got := c.stored(ids)
		if got != 0 && got != size {
			t.Errorf("round %d: %d of %d jobs are there", round, got, size)
		}
		queued += got
	}
}

// countsMoreThan asks without a pause until the lane counts more than n jobs.
func (c *cell) countsMoreThan(n int) {
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		if now, err := c.client.Queue("default").Len(c.t.Context()); err == nil && now > n {
			return
		}
	}
	c.t.Errorf("the lane does not count more than %d jobs", n)
}
