package integration_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/natsasync/natsasync/consumer"
	"github.com/natsasync/natsasync/embedded"
	"github.com/natsasync/natsasync/producer"
	"github.com/natsasync/natsasync/task"
)

// oneCluster holds the right to run a cluster: nodes that must share two cores with
// those of another take seconds to elect a leader.
var oneCluster sync.Mutex

// newCluster is a cell on three nodes. The nodes need longer than one to answer.
func newCluster(t *testing.T, lease time.Duration) (*cell, *embedded.Cluster) {
	t.Helper()
	oneCluster.Lock()
	t.Cleanup(oneCluster.Unlock)
	nodes, err := embedded.StartCluster(3, embedded.Config{Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { shutDown(t, nodes) })
	return cellOn(t, nodes.URL(), lease), nodes
}

func TestInAClusterCancelAndRunNeverBothWin(t *testing.T) {
	t.Parallel()
	c, _ := newCluster(t, 5*time.Second)
	c.hire("first").begin()
	c.hire("second").begin()
	const rounds = 50
	jobs := make([]*producer.Job[string], rounds)
	for i := range jobs {
		jobs[i] = queue(c, follow(script{Name: fmt.Sprint("job ", i), Sleep: rand.N(4 * time.Millisecond)}).With(task.WithoutQuota()).OnSuccess(hear))
		time.Sleep(rand.N(4 * time.Millisecond)) // not to wait, to meet the run at any point
		if err := jobs[i].Cancel(t.Context()); err != nil && !errors.Is(err, producer.ErrCompleted) {
			t.Fatal(err)
		}
	}
	cancelled := 0
	for i, job := range jobs {
		_, err := result(c, job)
		end := c.recorded("default", job.ID()).Record.End
		switch {
		case err == nil && end == task.Succeeded:
		case errors.Is(err, task.ErrCancelled) && end == task.Cancelled:
			cancelled++
		default:
			t.Errorf("job %d: the record says %s, Wait %v", i, end, err)
		}
	}
	c.drained()
	for i, job := range jobs {
		if c.recorded("default", job.ID()).Record.End == task.Cancelled {
			c.starts(fmt.Sprint("hear job ", i), 0, 0)
		}
	}
	t.Logf("%d of %d were cancelled", cancelled, rounds)
}

func TestInAClusterOneOfTwoWorkersWritesTheOutcome(t *testing.T) {
	t.Parallel()
	c, nodes := newCluster(t, shortLease)
	wires := make([]*wire, 2)
	for i, name := range []string{"first", "second"} {
		wires[i] = newWire(t, nodes.Servers()[i].URL())
		c.hireBehind(wires[i], name).begin()
	}
	one := queue(c, follow(script{Name: "one", Gate: "gate", Stubborn: true}))
	two := queue(c, do("two"))
	c.history.await(t, "start", "one", 1)
	for _, w := range wires {
		w.cut()
	}
	c.hire("third").begin()
	c.history.await(t, "start", "one", 2)
	for _, w := range wires { // all that ever had it end at once
		w.heal()
	}
	c.open("gate")
	succeeds(c, one)
	succeeds(c, two)
	c.drained()
	c.recorded("default", one.ID())
	c.inOrder("default", []string{one.ID(), two.ID()}, []string{"one", "two"})
}

func TestInAClusterAJobThatHasEndedIsNotRunAgainWhenItIsQueuedAgain(t *testing.T) {
	t.Parallel()
	c, _ := newCluster(t, 5*time.Second)
	c.hire("first").begin()
	c.hire("second").begin()
	for i := range 20 {
		name := fmt.Sprint("job ", i)
		job := queue(c, do(name))
		succeeds(c, job)
		again := queue(c, do(name).With(task.WithID(job.ID())))
		succeeds(c, again)
		c.drained()
		c.starts(name, 1, 1)
		c.recorded("default", job.ID())
	}
}

func TestInAClusterANodeThatStopsUnderLoadTakesNothingWithIt(t *testing.T) {
	t.Parallel()
	c, nodes := newCluster(t, 2*time.Second)
	c.hire("first").begin()
	c.hire("second").begin()
	ids, names, free := c.load(80, func(accepted int) {
		if accepted == 60 {
			stopLeader(c, nodes)
		}
	})
	c.survived(ids, names, free)
}

// stopLeader stops the node that leads the stream of jobs.
func stopLeader(c *cell, nodes *embedded.Cluster) {
	c.t.Helper()
	s, err := c.js.Stream(c.t.Context(), c.broker.Jobs())
	if err != nil {
		c.t.Fatal(err)
	}
	leader := s.CachedInfo().Cluster.Leader
	for _, node := range nodes.Servers() {
		if node.Server().Name() == leader {
			shutDown(c.t, node)
			return
		}
	}
	c.t.Fatalf("no node is called %q", leader)
}

func TestTwoWorkersThatHaveTheSameJobRecordOneOutcome(t *testing.T) {
	t.Parallel()
	c := newCell(t)
	var wires []*wire
	for i := range 3 {
		w := newWire(t, c.url)
		c.hireBehind(w, fmt.Sprint("worker-", i)).begin()
		wires = append(wires, w)
	}
	one := queue(c, follow(script{Name: "one", Gate: "gate", Stubborn: true}))
	for n := 1; n <= len(wires); n++ { // each that gets it is cut off, so the next one gets it
		by := c.history.await(t, "start", "one", n).Worker
		if n < len(wires) {
			var i int
			if _, err := fmt.Sscanf(by, "worker-%d", &i); err != nil {
				t.Fatal(err)
			}
			wires[i].cut()
		}
	}
	var healing sync.WaitGroup
	for _, w := range wires {
		healing.Go(w.heal)
	}
	c.open("gate")
	healing.Wait()
	succeeds(c, one)
	c.history.await(t, "end", "one", len(wires))
	c.drained()
	c.recorded("default", one.ID())
}

func TestAWorkerOfALeaseThatIsNotTheNamespacesIsRefused(t *testing.T) {
	t.Parallel()
	c := newCell(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	_, err := consumer.New(ctx, c.js, newStory(c.history, c.dir, "worker").registry(), consumer.Config{Trust: trusted, Lease: time.Minute, Logger: quiet})
	if err == nil || !strings.Contains(err.Error(), "1m0s") || !strings.Contains(err.Error(), `has `+shortLease.String()) {
		t.Errorf("the error is %v, want one that names both leases", err)
	}
}
