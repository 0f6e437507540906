package integration_test

import (
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/natsasync/natsasync/consumer"
	"github.com/natsasync/natsasync/internal/stream"
	"github.com/natsasync/natsasync/producer"
	"github.com/natsasync/natsasync/task"
)

// aside waits until n messages are put aside, and returns their headers by the subjects that they came on.
func (c *cell) aside(n int) map[string]nats.Header {
	c.t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		all := map[string]nats.Header{}
		for m, err := range c.broker.Range(c.t.Context(), c.broker.Rejected(), "", 0) {
			if err != nil {
				c.t.Fatal(err)
			}
			all[m.Header.Get(stream.HeaderSubject)] = m.Header
		}
		if len(all) >= n {
			return all
		}
		if time.Now().After(deadline) {
			c.t.Fatalf("%d messages are put aside, want %d: %v", len(all), n, all)
		}
	}
}

// Whoever may publish into a queue chooses the tokens of the subject. A worker that asked for one with them could ask for
// more than one job, or for a subject that is longer than the server's line, which closes the connection.
func TestASubjectThatIsThatOfNoJobIsPutAsideAndAsksNothing(t *testing.T) {
	t.Parallel()
	c := newCell(t)
	h := c.hire("worker")
	h.begin()
	o := jane.Owner()
	lane := func(tail string) string { return "natsasync.job.default.default." + tail }
	long := lane(o + "." + strings.Repeat("x", 4000))
	subjects := []string{
		lane(o + ".*"), lane("*.*"), lane(o + ".>"), lane("*.job"), lane("somebody.job"), lane(strings.ToUpper(o) + ".job"),
		lane(o + ".1234567890123456789012345678901234567890123456789012345678901234x"),
		lane(o + ".job.0"), lane(o + ".job.01"), lane(o + ".job.x"), lane(o + ".a\"b"), lane(o),
		"natsasync.job.default.later." + o + ".*", "natsasync.job.default.callbacks." + o + ".*",
		lane(o + "." + strings.Repeat("1.", 1900) + "1"), long,
	}
	for _, s := range subjects {
		if err := c.conn.PublishMsg(&nats.Msg{Subject: s, Data: []byte("rubbish")}); err != nil {
			t.Fatalf("%.80q: %v", s, err)
		}
	}
	if err := c.conn.Flush(); err != nil {
		t.Fatal(err)
	}
	aside := c.aside(len(subjects))
	for _, s := range subjects {
		kept := s
		if len(kept) > 1024 {
			kept = kept[:1024] + "…"
		}
		switch got := aside[kept]; {
		case got == nil:
			t.Errorf("%.80q is not put aside", s)
		case got.Get(stream.HeaderCode) != "subject":
			t.Errorf("%.80q is put aside as %q: %s", s, got.Get(stream.HeaderCode), got.Get(stream.HeaderReason))
		}
	}
	succeeds(c, queue(c, do("after all that")))
	c.drained()
	select {
	case err := <-h.ended:
		h.ended <- err
		t.Errorf("the worker has ended: %v", err)
	default:
	}
	if err := h.worker.Health(t.Context()); err != nil {
		t.Error(err)
	}
}

// An ID that matches others cannot hold up a lane: what a worker writes down of a job of a later version would be lost
// among the records of other jobs.
func TestALaterVersionOnASubjectThatMatchesOthersHoldsUpNothing(t *testing.T) {
	t.Parallel()
	c := newCell(t)
	c.hire("worker", func(cfg *consumer.Config) { cfg.UnknownGrace = time.Hour }).begin()
	subject := c.broker.Job("default", "default", jane.Owner(), "*")
	if err := c.conn.Publish(subject, tomorrow(jane)); err != nil {
		t.Fatal(err)
	}
	job, err := producer.Enqueue(task.WithUser(t.Context(), jane), c.client, do("behind it"))
	if err != nil {
		t.Fatal(err)
	}
	succeeds(c, job)
	if code := c.aside(1)[subject].Get(stream.HeaderCode); code != "subject" {
		t.Errorf("put aside as %q", code)
	}
}
