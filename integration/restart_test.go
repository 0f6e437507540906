package integration_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/natsasync/natsasync/producer"
	"github.com/natsasync/natsasync/task"
)

// lastPort is below those that a system gives to connections that go out: one of another test's could take the port that
// a killed server has had, and comes back to.
var lastPort atomic.Int32

func init() { lastPort.Store(20_000 + int32(os.Getpid()%100)*100) }

// freePort is a port for a server.
func freePort(t *testing.T) int {
	t.Helper()
	for range 1000 {
		port := lastPort.Add(1)
		ln, err := net.Listen("tcp", fmt.Sprint("127.0.0.1:", port))
		if err != nil {
			continue
		}
		if err := ln.Close(); err != nil {
			t.Fatal(err)
		}
		return int(port)
	}
	t.Fatal("no port is free")
	return 0
}

// host runs a server as a process; again runs it once more, on the same directory and
// port, after it was killed.
type host struct {
	t       *testing.T
	role    role
	history *history
	process *process
	started int
}

func newHost(t *testing.T) *host {
	t.Helper()
	dir := t.TempDir()
	h := &host{t: t, role: role{
		Part: "server", Store: filepath.Join(dir, "store"), Port: freePort(t), History: filepath.Join(dir, "servers"),
	}}
	h.history = &history{path: h.role.History}
	h.again()
	return h
}

func (h *host) url() string {
	return "nats://" + net.JoinHostPort(cmp.Or(h.role.Host, "127.0.0.1"), strconv.Itoa(h.role.Port))
}

func (h *host) again() {
	h.t.Helper()
	h.process = spawn(h.t, h.role)
	h.started++
	(&cell{t: h.t, history: h.history}).awaitReady(h.process, h.url(), h.started)
}

// steadily queues as jane until the job is known to be there, with one ID.
func steadily(ctx context.Context, c *producer.Client, call task.Call[string]) (string, error) {
	call = call.With(task.WithID(task.NewID()))
	ctx = task.WithUser(ctx, jane)
	for {
		once, cancel := context.WithTimeout(ctx, 2*time.Second)
		job, err := producer.Enqueue(once, c, call)
		cancel()
		if err == nil {
			return job.ID(), nil
		}
		if !errors.Is(err, producer.ErrUnknown) || ctx.Err() != nil {
			return "", err
		}
	}
}

// load queues jobs into the lanes default and free until n of each are accepted, and
// calls at with how many are, beside it.
func (c *cell) load(n int, at func(accepted int)) (ids, names, free []string) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), 2*patience+time.Duration(n)*time.Second)
	defer cancel()
	var (
		accepted atomic.Int64
		queueing sync.WaitGroup
		errs     = make(chan error, 2)
		counts   = make(chan int, 2*n)
	)
	steps := func(named func(i int) task.Call[string], took func(i int, id string)) {
		for i := range n {
			id, err := steadily(ctx, c.client, named(i))
			if err != nil {
				errs <- err
				return
			}
			took(i, id)
			counts <- int(accepted.Add(1))
		}
	}
	name := func(i int) string { return fmt.Sprintf("job %03d", i) }
	queueing.Go(func() {
		steps(func(i int) task.Call[string] { return do(name(i)) },
			func(i int, id string) { ids, names = append(ids, id), append(names, name(i)) })
	})
	queueing.Go(func() {
		steps(func(i int) task.Call[string] { return do(fmt.Sprintf("free %03d", i)).With(task.WithoutQuota()) },
			func(_ int, id string) { free = append(free, id) })
	})
	go func() {
		queueing.Wait()
		close(counts)
	}()
	for k := range counts {
		at(k)
	}
	select {
	case err := <-errs:
		c.t.Fatal(err)
	default:
	}
	return ids, names, free
}

// survived asserts that every job of a load has one outcome, a success, and that no other is left.
func (c *cell) survived(ids, names, free []string) {
	c.t.Helper()
	c.lasts(ids, names, free)
	c.drained()
}

func (c *cell) lasts(ids, names, free []string) {
	c.t.Helper()
	for _, id := range append(ids[:len(ids):len(ids)], free...) {
		succeeds(c, producer.Find[string](c.client, id))
		c.recorded("default", id)
	}
	c.inOrder("default", ids, names)
}

func TestF08AServerThatIsKilledUnderLoadLosesNothing(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	c := cellOn(t, h.url(), shortLease)
	c.hire("first").begin()
	c.hire("second").begin()
	const between = 15 // jobs
	kills := rounds(20, 200)
	ids, names, free := c.load(kills*between/2, func(accepted int) {
		if accepted%between == between/2 {
			h.process.kill()
			h.process.gone(t)
			h.again()
		}
	})
	c.survived(ids, names, free)
	if h.started != kills+1 {
		t.Errorf("the server was started %d times, want %d", h.started, kills+1)
	}
}

func TestF08AServerThatIsKilledWhileAJobRunsLeavesItToItsWorkerOrToAnother(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	c := cellOn(t, h.url(), shortLease)
	c.hire("first").begin()
	c.hire("second").begin()
	one := queue(c, gated("one", "gate"))
	two := queue(c, do("two"))
	c.history.await(t, "start", "one", 1)
	h.process.kill()
	h.process.gone(t)
	h.again()
	c.open("gate")
	succeeds(c, one)
	succeeds(c, two)
	c.drained()
	c.starts("one", 1, 2)
	c.starts("two", 1, 1)
	c.inOrder("default", []string{one.ID(), two.ID()}, []string{"one", "two"})
}
