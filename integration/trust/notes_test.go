package trust_test

import (
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/natsasync/natsasync/internal/stream"
	"github.com/natsasync/natsasync/task"
)

// The subject of notes names no queue, so a worker's login of another one writes there too. What it writes does not count.
func TestNotesAreNotHiddenByAWorkerOfAnotherQueue(t *testing.T) {
	t.Parallel()
	f := newFort(t, false)
	mail := newSigner(t)
	trust := task.TrustKeys(append(f.keys, task.Key{Public: mail.Public(), Name: "mail", Works: []string{"mail"}})...)
	at := f.broker.Note(bob.Owner(), "in-mail")
	note := func(progress float64) {
		t.Helper()
		m := &nats.Msg{Subject: at, Header: nats.Header{}}
		n := task.Notes{Progress: progress}
		var err error
		if m.Data, err = n.Encode(); err != nil {
			t.Fatal(err)
		}
		f.sign(m, mail, "", 0)
		if _, err := f.js.PublishMsg(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	other := f.connect("docs")
	hide := func() {
		t.Helper()
		if _, err := other.Request(at, []byte("x"), patience); err != nil {
			t.Fatal(err)
		}
	}
	b, err := stream.Open(t.Context(), f.js, stream.Config{BindOnly: true, Keys: trust})
	if err != nil {
		t.Fatal(err)
	}
	hide()
	note(0.25)
	note(0.5)
	for range 8 {
		hide()
		if n, err := b.ReadNotes(t.Context(), "mail", bob.Owner(), "in-mail"); err != nil || n == nil || n.Progress != 0.5 {
			t.Errorf("the notes of the job are %+v, %v", n, err)
		}
	}
}
