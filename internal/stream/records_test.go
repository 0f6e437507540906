package stream_test

import (
	"errors"
	"testing"

	"github.com/natsasync/natsasync/internal/stream"
	"github.com/natsasync/natsasync/task"
)

// Whoever may record can have one record list another that lists it. Who reads them comes to an end.
func TestRecordsThatListEachOtherAreReadOnce(t *testing.T) {
	t.Parallel()
	b := newBroker(t, "default")
	record := func(id string, members ...string) {
		r := task.Record{Outcome: task.Outcome{ID: id, Queue: "default", End: task.Succeeded}, Mode: task.Serial, Members: members}
		_, err := b.Publish(t.Context(), stream.Fenced(b.Outcome("default", stream.KindSucceeded, "anon", id), b.Fence("default", "anon", id), 0, r.Encode()))
		must(t, err)
	}
	// Each may list the members of a job that it continued as.
	record("A", "B.1", "B.2")
	record("B.1", "C.1")
	record("C.1", "B.1", "B.2")
	record("B.2", "D.1", "D.2", "D.3")
	got, err := b.ReadOutcome(t.Context(), "default", "anon", "A")
	must(t, err)
	members := func(o task.Outcome) []task.Outcome {
		all, err := task.Result[[]task.Outcome](o)
		must(t, err)
		return all
	}
	top := members(got.Outcome)
	again := members(members(top[0])[0])
	if len(again) != 2 || !errors.Is(again[0].Err(), task.ErrTooLarge) {
		t.Errorf("a record within itself: %+v", again)
	}
	if gone := members(again[1]); len(gone) != 3 || !errors.Is(gone[2].Err(), task.ErrNoSuchJob) {
		t.Errorf("the other member: %+v", gone)
	}
	if !errors.Is(top[1].Err(), task.ErrTooLarge) {
		t.Errorf("what was read already: %+v", top[1])
	}

	record("SELF", "SELF")
	if s, err := b.Standing(t.Context(), "default", "anon", "SELF"); err != nil || s.Record != nil || s.Wrong == nil {
		t.Errorf("a record that lists itself counts: %+v, %v", s, err)
	}
}
