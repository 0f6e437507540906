package stream_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"github.com/natsasync/natsasync/internal/stream"
	"github.com/natsasync/natsasync/task"
)

// noted writes by hand how far the stream of jobs is said to have been.
func noted(t *testing.T, b *stream.Broker, subject string, created time.Time, seq uint64) {
	t.Helper()
	body, err := json.Marshal(map[string]any{b.Jobs(): map[string]any{"created": created, "seq": seq}})
	must(t, err)
	_, err = b.JetStream().Publish(t.Context(), subject, body)
	must(t, err)
}

func created(t *testing.T, b *stream.Broker) time.Time {
	t.Helper()
	s, err := b.JetStream().Stream(t.Context(), b.Jobs())
	must(t, err)
	return s.CachedInfo().Created
}

func TestF21AStreamBehindItsMarkIsNamedUntilTheLossIsAccepted(t *testing.T) {
	t.Parallel()
	for _, subject := range []string{"natsasync.note.mark", "natsasync.later.mark"} { // one of them is enough
		t.Run(subject, func(t *testing.T) {
			t.Parallel()
			b := newBroker(t, "default")
			must(t, b.CheckMarks(t.Context()))
			noted(t, b, subject, created(t, b), 7)
			err := b.Regressed(t.Context())
			if !errors.Is(err, stream.ErrRegressed) || !strings.Contains(err.Error(), "its last sequence is 1 and was 7") {
				t.Errorf("the error is %v", err)
			}
			if err := b.CheckMarks(t.Context()); !errors.Is(err, stream.ErrRegressed) {
				t.Errorf("the second time it is %v", err)
			}
			must(t, b.Mark(t.Context()))
			must(t, b.CheckMarks(t.Context()))
		})
	}
}

func TestF21WhatWasHandedOutIsAMarkToo(t *testing.T) {
	t.Parallel()
	b := newBroker(t, "default")
	must(t, b.CheckMarks(t.Context()))
	b.Saw(7)
	if err := b.CheckMarks(t.Context()); !errors.Is(err, stream.ErrRegressed) {
		t.Errorf("the error is %v", err)
	}
}

func TestF21AStreamThatWasMadeAnewBeginsAgain(t *testing.T) {
	t.Parallel()
	b := newBroker(t, "default")
	noted(t, b, "natsasync.note.mark", created(t, b).Add(-time.Hour), 7)
	must(t, b.CheckMarks(t.Context()))
	b.Saw(9)
	must(t, b.JetStream().DeleteStream(t.Context(), b.Jobs()))
	must(t, b.Remake(t.Context()))
	must(t, b.CheckMarks(t.Context()))
}

func TestF21AMarkThatCannotBeReadIsPassedOver(t *testing.T) {
	t.Parallel()
	b := newBroker(t, "default")
	_, err := b.JetStream().Publish(t.Context(), "natsasync.note.mark", []byte("{"))
	must(t, err)
	must(t, b.CheckMarks(t.Context()))
}

// Where keys are trusted a mark is a worker's word: it stops all of them.
func TestAMarkCountsIfAWorkersKeySignedIt(t *testing.T) {
	t.Parallel()
	js := connect(t, startServer(t))
	worker, web := newSigner(t), newSigner(t)
	keys := task.TrustKeys(task.Key{Public: worker.Public(), Works: []string{"mail"}}, task.Key{Public: web.Public(), Anyone: true})
	b := open(t, js, stream.Config{Queues: []string{"default"}, Signer: worker, Keys: keys})
	must(t, b.CheckMarks(t.Context()))
	at := created(t, b)
	mark := func(subject string, by *task.Signer) {
		t.Helper()
		body, err := json.Marshal(map[string]any{b.Jobs(): map[string]any{"created": at, "seq": 7}})
		must(t, err)
		m := &nats.Msg{Subject: subject, Data: body, Header: nats.Header{}}
		if by != nil {
			m.Header.Set(task.HeaderSignature, by.Sign(b.Installation(), subject, "", body, b.Now()))
		}
		_, err = js.PublishMsg(t.Context(), m)
		must(t, err)
	}
	for _, subject := range b.Marks() {
		for name, by := range map[string]*task.Signer{"nobody": nil, "a producer": web, "a stranger": newSigner(t)} {
			mark(subject, by)
			if err := b.CheckMarks(t.Context()); err != nil {
				t.Errorf("%s by %s: %v", subject, name, err)
			}
			last := lastMark(t, b, subject)
			if key, _, _ := strings.Cut(last.Header.Get(task.HeaderSignature), " "); key != worker.Public() {
				t.Errorf("%s by %s is not written over", subject, name)
			}
		}
		mark(subject, worker)
		if err := b.CheckMarks(t.Context()); !errors.Is(err, stream.ErrRegressed) {
			t.Errorf("%s by a worker: %v", subject, err)
		}
		// An administrator without a key accepts the loss.
		must(t, open(t, js, stream.Config{BindOnly: true}).Mark(t.Context()))
		must(t, b.CheckMarks(t.Context()))
	}
}

func lastMark(t *testing.T, b *stream.Broker, subject string) *stream.Message {
	t.Helper()
	in := b.Outcomes()
	if strings.Contains(subject, ".later.") {
		in = b.Later()
	}
	m, err := b.Last(t.Context(), in, subject)
	must(t, err)
	return m
}

func newSigner(t *testing.T) *task.Signer {
	t.Helper()
	pair, err := nkeys.CreateUser()
	must(t, err)
	seed, err := pair.Seed()
	must(t, err)
	s, err := task.NewSigner(seed)
	must(t, err)
	return s
}
