package main

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/natsasync/natsasync/internal/stream"
	"github.com/natsasync/natsasync/task"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func smallGround(t *testing.T) *ground {
	t.Helper()
	return &ground{inproc: true, dir: t.TempDir(), sizes: sizes{
		wide: 600, backlog: 20, longBacklog: 60, ofLong: 20, queue: 10, bulk: 600, trips: 3, wideSynced: 20, serialSynced: 10,
	}}
}

func TestEveryMeasurementFindsSomething(t *testing.T) {
	t.Parallel()
	for _, m := range smallGround(t).measurements() {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			r, err := m.compare(t.Context(), 2)
			if err != nil {
				t.Fatal(err)
			}
			if r.Ours <= 0 || r.Reference <= 0 || len(r.Ratios) != 2 || (r.Sync[0] == 'a') != m.synced {
				t.Errorf("found %+v", r)
			}
			var out bytes.Buffer
			if err := newReport(&out, true).line(r); err != nil || !json.Valid(out.Bytes()) {
				t.Errorf("printed %q, %v", out.String(), err)
			}
		})
	}
}

func TestTheRawClientDoesNotRunAJobThatHasAnOutcome(t *testing.T) {
	t.Parallel()
	for _, quota := range []string{task.DefaultQuota, wideQuota} {
		_, err := onSite(t.Context(), smallGround(t), false, func(ctx context.Context, s *site) (drained, error) {
			m, err := s.message(quota)
			if err != nil {
				return drained{}, err
			}
			at, _ := s.broker.ParseJob(m.Subject)
			body, err := outcomeBody(s, quota)
			if err != nil {
				return drained{}, err
			}
			if _, err := s.broker.Publish(ctx, stream.Fenced(s.broker.Outcome(at.Queue, stream.KindSucceeded, at.Owner, at.ID), s.broker.Fence(at.Queue, at.Owner, at.ID), 0, body)); err != nil {
				return drained{}, err
			}
			if _, err := s.broker.Publish(ctx, m); err != nil {
				return drained{}, err
			}
			return s.drain(ctx, startRaw, quota, 1, true)
		})
		if err == nil || !strings.Contains(err.Error(), "look:") {
			t.Errorf("%s: error is %v, want that of the look", quota, err)
		}
	}
}

func TestASideThatRecordsNothingIsCaught(t *testing.T) {
	t.Parallel()
	_, err := onSite(t.Context(), smallGround(t), false, func(ctx context.Context, s *site) (drained, error) {
		idle := func(_ context.Context, _ *site, l *laps) (func() error, error) {
			l.lap()
			l.lap()
			return func() error { return nil }, nil
		}
		return s.drain(ctx, idle, task.DefaultQuota, 2, true)
	})
	if err == nil || !strings.Contains(err.Error(), "2 jobs left 0 outcomes") {
		t.Errorf("error is %v", err)
	}
}

func TestChooseNamesWhatThereIs(t *testing.T) {
	t.Parallel()
	all := smallGround(t).measurements()
	got, err := choose(all, []string{"growth", "queue"})
	if err != nil || len(got) != 2 || got[0].name != "growth" || got[1].name != "queue" {
		t.Errorf("chose %d, %v", len(got), err)
	}
	if _, err := choose(all, []string{"speed"}); err == nil || !strings.Contains(err.Error(), "round-trip") {
		t.Errorf("error is %v", err)
	}
}

func TestALineSaysWhatWasMissedAndHowWideTheRoundsAre(t *testing.T) {
	t.Parallel()
	values := [][2]float64{{50, 100}, {90, 100}, {60, 100}}
	next := func(side int) func(context.Context) (float64, error) {
		i := -1
		return func(context.Context) (float64, error) { i++; return values[i][side], nil }
	}
	m := measurement{name: "x", unit: "jobs/s", synced: true, target: atLeast(0.8, ""), against: "raw", ours: next(0), reference: next(1)}
	r, err := m.compare(t.Context(), 3)
	if err != nil {
		t.Fatal(err)
	}
	if r.Ratio != 0.6 || r.Ours != 60 || r.Holds || !slices.Equal(r.Ratios, []float64{0.5, 0.9, 0.6}) {
		t.Errorf("result is %+v", r)
	}
	var out bytes.Buffer
	if err := newReport(&out, false).line(r); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"MISS", "SPREAD 67 %", "sync always", "0.50–0.90", "≥ 0.80"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("line lacks %q: %s", want, out.String())
		}
	}
}
