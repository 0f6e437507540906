package task_test

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/natsasync/natsasync/task"
)

func TestPausesDoubleWithinBounds(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p := task.Policy{
			Delay:    time.Duration(rapid.Int64Range(0, int64(task.MaxDuration)).Draw(t, "delay")),
			MaxDelay: time.Duration(rapid.Int64Range(0, int64(task.MaxDuration)).Draw(t, "max delay")),
		}
		if p.MaxDelay > 0 {
			p.MaxDelay = max(p.MaxDelay, p.Delay)
		}
		n, random := rapid.IntRange(1, math.MaxInt32-1).Draw(t, "attempt"), rapid.Float64Range(0, 0.999).Draw(t, "random")
		got, most := p.Pause(n, random), p.WithDefaults().MaxDelay
		want := float64(p.Delay)
		for range min(n-1, 64) {
			want *= 2
		}
		want = min(want, float64(most))
		if got < 0 || got > most || float64(got) < 0.79*want-1 || float64(got) > 1.21*want+1 {
			t.Fatalf("pause %d of %+v is %v, want about %v, at most %v", n, p, got, time.Duration(want), most)
		}
		if later := p.Pause(n+1, random); later < got {
			t.Fatalf("pause %d of %+v is %v, shorter than the one before, %v", n+1, p, later, got)
		}
	})
}

func TestDefaultsOfAPolicy(t *testing.T) {
	t.Parallel()
	if got, want := (task.Policy{}).WithDefaults(), (task.Policy{Attempts: 5, MaxDelay: time.Hour}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if got := (task.Policy{}).Pause(3, 0.5); got != 0 {
		t.Errorf("without a delay the pause is %v", got)
	}
	if got := (task.Policy{Delay: 2 * time.Hour}).Pause(1, 0.5); got != 2*time.Hour {
		t.Errorf("a delay of two hours became %v", got)
	}
	if got := (task.Policy{Delay: time.Minute}).Pause(100, 0.5); got != time.Hour {
		t.Errorf("without a bound the pause grows to %v", got)
	}
}
