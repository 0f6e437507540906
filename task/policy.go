package task

import (
	"fmt"
	"time"
)

// Policy says how often a failed attempt is tried again, and when. Without one an
// ordinary error is final, as in the original; interruptions (a worker that died)
// are not attempts and count apart.
type Policy struct {
	// Attempts is how often the task runs at most, the first attempt included,
	// 1 to 10,000. 0 means 5.
	Attempts int
	// Delay is the pause before the second attempt. It doubles with each further
	// one, up to MaxDelay, with up to a fifth more or less at random. 0 means at once.
	Delay time.Duration
	// MaxDelay bounds the pause. 0 means an hour, or Delay if that is longer.
	MaxDelay time.Duration
	// Aside lets other jobs of the lane run during the pause. Without it a job keeps
	// its place, and a lane of size 1 waits for it.
	Aside bool
}

// Defaults of a [Policy].
const (
	DefaultAttempts = 5
	DefaultMaxDelay = time.Hour
	maxAttempts     = 10_000
)

// WithDefaults returns p with its zero values replaced. For workers.
func (p Policy) WithDefaults() Policy {
	if p.Attempts == 0 {
		p.Attempts = DefaultAttempts
	}
	if p.MaxDelay == 0 {
		p.MaxDelay = max(DefaultMaxDelay, p.Delay)
	}
	return p
}

// Pause is how long to wait after attempt n, counted from 1, before the next one.
// random is in [0, 1). For workers.
func (p Policy) Pause(n int, random float64) time.Duration {
	p = p.WithDefaults()
	d := p.Delay
	for ; n > 1 && 0 < d && d < p.MaxDelay; n-- {
		d *= 2
	}
	d = min(d, p.MaxDelay)
	return min(time.Duration(float64(d)*(0.8+0.4*random)), p.MaxDelay)
}

func (p Policy) check() error {
	switch {
	case p.Attempts < 0 || p.Attempts > maxAttempts:
		return fmt.Errorf("retry attempts %d: it must be 1 to %d, or 0 for %d", p.Attempts, maxAttempts, DefaultAttempts)
	case p.Delay < 0 || p.Delay > MaxDuration:
		return fmt.Errorf("retry delay %v: it must be 0 to %v", p.Delay, MaxDuration)
	case p.MaxDelay < 0 || p.MaxDelay > MaxDuration:
		return fmt.Errorf("retry max delay %v: it must be 0 to %v, 0 for %v", p.MaxDelay, MaxDuration, DefaultMaxDelay)
	case p.MaxDelay > 0 && p.MaxDelay < p.Delay:
		return fmt.Errorf("retry max delay %v: it must not be less than the delay %v", p.MaxDelay, p.Delay)
	}
	return nil
}
