package integration_test

import (
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/natsasync/natsasync/task"
)

func TestBytesThatAreNoJobArePutAsideAndTheLaneGoesOn(t *testing.T) {
	t.Parallel()
	c := newCell(t)
	c.hire("worker").begin()
	mallory := task.User{Realm: jane.Realm, ID: "mallory"}
	genuine := func(id string, u task.User) []byte {
		e, err := do("forged").With(task.WithID(id)).Spec().Seal(task.Sealing{Installation: c.broker.Installation(), User: u, Now: time.Now()})
		if err != nil {
			t.Fatal(err)
		}
		return e.Encode()
	}
	whole := genuine("truncated", jane)
	at := func(owner, id string) string { return c.broker.Job("default", "default", owner, id) }
	bad := []struct {
		name, subject string
		body          []byte
	}{
		{"array of four billion", at(jane.Owner(), "bomb-1"), []byte{0xdd, 0xff, 0xff, 0xff, 0xff}},
		{"map of four billion", at(jane.Owner(), "bomb-2"), []byte{0xdf, 0xff, 0xff, 0xff, 0xff}},
		{"bytes of four billion", at(jane.Owner(), "bomb-3"), []byte{0xc6, 0xff, 0xff, 0xff, 0xff}},
		{"string of four billion", at(jane.Owner(), "bomb-4"), []byte{0xdb, 0xff, 0xff, 0xff, 0xff}},
		{"nested without end", at(jane.Owner(), "nested"), slices.Repeat([]byte{0x91}, 100_000)},
		{"JSON", at(jane.Owner(), "json"), []byte(`{"task":"story.act"}`)},
		{"nothing", at(jane.Owner(), "nothing"), nil},
		{"truncated", at(jane.Owner(), "truncated"), whole[:len(whole)-3]},
		{"trailing", at(jane.Owner(), "trailing"), append(genuine("trailing", jane), 0xc0)},
		{"another's name", at(mallory.Owner(), "stolen"), genuine("stolen", jane)},
		{"another's ID", at(jane.Owner(), "theirs"), genuine("mine", jane)},
	}
	for _, b := range bad {
		if _, err := c.broker.Publish(t.Context(), &nats.Msg{Subject: b.subject, Data: b.body}); err != nil {
			t.Fatalf("%s: %v", b.name, err)
		}
	}
	last := queue(c, do("last"))
	succeeds(c, last)
	c.drained()
	c.starts("forged", 0, 0)
	aside := map[string][]byte{}
	for m, err := range c.broker.Range(t.Context(), c.broker.Rejected(), "", 0) {
		if err != nil {
			t.Fatal(err)
		}
		if m.Header.Get("Async-Code") == "" || m.Header.Get("Async-Reason") == "" {
			t.Errorf("%s has no code or reason: %v", m.Subject, m.Header)
		}
		aside[m.Header.Get("Async-Subject")] = m.Data
	}
	for _, b := range bad {
		if got, there := aside[b.subject]; !there || !slices.Equal(got, b.body) {
			t.Errorf("%s: not put aside as it came", b.name)
		}
	}
	if len(aside) != len(bad) {
		t.Errorf("%d messages are put aside, want %d", len(aside), len(bad))
	}
	if n := len(c.outcomes("default", "stolen")); n != 0 {
		t.Errorf("a forged job has %d outcomes", n)
	}
}
