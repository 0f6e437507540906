package consumer

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// settled is a delivery in a place, as takePlace makes it.
func settled(p *places, owner string, parks bool) *delivery {
	d := &delivery{place: p, displaced: make(chan struct{})}
	if d.at.Owner = owner; parks {
		d.parkInPlace()
	}
	return d
}

func (d *delivery) hasPlace() bool {
	select {
	case <-d.displaced:
		return false
	default:
		return true
	}
}

// Two users come, park, wake up and go: never more places are out than there are, only
// those who wait are displaced, and one is refused only while all places are taken and the
// other has less than twice of what this one would have, or none who waits.
func TestPlacesAreSharedAmongOwners(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p := newPlaces(rapid.IntRange(1, 8).Draw(t, "size"))
		all := map[string][]*delivery{}
		waits := map[*delivery]bool{}
		owner := rapid.SampledFrom([]string{"alice", "bob"})
		// left removes those who were displaced.
		left := func() {
			for who := range all {
				all[who] = slices.DeleteFunc(all[who], func(d *delivery) bool {
					if !d.hasPlace() && !waits[d] {
						t.Fatalf("one of %s was displaced and does not wait", who)
					}
					return !d.hasPlace()
				})
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"come": func(t *rapid.T) {
				who := owner.Draw(t, "owner")
				other := map[string]string{"alice": "bob", "bob": "alice"}[who]
				if p.take(who) {
					left()
					d := settled(p, who, rapid.Bool().Draw(t, "waits"))
					_, waits[d] = p.owners[who].parked[d]
					all[who] = append(all[who], d)
					return
				}
				mine, theirs := len(all[who]), len(all[other])
				if mine+theirs < p.size {
					t.Fatalf("%s is refused with %d of %d places taken", who, mine+theirs, p.size)
				}
				if theirs >= 2*(mine+1) && slices.ContainsFunc(all[other], func(d *delivery) bool { return waits[d] }) {
					t.Fatalf("%s is refused with %d places, %s has %d", who, mine, other, theirs)
				}
			},
			"go": func(t *rapid.T) {
				who := owner.Draw(t, "owner")
				if len(all[who]) == 0 {
					t.Skip("nobody is there")
				}
				p.unpark(who, all[who][0])
				p.give(who)
				all[who] = all[who][1:]
			},
			"": func(t *rapid.T) {
				if n := len(all["alice"]) + len(all["bob"]); n != p.taken || n > p.size {
					t.Fatalf("%d places are taken, counted are %d of %d", n, p.taken, p.size)
				}
				for who, s := range p.owners {
					if s.taken != len(all[who]) || len(s.parked) > s.taken {
						t.Fatalf("%s has %d places, counted are %d with %d that wait", who, len(all[who]), s.taken, len(s.parked))
					}
				}
			},
		})
	})
}
