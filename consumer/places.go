package consumer

import "sync"

// places are for whole jobs that wait for others. Whoever comes takes one while some are
// free, so a user alone may have them all. When all are taken, a user gets one of whoever
// has most, as long as that one has twice of what they have with it: less would have jobs
// go to and fro between users who want as many.
type places struct {
	size int

	mu     sync.Mutex
	taken  int
	owners map[string]*share
}

// share is what one owner has of the places.
type share struct {
	taken  int
	parked map[*delivery]struct{} // of those that have a place, who can go back
}

func newPlaces(size int) *places {
	return &places{size: size, owners: make(map[string]*share)}
}

// take takes a place for an owner and says whether there was one.
func (p *places) take(owner string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.taken == p.size && !p.makeRoom(owner) {
		return false
	}
	p.taken++
	p.shareOf(owner).taken++
	return true
}

func (p *places) give(owner string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.leave(owner)
}

// makeRoom takes a place from the owner who has most, if it is owner's turn.
func (p *places) makeRoom(owner string) bool {
	mine := 0
	if s := p.owners[owner]; s != nil {
		mine = s.taken
	}
	var most string
	for o, s := range p.owners {
		if most == "" || s.taken > p.owners[most].taken {
			most = o
		}
	}
	richest := p.owners[most]
	if richest.taken < 2*(mine+1) {
		return false
	}
	for d := range richest.parked {
		delete(richest.parked, d)
		if d.displace() {
			p.leave(most)
			return true
		}
	}
	return false
}

// park says of a job with a place that it waits, and can go back meanwhile.
func (p *places) park(owner string, d *delivery) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.shareOf(owner).parked[d] = struct{}{}
}

func (p *places) unpark(owner string, d *delivery) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s := p.owners[owner]; s != nil {
		delete(s.parked, d)
	}
}

func (p *places) shareOf(owner string) *share {
	s := p.owners[owner]
	if s == nil {
		s = &share{parked: make(map[*delivery]struct{})}
		p.owners[owner] = s
	}
	return s
}

func (p *places) leave(owner string) {
	p.taken--
	s := p.owners[owner]
	if s.taken--; s.taken == 0 {
		delete(p.owners, owner)
	}
}
