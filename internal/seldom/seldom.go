// Package seldom keeps log lines of one kind from following each other closely, and counts those that were not written.
package seldom

import (
	"sync"
	"time"
)

// interval is how long after a line of a kind the next one may be written.
const interval = time.Second

// Lines says which are due. The zero value is ready; it is safe for concurrent use. Kinds are few: it forgets none.
type Lines struct {
	mu    sync.Mutex
	kinds map[string]*kind
}

type kind struct {
	told  time.Time
	quiet int
}

// Due says whether a line of a kind is to be written, and how many were not since the last one.
func (l *Lines) Due(name string) (due bool, quiet int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	k := l.kinds[name]
	if k == nil {
		if l.kinds == nil {
			l.kinds = make(map[string]*kind)
		}
		l.kinds[name] = &kind{told: time.Now()}
		return true, 0
	}
	if now := time.Now(); now.Sub(k.told) >= interval {
		quiet = k.quiet
		*k = kind{told: now}
		return true, quiet
	}
	k.quiet++
	return false, 0
}
