package integration_test

import (
	"fmt"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/natsasync/natsasync/batch"
	"github.com/natsasync/natsasync/consumer"
	"github.com/natsasync/natsasync/embedded"
	"github.com/natsasync/natsasync/producer"
	"github.com/natsasync/natsasync/task"
)

func TestAWorkerThatIsAskedToStopFinishesWhatRunsAndTakesNoMore(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("processes cannot be asked to stop there")
	}
	const lease = 20 * time.Second // so long that whoever waits for it is found out
	c := newCellWithLease(t, lease)
	second := c.hire("second")
	first := c.employ("first", c.url)
	one := queue(c, gated("one", "gate"))
	var free []*producer.Job[string]
	for range 5 {
		free = append(free, queue(c, gated("free", "gate").With(task.WithoutQuota())))
	}
	two := queue(c, do("two"))
	c.history.await(t, "start", "one", 1)
	c.history.await(t, "start", "free", 5)
	if err := first.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	first.awaitSaid(t, "worker stops")
	c.open("gate")
	first.gone(t)
	if code := first.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("the worker ended with code %d:\n%s", code, first.said())
	}
	for _, job := range append(free, one) {
		if by := c.recorded("default", job.ID()).Record.Worker; by != "first" {
			t.Errorf("the outcome of %s is by %q, want first", job.ID(), by)
		}
	}
	c.starts("two", 0, 0)
	stopped := time.Now()
	second.begin()
	succeeds(c, two)
	within(t, "the next job", time.Since(stopped), lease/2)
	c.drained()
	c.starts("one", 1, 1)
	c.starts("free", 5, 5)
	c.inOrder("default", []string{one.ID(), two.ID()}, []string{"one", "two"})
}

func TestWhatIsNotFinishedInTimeGoesBackToItsPlaceUncounted(t *testing.T) {
	t.Parallel()
	const lease = 20 * time.Second // so long that whoever waits for it is found out
	c := newCellWithLease(t, lease)
	first := c.hire("first", func(cfg *consumer.Config) { cfg.ShutdownTimeout = 100 * time.Millisecond })
	second := c.hire("second")
	first.begin()
	one := queue(c, gated("one", "gate.second"))
	two := queue(c, do("two"))
	loose := queue(c, gated("loose", "gate.second").With(task.WithoutQuota()))
	many := queue(c, batch.Serial(do("m1"), gated("m2", "gate.second"), do("m3")).With(task.WithoutQuota()))
	apart := queue(c, batch.Parallel(do("p1"), gated("p2", "gate.second")).With(task.WithoutQuota()))
	for _, name := range []string{"one", "loose", "m2", "p2"} {
		c.history.await(t, "start", name, 1)
	}
	succeeds(c, producer.Find[string](c.client, task.MemberID(apart.ID(), 1)))
	first.stop()
	stopped := time.Now()
	second.begin()
	c.open("gate.second")
	for _, job := range []*producer.Job[string]{one, two, loose} {
		succeeds(c, job)
		if n := c.recorded("default", job.ID()).Record.Attempt; n != 1 {
			t.Errorf("job %s has attempt %d, want 1", job.ID(), n)
		}
	}
	within(t, "going on with what went back", time.Since(stopped), lease/2)
	for _, b := range []*producer.Job[batch.Results]{many, apart} {
		if err := succeeds(c, b).Err(); err != nil {
			t.Error(err)
		}
	}
	for _, id := range []string{one.ID(), loose.ID(), many.ID(), apart.ID()} {
		for _, claim := range c.claims(id) {
			if claim.Interruptions > 0 || claim.Attempts > 0 {
				t.Errorf("job %s: the claim %s counts %d interruptions and %d attempts, want none", id, claim.State, claim.Interruptions, claim.Attempts)
			}
		}
	}
	c.starts("m1", 1, 1)
	c.starts("m2", 2, 2)
	c.starts("p1", 1, 1)
	c.starts("two", 1, 1)
	c.inOrder("default", []string{one.ID(), two.ID()}, []string{"one", "two"})
	c.drained()
}

func TestOrderHoldsOverWorkersThatComeAndGo(t *testing.T) {
	t.Parallel()
	c := newCell(t)
	var ids, names []string
	var last *producer.Job[string]
	for i := range 60 {
		name := "job " + string(rune('A'+i%26)) + string(rune('a'+i/26))
		last = queue(c, follow(script{Name: name, Sleep: 2 * time.Millisecond}))
		ids, names = append(ids, last.ID()), append(names, name)
	}
	for i, at := range []int{5, 20, 40} {
		h := c.hire("worker-" + string(rune('0'+i)))
		h.begin()
		c.history.await(t, "end", names[at], 1)
		h.stop()
	}
	c.hire("one").begin()
	c.hire("another").begin()
	if err := c.client.Queue("default").Pause(t.Context(), time.Now().Add(300*time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	succeeds(c, last)
	c.inOrder("default", ids, names)
	for _, name := range names {
		c.starts(name, 1, 1)
	}
	c.drained()
}

func TestWhatAWorkerIsHandedWhileItStopsIsNotHeldUpForALease(t *testing.T) {
	t.Parallel()
	srv, err := embedded.Start(embedded.Config{Port: -1, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { shutDown(t, srv) })
	c := cellOn(t, srv.URL(), 2*patience)
	const jobs, each = 150, 10
	var last *producer.Job[string]
	for i := range jobs {
		last = queue(c, do(fmt.Sprint("job ", i)))
	}
	for i := 0; i+each < jobs; i += each {
		h := c.hire(fmt.Sprint("worker-", i))
		h.begin()
		c.history.await(t, "start", fmt.Sprint("job ", i+each), 1)
		h.stop()
	}
	c.hire("last").begin()
	succeeds(c, last) // within its patience, which is shorter than the lease
	c.drained()
}
