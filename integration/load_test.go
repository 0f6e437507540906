package integration_test

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/natsasync/natsasync/producer"
	"github.com/natsasync/natsasync/task"
)

// resident is how much memory a process has, in bytes.
func (p *process) resident(t *testing.T) uint64 {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	var kib uint64
	_, rest, _ := strings.Cut(string(status), "VmRSS:")
	if _, err := fmt.Sscan(rest, &kib); err != nil {
		t.Fatal(err)
	}
	return kib << 10
}

// left waits until at most so many jobs are there.
func (c *cell) left(most uint64) {
	c.t.Helper()
	for deadline := time.Now().Add(10 * patience); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		n, err := c.broker.Left(c.t.Context())
		if err != nil {
			c.t.Fatal(err)
		}
		if n <= most {
			return
		}
	}
	c.t.Fatalf("there are still more than %d jobs", most)
}

func needsLoad(t *testing.T) {
	t.Helper()
	if !soaking() {
		t.Skip("make soak tries this: it takes minutes")
	}
	if runtime.GOOS != "linux" {
		t.Skip("the memory of a process is read from /proc")
	}
}

func TestF35AHundredThousandJobsOfTenThousandUsersNeedNoMoreMemoryThanTen(t *testing.T) {
	needsLoad(t)
	const users, each = 10_000, 10
	c := newCell(t)
	for i := range users {
		ctx := task.WithUser(t.Context(), task.User{Realm: "/site/users", ID: fmt.Sprint("user-", i)})
		calls := make([]task.Call[string], each)
		for n := range calls {
			calls[n] = do("job").With(task.WithoutQuota())
		}
		if _, err := producer.EnqueueAll(ctx, c.client, calls); err != nil {
			t.Fatal(err)
		}
	}
	spawned := time.Now()
	p := c.employ("worker", c.url, func(r *role) { r.Concurrency = 16 })
	c.history.await(t, "start", "job", 1)
	within(t, "the first start", time.Since(spawned), 5*time.Second)
	c.left(users * each * 9 / 10)
	early := p.resident(t)
	c.left(0)
	late := p.resident(t)
	t.Logf("%d MiB after a tenth of the jobs, %d MiB after all", early>>20, late>>20)
	if late > early*3/2 {
		t.Errorf("the worker has %d MiB after all jobs and had %d MiB after a tenth", late>>20, early>>20)
	}
	if n := len(c.history.find(t, "end", "job")); n != users*each {
		t.Errorf("%d functions ended, want %d", n, users*each)
	}
}

func TestF35AWorkerServesAThousandQueues(t *testing.T) {
	needsLoad(t)
	const each = 5
	var queues []string
	for i := range 1000 {
		queues = append(queues, fmt.Sprint("queue-", i))
	}
	// A server in this process would take half a minute to stop: 10 ms for each consumer.
	c := cellOn(t, newHost(t).url(), shortLease, queues...)
	var jobs []*producer.Job[string]
	for _, queue := range queues {
		var calls []task.Call[string]
		for i := range each {
			calls = append(calls, do(fmt.Sprintf("%s %d", queue, i)).With(task.InQueue(queue)))
		}
		some, err := producer.EnqueueAll(task.WithUser(t.Context(), jane), c.client, calls)
		if err != nil {
			t.Fatal(err)
		}
		jobs = append(jobs, some...)
	}
	began := time.Now()
	p := c.employ("worker", c.url, func(r *role) { r.Queues = queues })
	c.left(0)
	t.Logf("%d jobs in %d queues took %v, the worker has %d MiB", len(jobs), len(queues), time.Since(began).Round(time.Second), p.resident(t)>>20)
	last := map[string]int{}
	for _, l := range c.history.read(t) {
		if l.Event != "start" {
			continue
		}
		var n int
		queue, rest, _ := strings.Cut(l.Name, " ")
		if _, err := fmt.Sscan(rest, &n); err != nil || n != last[queue] {
			t.Errorf("%q started when it was the turn of %d", l.Name, last[queue])
		}
		last[queue]++
	}
	if len(last) != len(queues) {
		t.Errorf("jobs of %d queues ran, want %d", len(last), len(queues))
	}
}
