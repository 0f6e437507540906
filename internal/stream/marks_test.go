package stream_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/natsasync/natsasync/internal/stream"
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
