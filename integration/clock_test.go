package integration_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/natsasync/natsasync/internal/stream"
	"github.com/natsasync/natsasync/producer"
	"github.com/natsasync/natsasync/task"
)

// The wall clock belongs to a process, so whoever has a wrong one here is a process of
// its own. The server and the test have the right one. Leap seconds and daylight saving
// time are not among the faults: all times are counts of microseconds since 1970.

const (
	aDay = 24 * time.Hour
	// clockError is how far a time may be off that was learned from an answer on a busy machine.
	clockError = 900 * time.Millisecond
)

// wrongClocks are by how much a wall clock is off. The last one shows a time before 1970.
var wrongClocks = []time.Duration{aDay, -aDay, 7 * time.Minute, -7 * time.Minute, -100 * 365 * aDay}

func clockOff(by time.Duration) func(*role) { return func(r *role) { r.Clock = by } }

// commitOff has a process whose clock is off commit a job, and returns its handle.
func (c *cell) commitOff(by time.Duration, change func(*role)) *producer.Job[string] {
	c.t.Helper()
	n := len(c.history.find(c.t, "committed", "staged 0"))
	r := role{Part: "producer", Name: "skewed", URL: c.url, History: c.history.path, Jobs: 1, Clock: by}
	change(&r)
	spawn(c.t, r)
	return producer.Find[string](c.client, c.history.await(c.t, "committed", "staged 0", n+1).ID)
}

// timely asserts that the recorded times of a job are the server's.
func (c *cell) timely(id string, since time.Time) {
	c.t.Helper()
	s := c.recorded("default", id)
	for what, at := range map[string]time.Time{"queued": s.Record.Queued, "started": s.Record.Started, "ended": s.Record.Ended} {
		if at.Before(since.Add(-clockError)) || at.After(time.Now().Add(clockError)) {
			c.t.Errorf("job %s by %s was %s at %v by its record, that is not after %v", id, s.Record.Worker, what, at, since)
		}
	}
}

func TestF25WorkersWithWrongClocksLoseNothingAndKeepTheOrder(t *testing.T) {
	t.Parallel()
	c := newCell(t)
	began := time.Now()
	var workers []*process
	for i, by := range wrongClocks {
		workers = append(workers, c.employ(fmt.Sprint("worker-", i), c.url, clockOff(by)))
		workers[i].awaitSaid(t, "the clock of this machine is off")
	}
	first := queue(c, gated("first", "gate"))
	caught := c.history.await(t, "start", "first", 1)
	ids, names := []string{first.ID()}, []string{"first"}
	for i := range 10 {
		name := fmt.Sprint("next ", i)
		job := queue(c, do(name))
		ids, names = append(ids, job.ID()), append(names, name)
	}
	for i, p := range workers {
		if caught.Worker == fmt.Sprint("worker-", i) {
			p.kill()
		}
	}
	c.history.await(t, "start", "first", 2) // in another time, within its lease
	c.open("gate")
	for i, id := range ids {
		succeeds(c, producer.Find[string](c.client, id))
		c.timely(id, began)
		if i > 0 {
			c.starts(names[i], 1, 1)
		}
	}
	c.starts("first", 2, 2)
	c.inOrder("default", ids, names)
	c.drained()
}

func TestF25ADelayIsAsLongAsItSaysUnderWrongClocks(t *testing.T) {
	t.Parallel()
	const delay = time.Second
	c := newCell(t)
	c.employ("ahead", c.url, clockOff(aDay))
	c.employ("behind", c.url, clockOff(-aDay))
	began, jobs := make([]time.Time, len(wrongClocks)), make([]*producer.Job[string], len(wrongClocks))
	for i, by := range wrongClocks {
		began[i] = time.Now()
		jobs[i] = c.commitOff(by, func(r *role) { r.Delay = delay })
	}
	for i, by := range wrongClocks {
		succeeds(c, jobs[i])
		c.timely(jobs[i].ID(), began[i])
		for _, e := range c.history.find(t, "start", "staged 0") {
			if took := e.At.Sub(began[i]); e.ID == jobs[i].ID() && took < delay-clockError/4 {
				t.Errorf("a job of a producer whose clock is off by %v started %v after it was queued, its delay is %v", by, took, delay)
			}
		}
	}
}

func TestF25AStartDeadlineIsJudgedByTheServersClock(t *testing.T) {
	t.Parallel()
	for _, by := range wrongClocks[:2] {
		t.Run(by.String(), func(t *testing.T) {
			t.Parallel()
			c := newCell(t)
			began := time.Now()
			missed := c.commitOff(-by, func(r *role) { r.Within = time.Millisecond })
			met := c.commitOff(-by, func(r *role) { r.Within = 2 * patience })
			time.Sleep(clockError) // the deadline that is missed
			c.employ("worker", c.url, clockOff(by))
			if _, err := result(c, missed); !errors.Is(err, task.ErrExpired) {
				t.Errorf("the deadline of a job was missed and its error is %v", err)
			}
			succeeds(c, met)
			c.timely(missed.ID(), began)
			c.timely(met.ID(), began)
		})
	}
}

func TestF25AClockThatJumpsWhileAJobRunsKeepsItsLeaseAndTheOrder(t *testing.T) {
	t.Parallel()
	for n := range rounds(2, 10) {
		by := wrongClocks[n%2]
		t.Run(by.String(), func(t *testing.T) {
			t.Parallel()
			c := newCell(t)
			began := time.Now()
			c.employ("first", c.url, func(r *role) { r.Jump = by })
			one := queue(c, gated("one", "gate"))
			two := queue(c, do("two"))
			c.history.await(t, "start", "one", 1)
			c.employ("second", c.url, func(r *role) { r.Jump = -by })
			for _, name := range []string{"first", "second"} {
				c.open("jump." + name)
				c.history.await(t, "jump", name, 1)
			}
			time.Sleep(2 * shortLease) // a lease that is counted by the clock is over
			c.starts("two", 0, 0)
			c.open("gate")
			for _, job := range []*producer.Job[string]{one, two} {
				succeeds(c, job)
				c.timely(job.ID(), began)
			}
			c.starts("one", 1, 1)
			c.starts("two", 1, 1)
			c.inOrder("default", []string{one.ID(), two.ID()}, []string{"one", "two"})
			if claims := c.claims(one.ID()); len(claims) > 0 {
				t.Errorf("the job was taken over: %+v", claims[0])
			}
		})
	}
}

func TestF25ARetryTakesItsPauseUnderWrongClocks(t *testing.T) {
	t.Parallel()
	const pause = 500 * time.Millisecond
	for _, by := range wrongClocks[:2] {
		t.Run(by.String(), func(t *testing.T) {
			t.Parallel()
			c := newCell(t)
			one := c.employ("one", c.url, clockOff(by))
			failing := func(name string, aside bool) *producer.Job[string] {
				return queue(c, follow(script{Name: name, Fail: "doomed"}).With(task.WithoutQuota(),
					task.Retry(task.Policy{Attempts: 2, Delay: pause, MaxDelay: pause, Aside: aside})))
			}
			jobs := map[string]*producer.Job[string]{"in place": failing("in place", false), "aside": failing("aside", true)}
			for name := range jobs {
				c.history.await(t, "end", name, 1)
			}
			awaitTrue(t, "both jobs wait for their second attempts", func() bool {
				for _, job := range jobs {
					if claims := c.claims(job.ID()); len(claims) == 0 || claims[len(claims)-1].State != task.ClaimRetrying {
						return false
					}
				}
				return true
			})
			one.kill()
			c.employ("two", c.url, clockOff(-by))
			for name, job := range jobs {
				if _, err := result(c, job); err == nil {
					t.Errorf("%s: a job that fails twice succeeded", name)
				}
				c.starts(name, 2, 2)
				all := c.history.find(t, "start", name)
				if took := all[1].At.Sub(all[0].At); took < pause*8/10-clockError/4 {
					t.Errorf("%s: the second attempt came after %v, its pause is %v", name, took, pause)
				}
			}
		})
	}
}

func TestF25TheGraceOfAnUnknownTaskIsTheSameUnderAllClocks(t *testing.T) {
	t.Parallel()
	c := newCell(t)
	ignorant := func(by time.Duration) func(*role) {
		return func(r *role) { r.Clock, r.Ignorant = by, true }
	}
	behind := c.employ("behind", c.url, ignorant(-aDay))
	job := queue(c, do("one"))
	behind.awaitSaid(t, "a job is left to a worker that knows its task")
	behind.kill()
	c.employ("ahead", c.url, ignorant(aDay)) // to whom the grace is over by its own clock
	handed := func() uint64 {
		lane, err := c.broker.Lane(t.Context(), "default", stream.QuotaDefault)
		if err != nil {
			t.Fatal(err)
		}
		return lane.Info.Delivered.Consumer
	}
	before := handed()
	awaitTrue(t, "the second ignorant worker sees the job twice", func() bool { return handed() >= before+2 })
	c.employ("learned", c.url)
	succeeds(c, job)
}
