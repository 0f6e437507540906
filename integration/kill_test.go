package integration_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/natsasync/natsasync/batch"
	"github.com/natsasync/natsasync/producer"
	"github.com/natsasync/natsasync/task"
)

const (
	succeededAt = "natsasync.outcome.default.succeeded."
	claimedAt   = "natsasync.outcome.default.claimed."
	callbacksAt = "natsasync.job.default.callbacks."
	freeAt      = "natsasync.job.default.free."
)

// recovery is how long a lease and the work after it take on a busy machine at most. It is less than the half minute
// after which a job that waits for others looks for them by itself.
const recovery = shortLease + 20*time.Second

// killing is a point at which a worker is killed.
type killing struct {
	name    string
	at      func(subject, body string) bool
	forward bool           // the server still gets the message
	runs    map[string]int // how often functions start at most, if not once
}

// each makes two killings of a message: just before and just after the server has it.
func each(name string, at func() func(string, string) bool, again ...string) []killing {
	runs := map[string]int{}
	for _, n := range again {
		runs[n] = 2
	}
	return []killing{{"before " + name, at(), false, runs}, {"after " + name, at(), true, map[string]int{}}}
}

// dies runs a first worker behind a wire until it is killed, then a second one, and
// returns when that one had begun.
func (c *cell) dies(k killing, queueAll func()) time.Time {
	c.t.Helper()
	w := newWire(c.t, c.url)
	second := c.hire("second")
	first := c.employ("first", w.url())
	tr := w.set(k.at, k.forward, first.kill)
	queueAll()
	select {
	case <-tr.fired:
	case <-time.After(patience):
		c.t.Fatalf("the worker never came to %s\n%s", k.name, c.history)
	}
	first.gone(c.t)
	at := time.Now()
	second.begin()
	return at
}

func (k killing) check(c *cell, names ...string) {
	c.t.Helper()
	for _, n := range names {
		c.starts(n, 1, max(k.runs[n], 1))
	}
}

func TestF02AWorkerThatIsKilledInAJobIsFollowedByAnother(t *testing.T) {
	t.Parallel()
	const cells = 5
	for n := range cells {
		t.Run(fmt.Sprint("cell ", n), func(t *testing.T) {
			t.Parallel()
			c := newCell(t)
			crew := map[string]*process{}
			var ids, names []string
			hired, again := 0, 0
			for i := range rounds(30, 300) / cells {
				for len(crew) < 2 {
					name := fmt.Sprint("worker-", hired)
					crew[name] = c.employ(name, c.url)
					hired++
				}
				name := fmt.Sprint("job ", i)
				job := queue(c, follow(script{Name: name, Sleep: 500 * time.Millisecond}).OnSuccess(hear))
				ids, names = append(ids, job.ID()), append(names, name)
				victim := c.history.await(t, "start", name, 1).Worker
				time.Sleep(5*time.Millisecond + rand.N(45*time.Millisecond))
				killed := time.Now()
				crew[victim].kill()
				crew[victim].gone(t)
				delete(crew, victim)
				succeeds(c, job)
				c.history.await(t, "end", "hear "+name, 1)
				if all := c.history.find(t, "start", name); len(all) > 1 {
					again++
					within(t, "the recovery", all[1].At.Sub(killed), recovery)
				}
			}
			c.drained()
			for i, name := range names {
				c.starts(name, 1, 2)
				c.recorded("default", task.CallbacksID(ids[i]))
			}
			c.inOrder("default", ids, names)
			if again*10 < len(ids)*6 {
				t.Errorf("%d of %d kills hit a job, want 60 %%", again, len(ids))
			}
		})
	}
}

func TestF03AWorkerKilledBetweenAnyTwoStepsOfSettlingLeavesOneOutcome(t *testing.T) {
	t.Parallel()
	nth := func(prefix string, n int) func() func(string, string) bool {
		return func() func(string, string) bool { return to(prefix, n) }
	}
	var all []killing
	all = append(all, each("the outcome is published", nth(succeededAt, 1), "one")...)
	all = append(all, each("the callbacks are published", nth(callbacksAt, 1))...)
	all = append(all, each("the ack", func() func(string, string) bool { return ackOf("default") })...)
	for _, k := range each("the callback's outcome", func() func(string, string) bool {
		return func(subject, _ string) bool {
			return strings.HasPrefix(subject, succeededAt) && strings.HasSuffix(subject, ".cb.1")
		}
	}, "hear one") {
		k.runs["two"] = 2 // a callback holds up no job: the kill may catch the next one too
		all = append(all, k)
	}
	for _, k := range all {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			c := newCell(t)
			var one, two *producer.Job[string]
			died := c.dies(k, func() {
				one = queue(c, do("one").OnSuccess(hear))
				two = queue(c, do("two"))
			})
			succeeds(c, one)
			succeeds(c, two)
			within(t, "the recovery", time.Since(died), recovery)
			c.drained()
			c.recorded("default", one.ID())
			c.recorded("default", task.CallbacksID(one.ID()))
			c.inOrder("default", []string{one.ID(), two.ID()}, []string{"one", "two"})
			k.check(c, "one", "two", "hear one")
		})
	}
}

func TestF03AWorkerKilledInASerialBatchIsFollowedByOneThatResumesAfterTheLastOutcome(t *testing.T) {
	t.Parallel()
	var all []killing
	for n := 1; n <= 3; n++ {
		name := fmt.Sprintf("the outcome of member %d", n)
		all = append(all, each(name, func() func(string, string) bool { return to(succeededAt, n) }, fmt.Sprint("member ", n))...)
	}
	all = append(all, each("the outcome of the batch", func() func(string, string) bool { return to(succeededAt, 4) })...)
	all = append(all, each("its first claim", func() func(string, string) bool { return to(claimedAt, 1) })...)
	all = append(all, killing{name: "before the callback of member 2", at: to(callbacksAt, 1)})
	for _, k := range all {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			c := newCell(t)
			var b *producer.Job[batch.Results]
			var next *producer.Job[string]
			died := c.dies(k, func() {
				b = queue(c, batch.Serial(do("member 1"), do("member 2").OnSuccess(hear), do("member 3")))
				next = queue(c, do("next"))
			})
			res := succeeds(c, b)
			succeeds(c, next)
			within(t, "the recovery", time.Since(died), recovery)
			var got []string
			for _, o := range res {
				v, err := task.Result[string](o)
				if err != nil {
					t.Errorf("member %s: %v", o.ID, err)
				}
				got = append(got, v)
			}
			if diff := cmp.Diff([]string{"member 1", "member 2", "member 3"}, got); diff != "" {
				t.Errorf("results (-want +got):\n%s", diff)
			}
			ids := []string{task.MemberID(b.ID(), 1), task.MemberID(b.ID(), 2), task.MemberID(b.ID(), 3)}
			c.inOrder("default", ids, got)
			c.recorded("default", b.ID())
			c.history.await(t, "end", "hear member 2", 1)
			k.check(c, "member 1", "member 2", "member 3", "next")
			c.drained()
		})
	}
}

func TestF03AWorkerKilledWhileAJobIsParkedDoesNotRunItAgain(t *testing.T) {
	t.Parallel()
	t.Run("in a parallel batch", func(t *testing.T) {
		t.Parallel()
		for _, k := range []killing{
			{name: "before it parks", at: to(claimedAt, 1)},
			{name: "between its members", at: to(freeAt, 2)},
			{name: "after its last member", at: to(freeAt, 3), forward: true},
			{name: "before its outcome", at: to(succeededAt, 4)},
			{name: "after its outcome", at: to(succeededAt, 4), forward: true},
		} {
			t.Run(k.name, func(t *testing.T) {
				t.Parallel()
				c := newCell(t)
				var b *producer.Job[batch.Results]
				var next *producer.Job[string]
				k.runs = map[string]int{"m1": 2, "m2": 2, "m3": 2} // those that ran when the worker died
				died := c.dies(k, func() {
					b = queue(c, batch.Parallel(do("m1"), do("m2"), do("m3")))
					next = queue(c, do("next"))
				})
				if err := succeeds(c, b).Err(); err != nil {
					t.Error(err)
				}
				succeeds(c, next)
				// A member that was taken and the batch that waits for it may lose their leases one after the other.
				within(t, "the recovery", time.Since(died), recovery)
				c.recorded("default", b.ID())
				for i := range 3 {
					c.recorded("default", task.MemberID(b.ID(), i+1))
				}
				k.check(c, "m1", "m2", "m3", "next")
				c.drained()
			})
		}
	})
	t.Run("in a continued job", func(t *testing.T) {
		t.Parallel()
		at := func(prefix string, n int) func() func(string, string) bool {
			return func() func(string, string) bool { return to(prefix, n) }
		}
		var all []killing
		all = append(all, each("the claim", at(claimedAt, 1), "function")...)
		all = append(all, each("the continuation is published", at(freeAt, 1))...)
		all = append(all, each("the outcome", at(succeededAt, 2))...)
		all[3].runs = map[string]int{"continuation": 2}
		for _, k := range all {
			t.Run(k.name, func(t *testing.T) {
				t.Parallel()
				c := newCell(t)
				var job, next *producer.Job[string]
				died := c.dies(k, func() {
					job = queue(c, follow(script{Name: "function", Continue: &script{Name: "continuation"}}).OnSuccess(hear))
					next = queue(c, do("next"))
				})
				if got := succeeds(c, job); got != "continuation" {
					t.Errorf("the result is %q, want that of the continuation", got)
				}
				succeeds(c, next)
				within(t, "the recovery", time.Since(died), recovery)
				c.inOrder("default", []string{job.ID(), next.ID()}, []string{"function", "next"})
				k.check(c, "function", "continuation", "next", "hear continuation")
				c.drained()
			})
		}
	})
}
