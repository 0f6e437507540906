package task_test

import (
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/natsasync/natsasync/task"
)

// host is a worker that keeps what a handler tells it.
type host struct {
	task.Host
	shares []float64
	text   string
	notes  map[string][]byte
}

func newHost() *host { return &host{notes: map[string][]byte{}} }

func (h *host) Progress(share float64, text string) {
	h.shares, h.text = append(h.shares, share), text
}

func (h *host) Note(key string, value []byte) { h.notes[key] = value }

func TestAHandlerKnowsItsJob(t *testing.T) {
	t.Parallel()
	job := task.Job{ID: "ID", Task: "math.add", Queue: "default", User: alice, Attempt: 2, Fence: 7}
	before := outcome(task.Succeeded)
	ctx := task.WithAttempt(t.Context(), &task.Attempt{Job: job, Lane: "default", Preceding: &before})
	if got, ok := task.JobFrom(ctx); !ok || got != job {
		t.Errorf("%+v, %v", got, ok)
	}
	if got := task.UserFrom(ctx); got != alice {
		t.Errorf("the handler runs as %v", got)
	}
	if got, ok := task.Preceding(ctx); !ok || got.ID != before.ID {
		t.Errorf("%+v, %v", got, ok)
	}
}

func TestOutsideAWorkerThereIsNoJob(t *testing.T) {
	t.Parallel()
	if _, ok := task.JobFrom(t.Context()); ok {
		t.Error("a job out of nothing")
	}
	if _, ok := task.Preceding(t.Context()); ok {
		t.Error("an outcome out of nothing")
	}
	if _, ok := task.Preceding(task.WithAttempt(t.Context(), &task.Attempt{})); ok {
		t.Error("a job that is no callback follows an outcome")
	}
	task.Progress(t.Context(), 0.5, "half")
	task.Progress(task.WithAttempt(t.Context(), &task.Attempt{}), 0.5, "half")
}

func TestProgressStaysBetweenNothingAndAll(t *testing.T) {
	t.Parallel()
	h := newHost()
	ctx := task.WithAttempt(t.Context(), &task.Attempt{Host: h})
	for _, share := range []float64{-1, 0.4, 2, math.Inf(1), math.NaN()} {
		task.Progress(ctx, share, "")
	}
	if diff := cmp.Diff([]float64{0, 0.4, 1, 1}, h.shares); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestNotesAreCheckedEverywhere(t *testing.T) {
	t.Parallel()
	h := newHost()
	inside := task.WithAttempt(t.Context(), &task.Attempt{Host: h})
	if err := task.Note(inside, "page", 7); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string][]byte{"page": {7}}, h.notes); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	outside := t.Context()
	if err := task.Note(outside, "page", 7); err != nil {
		t.Error(err)
	}
	if err := task.Note(outside, "Page 7", 7); err == nil || !strings.Contains(err.Error(), `note "Page 7"`) {
		t.Error(err)
	}
	if err := task.Note(outside, "page", make(chan int)); err == nil || !strings.Contains(err.Error(), "encode chan int") {
		t.Error(err)
	}
	if err := task.Note(inside, "page", make([]byte, task.MaxNotes)); !errors.Is(err, task.ErrTooLarge) {
		t.Error(err)
	}
}
