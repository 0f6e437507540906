package integration_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

func TestF28ManyWorkersThatBeginAtOnceMakeOneSetOfStreams(t *testing.T) {
	t.Parallel()
	const workers = 10
	queues := []string{"default", "mail"}
	for round := range rounds(2, 20) {
		t.Run(fmt.Sprint("round ", round), func(t *testing.T) {
			t.Parallel()
			h := newHost(t)
			dir := t.TempDir()
			said := &history{path: filepath.Join(dir, "history")}
			var all []*process
			for i := range workers {
				all = append(all, spawn(t, role{
					Part: "worker", Name: fmt.Sprint("worker-", i), URL: h.url(), Dir: dir, History: said.path, Queues: queues, Lease: shortLease,
				}))
			}
			for i, p := range all {
				(&cell{t: t, history: said}).awaitReady(p, fmt.Sprint("worker-", i), 1)
			}
			c := cellOn(t, h.url(), shortLease, queues...)
			lanes, err := c.broker.Lanes(t.Context(), "")
			if err != nil || len(lanes) != 3*len(queues) {
				t.Errorf("there are %d lanes, %v; want %d", len(lanes), err, 3*len(queues))
			}
			for _, l := range lanes {
				if diffs := c.broker.Differs(l); len(diffs) > 0 {
					t.Errorf("lane %s of %s: %v", l.Name, l.Queue, diffs)
				}
			}
			if n, err := c.broker.Count(t.Context(), c.broker.Jobs(), c.broker.Keel()); n != 1 || err != nil {
				t.Errorf("there are %d keels, %v", n, err)
			}
			for name := range c.js.StreamNames(t.Context()).Name() {
				if !strings.HasPrefix(name, "NATSASYNC_") {
					t.Errorf("there is a stream %s", name)
				}
			}
			one := queue(c, do("one"))
			c.history = said
			succeeds(c, one)
			c.drained()
			c.starts("one", 1, 1)

			another := spawn(t, role{Part: "worker", Name: "another", URL: h.url(), Dir: dir, History: said.path, Queues: queues, Lease: 3 * shortLease})
			another.gone(t)
			for _, part := range []string{"lease", shortLease.String(), (3 * shortLease).String()} {
				if !strings.Contains(another.said(), part) {
					t.Errorf("a worker with another lease said nothing of %q:\n%s", part, another.said())
				}
			}
		})
	}
}
