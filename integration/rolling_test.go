//go:build unix

package integration_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/natsasync/natsasync/internal/stream"
	"github.com/natsasync/natsasync/task"
)

// tomorrow is a job of the next version, of which nothing is known but whose it is.
func tomorrow(u task.User) []byte {
	b := []byte{0x82, 0xa1, 'v', task.Version + 1, 0xa1, 'u', 0x92}
	for _, s := range []string{u.Realm, u.ID} {
		b = append(append(b, 0xd9, byte(len(s))), s...)
	}
	return b
}

// tomorrows queues a job as a producer of the next version of the wire would.
func (c *cell) tomorrows() (id string) {
	c.t.Helper()
	spec := do("tomorrow's").Spec()
	e, err := spec.Seal(task.Sealing{Installation: c.broker.Installation(), User: jane, Now: c.broker.Now()})
	if err != nil {
		c.t.Fatal(err)
	}
	now, next := []byte{0xa1, 'v', task.Version}, []byte{0xa1, 'v', task.Version + 1}
	body := bytes.Replace(e.Encode(), now, next, 1)
	if !bytes.Contains(body, next) {
		c.t.Fatalf("no version in %q", body)
	}
	if _, err := c.broker.Publish(c.t.Context(), &nats.Msg{Subject: c.broker.Job("default", stream.LaneFree, jane.Owner(), e.ID), Data: body}); err != nil {
		c.t.Fatal(err)
	}
	return e.ID
}

func TestF27WorkersAreReplacedUnderLoad(t *testing.T) {
	t.Parallel()
	const workers = 4
	c := newCell(t)
	crew := make([]*process, workers)
	for i := range crew {
		crew[i] = c.employ(fmt.Sprint("old-", i), c.url)
	}
	all := slices.Clone(crew)
	tomorrows := c.tomorrows()
	var rolling sync.WaitGroup
	jobs := rounds(300, 3000)
	ids, names, free := c.load(jobs, func(accepted int) {
		if accepted != 50 {
			return
		}
		rolling.Go(func() {
			for i := range crew {
				crew[i].signal(t, syscall.SIGTERM)
				if code := crew[i].code(t); code != 0 {
					t.Errorf("old-%d ended with code %d:\n%s", i, code, crew[i].said())
				}
				all = append(all, c.employ(fmt.Sprint("new-", i), c.url))
			}
		})
	})
	rolling.Wait()
	again := map[string]int{}
	for _, l := range c.history.read(t) {
		if l.Event == "start" {
			again[l.ID]++
		}
	}
	// Only the job of another version is left: it is neither failed nor put aside.
	c.left(1)
	c.lasts(ids, names, free)
	for id, n := range again {
		if n > 1 {
			t.Errorf("job %s started %d times", id, n)
		}
	}
	if n := len(c.outcomes("default", tomorrows)); n != 0 {
		t.Errorf("the job of another version has %d outcomes", n)
	}
	if n, err := c.broker.Count(t.Context(), c.broker.Rejected(), c.broker.RejectedSubject("*")); n != 0 || err != nil {
		t.Errorf("%d messages were put aside, %v", n, err)
	}
	if !slices.ContainsFunc(all, func(p *process) bool {
		return strings.Contains(p.said(), "a job is left to a worker that knows its task")
	}) {
		t.Error("no worker said that it leaves the job of another version")
	}
}
