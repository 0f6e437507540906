package stream_test

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/natsasync/natsasync/internal/stream"
)

// Of many workers that want to look through the schedules at once, one does.
func TestOneSweepIsForAll(t *testing.T) {
	t.Parallel()
	js := connect(t, startServer(t))
	workers := []*stream.Broker{open(t, js, stream.Config{})}
	for range 9 {
		workers = append(workers, open(t, js, stream.Config{}))
	}
	begin := func(since time.Time) int32 {
		var all sync.WaitGroup
		var begun atomic.Int32
		for _, b := range workers {
			all.Go(func() {
				mine, err := b.TakeSweep(t.Context(), since)
				if err != nil {
					t.Error(err)
				}
				if mine {
					begun.Add(1)
				}
			})
		}
		all.Wait()
		return begun.Load()
	}
	before := workers[0].Now().Add(-time.Minute)
	if n := begin(before); n != 1 {
		t.Errorf("%d of ten workers look, want 1", n)
	}
	if n := begin(before); n != 0 {
		t.Errorf("%d look again", n)
	}
	last, err := workers[0].Last(t.Context(), workers[0].Later(), workers[0].Swept())
	must(t, err)
	if n := begin(last.Time); n != 1 { // for what happened since
		t.Errorf("%d of ten workers look the next time, want 1", n)
	}
	n, err := workers[0].Count(t.Context(), workers[0].Later(), workers[0].LaterFilter())
	if err != nil || n != 0 {
		t.Errorf("%d schedules are counted (%v), want none", n, err)
	}
}
