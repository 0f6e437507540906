package integration_test

import (
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/natsasync/natsasync/batch"
	"github.com/natsasync/natsasync/internal/stream"
	"github.com/natsasync/natsasync/task"
)

// A worker believes what a batch says of its members: one that has its job's ID would be read for ever by whoever reads
// the outcome, and one in a lane that nobody serves would be waited for without end, in a lane of size 1.
func TestABatchWhoseMembersAreNotItsOwnIsPutAsideAndTheLaneGoesOn(t *testing.T) {
	t.Parallel()
	c := newCell(t)
	c.hire("worker").begin()
	seal := func(id string, call task.Callable) *task.Envelope {
		spec := call.Spec()
		spec.Options.ID = id
		e, err := spec.Seal(task.Sealing{Installation: c.broker.Installation(), User: jane, Now: time.Now()})
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	first := func(of *[][]byte, change func(*task.Envelope)) {
		m, err := task.DecodeEnvelope((*of)[0])
		if err != nil {
			t.Fatal(err)
		}
		change(m)
		(*of)[0] = m.Encode()
	}
	outer := func(e *task.Envelope) { first(&e.Members, func(m *task.Envelope) { m.ID = e.ID }) }
	lane := func(name string) func(*task.Envelope) {
		return func(e *task.Envelope) { first(&e.Members, func(m *task.Envelope) { m.Lane = name }) }
	}
	two := func(e *task.Envelope) { e.Members = [][]byte{e.Members[0], e.Members[0]} }
	follow := func(id string) func(*task.Envelope) {
		return func(e *task.Envelope) { e.Lane, e.After, e.When = "callbacks", id, task.WhenDone }
	}
	serial, parallel := batch.Serial(do("never")), batch.Parallel(do("never"))
	code := map[string]string{}
	for _, f := range []struct {
		id, code string
		call     task.Callable
		change   func(*task.Envelope)
	}{
		{"serial-outer", "members", serial, outer},
		{"parallel-outer", "members", parallel, outer},
		{"serial-twice", "members", serial, two},
		{"parallel-twice", "members", parallel, two},
		{"parallel-later", "members", parallel, lane("later")},
		{"parallel-nowhere", "members", parallel, lane("nosuch")},
		{"serial-garbage", "format", serial, func(e *task.Envelope) { e.Members[0] = []byte{0xc1} }},
		{"callback-garbage", "format", do("never").OnDone(after), func(e *task.Envelope) { e.Callbacks[0] = []byte{0xc1} }},
		{"callback-outer", "members", do("never").OnDone(after), func(e *task.Envelope) { first(&e.Callbacks, func(cb *task.Envelope) { cb.ID = e.ID }) }},
		{"after-itself", "members", do("never"), follow("after-itself")},
		{"after-its-member", "members", do("never"), follow("after-its-member.1")},
		{"after-in-a-quota", "members", do("never"), func(e *task.Envelope) { e.After, e.When = "after-in-a-quota", task.WhenDone }},
	} {
		e := seal(f.id, f.call)
		f.change(e)
		subject := c.broker.Job("default", e.Lane, jane.Owner(), f.id)
		if _, err := c.broker.Publish(t.Context(), &nats.Msg{Subject: subject, Data: e.Encode()}); err != nil {
			t.Fatalf("%s: %v", f.id, err)
		}
		code[subject] = f.code
	}
	succeeds(c, queue(c, do("after all that")))
	aside := c.aside(len(code))
	for subject, want := range code {
		switch got := aside[subject]; {
		case got == nil:
			t.Errorf("%s is not put aside", subject)
		case got.Get(stream.HeaderCode) != want:
			t.Errorf("%s is put aside as %q: %s", subject, got.Get(stream.HeaderCode), got.Get(stream.HeaderReason))
		case !strings.Contains(got.Get(stream.HeaderReason), "field") && want == "members":
			t.Errorf("%s names no field: %s", subject, got.Get(stream.HeaderReason))
		}
	}
	c.drained()
	c.starts("never", 0, 0)
}
