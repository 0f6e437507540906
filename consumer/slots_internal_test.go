package consumer

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var discard = slog.New(slog.DiscardHandler)

// woken says whether h has been told that slots may be free.
func (h *hunger) woken() bool {
	select {
	case <-h.wake:
		return true
	default:
		return false
	}
}

// Any number of askers take and give, ask to be woken and go: never more slots are out
// than there are, and while slots are free nobody is left waiting who was not woken.
func TestSlotsAreNeverOverdrawnAndNobodyIsForgotten(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.IntRange(1, 8).Draw(t, "size")
		s := newSlots(size)
		askers := []*hunger{newHunger(), newHunger(), newHunger(), newHunger()}
		hungry := map[*hunger]bool{}
		out := 0
		asker := rapid.SampledFrom(askers)
		// A woken asker takes a slot, or passes the word on: that is the contract.
		serve := func() {
			for again := true; again; {
				again = false
				for h := range hungry {
					if hungry[h] && h.woken() {
						delete(hungry, h)
						out += s.take(1, nil)
						again = true
					}
				}
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"take": func(t *rapid.T) {
				h := asker.Draw(t, "asker")
				n := s.take(rapid.IntRange(1, 10).Draw(t, "most"), h)
				out += n
				if n == 0 {
					hungry[h] = true
				}
			},
			"give": func(t *rapid.T) {
				n := rapid.IntRange(0, out).Draw(t, "n")
				out -= n
				s.give(n)
				serve()
			},
			"leave": func(t *rapid.T) {
				h := asker.Draw(t, "asker")
				s.leave(h)
				delete(hungry, h)
				serve()
			},
			"share": func(t *rapid.T) {
				if n := s.share(); n < 1 || n > max(size, 1) {
					t.Fatalf("share is %d of %d", n, size)
				}
			},
			"": func(t *rapid.T) {
				if s.free+out != size || s.free < 0 || out > size {
					t.Fatalf("%d free and %d out of %d", s.free, out, size)
				}
				if s.free > 0 && len(hungry) > 0 {
					t.Fatalf("%d slots are free and %d wait", s.free, len(hungry))
				}
			},
		})
	})
}

func TestWaitersForSlotsAllGetOne(t *testing.T) {
	t.Parallel()
	const size, waiters, rounds = 3, 16, 50
	s := newSlots(size)
	var out atomic.Int64
	var all sync.WaitGroup
	for range waiters {
		all.Go(func() {
			for i := range rounds {
				ctx := t.Context()
				if i%5 == 0 {
					short, cancel := context.WithTimeout(ctx, 50*time.Microsecond)
					defer cancel()
					ctx = short
				}
				if err := s.wait(ctx); err != nil {
					continue
				}
				if n := out.Add(1); n > size {
					t.Errorf("%d slots are out, there are %d", n, size)
				}
				runtime.Gosched()
				out.Add(-1)
				s.give(1)
			}
		})
	}
	all.Wait()
	if s.free != size {
		t.Errorf("%d of %d slots are free in the end", s.free, size)
	}
}

func TestWaitForASlotEndsWithItsContext(t *testing.T) {
	t.Parallel()
	s := newSlots(1)
	s.take(1, nil)
	cause := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.wait(ctx) }()
	cancel(cause)
	if err := <-ended; !errors.Is(err, cause) {
		t.Errorf("error is %v, want %v", err, cause)
	}
	s.give(1)
	if n := s.take(1, nil); n != 1 {
		t.Error("the slot went to one who does not wait any more")
	}
}
