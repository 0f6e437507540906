package consumer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
)

// askRefused is how often a lane is asked that this login may not take from. Each time the
// server tells the connection so.
const askRefused = time.Minute

// unanswered has the lanes looked at if a pull may have been refused: the server answers
// that with a notice on the connection alone.
func (p *puller) unanswered(now time.Time) {
	if p.refused.Load() {
		p.notFor = now.Add(askRefused)
		return
	}
	if p.stream == p.w.broker.Jobs() && errors.Is(p.w.broker.Conn().LastError(), nats.ErrPermissionViolation) {
		p.silent.Store(true)
		p.w.nudge()
	}
}

// answered is called when a lane answers that was refused.
func (p *puller) answered() {
	p.refused.Store(false)
	p.w.log.Info("this login may take from the lane now", "queue", p.queue, "lane", p.lane)
}

// refusedLanes says once of each lane that this login may not take from it. The others go on.
func (w *Worker) refusedLanes(ctx context.Context) {
	w.mu.Lock()
	var silent []*puller
	for _, p := range w.lanes {
		if p.silent.Swap(false) {
			silent = append(silent, p)
		}
	}
	w.mu.Unlock()
	for _, p := range silent {
		once, cancel := context.WithTimeout(ctx, time.Second)
		if w.broker.Refused(once, p.queue, p.lane) {
			p.refused.Store(true)
			w.log.ErrorContext(ctx, "this login may not take from a lane: its jobs wait for another worker", "queue", p.queue, "lane", p.lane,
				"err", fmt.Errorf("%w (run natsasync auth setup again with --quota NAME=%s, or give the login the right to publish on %q)", nats.ErrPermissionViolation, p.lane, p.subject()))
		}
		cancel()
	}
}
