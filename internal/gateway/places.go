package gateway

import "sync"

// places are what calls are worked on in, at once. An owner gets another one while it holds fewer than are free: alone
// it has half of them, the next one half of the rest, so that many owners together leave one for whoever has none.
type places struct {
	mu   sync.Mutex
	free int
	held map[string]int
}

func newPlaces(n int) *places { return &places{free: n, held: make(map[string]int)} }

// take says whether the owner got a place.
func (p *places) take(owner string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.held[owner] >= p.free {
		return false
	}
	p.held[owner]++
	p.free--
	return true
}

// leave gives one back.
func (p *places) leave(owner string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.free++
	if p.held[owner]--; p.held[owner] == 0 {
		delete(p.held, owner)
	}
}
