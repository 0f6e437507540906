package consumer

import (
	"context"
	"sync"
)

// slots counts how many handlers may run. Whoever finds none asks to be woken; slots
// that come free go to one hungry asker after the other.
type slots struct {
	mu     sync.Mutex
	size   int
	free   int
	hungry []*hunger
}

// hunger is one who waits for slots.
type hunger struct {
	wake    chan struct{} // of capacity 1
	waiting bool
}

func newHunger() *hunger { return &hunger{wake: make(chan struct{}, 1)} }

func newSlots(size int) *slots { return &slots{size: size, free: size} }

// take takes up to most slots and returns how many it got. One that gets none is
// woken when there may be some.
func (s *slots) take(most int, h *hunger) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := max(min(most, s.free), 0)
	s.free -= n
	if n == 0 {
		s.starve(h)
	}
	return n
}

// any says whether a slot is free, without taking it. If none is, the asker is woken
// when there may be some.
func (s *slots) any(h *hunger) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.free > 0 {
		return true
	}
	s.starve(h)
	return false
}

func (s *slots) starve(h *hunger) {
	if h != nil && !h.waiting {
		h.waiting = true
		s.hungry = append(s.hungry, h)
	}
}

// share is how many slots one of the hungry may take without starving the others.
func (s *slots) share() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return max(s.free/(len(s.hungry)+1), 1)
}

func (s *slots) give(n int) {
	if n == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.free += n
	for left := s.free; left > 0 && len(s.hungry) > 0; left-- {
		s.wakeFirst()
	}
}

func (s *slots) wakeFirst() {
	h := s.hungry[0]
	s.hungry = s.hungry[1:]
	h.waiting = false
	select {
	case h.wake <- struct{}{}:
	default:
	}
}

// wait takes one slot as soon as there is one.
func (s *slots) wait(ctx context.Context) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	h := newHunger()
	for s.take(1, h) == 0 {
		select {
		case <-h.wake:
		case <-ctx.Done():
			s.leave(h)
			return context.Cause(ctx)
		}
	}
	return nil
}

// owe takes a slot that may not be there: none is free before it is given back.
func (s *slots) owe() {
	s.mu.Lock()
	s.free--
	s.mu.Unlock()
}

// leave forgets one who no longer waits, and passes on a wake-up that came too late.
func (s *slots) leave(h *hunger) {
	s.mu.Lock()
	waiting := h.waiting
	if waiting {
		for i, other := range s.hungry {
			if other == h {
				s.hungry = append(s.hungry[:i], s.hungry[i+1:]...)
				break
			}
		}
		h.waiting = false
	}
	s.mu.Unlock()
	if !waiting {
		s.pass()
	}
}

// pass wakes the next hungry one if slots are free.
func (s *slots) pass() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.free > 0 && len(s.hungry) > 0 {
		s.wakeFirst()
	}
}
