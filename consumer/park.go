package consumer

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/natsasync/natsasync/internal/stream"
	"github.com/natsasync/natsasync/task"
)

const (
	parkRead  = 30 * time.Second
	parkClaim = 24 * time.Hour // claims age out with the outcomes, after days
)

// waiting is what a job waits for.
type waiting struct {
	ids       []string
	under     string // if set, ids are "under.1", "under.2" …
	member    string // who waits, if it continues
	continued []byte
	queues    [][]byte
	// queue publishes what is waited for and is missing, if that is this job's to do.
	queue func(ctx context.Context, missing map[string]bool) error
}

// park waits for other jobs' outcomes, holding the lane but no slot. The claim comes
// before what is waited for is queued: it says that the function need not run again.
func (d *delivery) park(on waiting) (map[string]*task.Record, *stop) {
	ended, err := d.outcomesFor(on.ids)
	if err != nil {
		return nil, d.stopPutBack("read the outcomes that it waits for", err)
	}
	missing := make(map[string]bool, len(on.ids))
	for _, id := range on.ids {
		if ended[id] == nil {
			missing[id] = true
		}
	}
	if len(missing) == 0 {
		return ended, nil
	}
	if err := d.claimParked(on); err != nil {
		return nil, d.stopOf(err)
	}
	d.releaseSlot()
	w, err := d.listen(on)
	if err != nil {
		return nil, d.stopPutBack("listen for the outcomes that it waits for", err)
	}
	defer w.stop()
	if on.queue != nil {
		ctx, done := d.bookkeeping()
		err := on.queue(ctx, missing)
		done()
		if err != nil {
			return nil, d.stopPutBack("queue what it waits for", err)
		}
	}
	return ended, d.await(on, w, ended, missing)
}

func (d *delivery) claimParked(on waiting) error {
	c := d.amend()
	c.State, c.Parked = task.ClaimParked, on.ids
	if on.continued != nil {
		c.Member, c.Continued, c.Queues = on.member, on.continued, on.queues
	}
	return d.writeClaim(c)
}

// await reads outcomes as they are announced, and those that are missing at the start,
// after each reconnect and every 30 s: an announcement may be lost and proves nothing.
func (d *delivery) await(on waiting, w *wakes, ended map[string]*task.Record, missing map[string]bool) *stop {
	nc := d.w.broker.Conn()
	status := nc.StatusChanged(nats.CONNECTED)
	defer nc.RemoveStatusListener(status)
	again, claim := time.NewTicker(parkRead), time.NewTicker(parkClaim)
	defer again.Stop()
	defer claim.Stop()
	defer d.parkInPlace()()
	look := on.ids
	for {
		for _, id := range look {
			if !missing[id] {
				continue
			}
			rec, err := d.outcomeOf(id)
			if err != nil {
				d.w.log.Debug("read an outcome that is waited for", "id", id, "err", err)
				continue
			}
			if rec != nil {
				ended[id] = rec
				delete(missing, id)
			}
		}
		if len(missing) == 0 {
			return nil
		}
		select {
		case <-w.c:
			look = w.take()
		case <-again.C:
			if err := d.provedStill(); err != nil {
				return &stop{func(d *delivery) { d.reject(task.WireCode(err), err) }}
			}
			look = on.ids
		case <-status:
			look = on.ids
		case <-claim.C:
			look = nil
			if err := d.claimParked(on); err != nil {
				return d.stopOf(err)
			}
		case <-d.ctx.Done():
			return d.parkedStop()
		case <-d.displaced:
			d.w.log.Debug("a parked job goes back to make room for another user's", "id", d.at.ID, "queue", d.at.Queue)
			return stopBack
		case <-d.w.taking.Done():
			return stopBack
		}
	}
}

// provedStill is an error once the key of who queued the job is gone: then what it waits for
// is put aside as well, and never ends.
func (d *delivery) provedStill() error {
	if d.proof == nil {
		return nil
	}
	_, err := d.w.broker.ProveJob(&stream.Message{Subject: d.subject, Time: d.stored, Header: d.header, Data: d.data})
	if errors.Is(err, task.ErrNoKeys) {
		return nil
	}
	return err
}

func (d *delivery) parkedStop() *stop {
	switch cause := context.Cause(d.ctx); {
	case d.isLost() != nil:
		return stopLost
	case errors.Is(cause, task.ErrCancelled):
		return stopCancelled
	}
	return stopBack
}

// wakes collects the IDs whose outcomes were announced.
type wakes struct {
	c    chan struct{}
	subs []*nats.Subscription

	mu  sync.Mutex
	ids []string
}

func (w *wakes) add(id string) {
	w.mu.Lock()
	w.ids = append(w.ids, id)
	w.mu.Unlock()
	select {
	case w.c <- struct{}{}:
	default:
	}
}

func (w *wakes) take() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	ids := w.ids
	w.ids = nil
	return ids
}

func (w *wakes) stop() {
	for _, s := range w.subs {
		_ = s.Unsubscribe()
	}
}

func (d *delivery) listen(on waiting) (*wakes, error) {
	nc := d.w.broker.Conn()
	w := &wakes{c: make(chan struct{}, 1)}
	subjects := on.ids
	if on.under != "" {
		subjects = []string{on.under + ".*"}
	}
	for _, s := range subjects {
		sub, err := nc.Subscribe(d.w.broker.Record(d.at.Queue, "*", d.at.Owner, s), func(m *nats.Msg) {
			if at, ok := d.w.broker.ParseOutcome(m.Subject); ok && at.Kind != stream.KindClaimed {
				w.add(at.ID)
			}
		})
		if err != nil {
			w.stop()
			return nil, fmt.Errorf("listen for outcomes: %w", err)
		}
		w.subs = append(w.subs, sub)
	}
	if err := nc.FlushTimeout(3 * time.Second); err != nil && nc.IsConnected() {
		w.stop()
		return nil, fmt.Errorf("listen for outcomes: %w", err)
	}
	return w, nil
}

func (d *delivery) outcomeOf(id string) (*task.Record, error) {
	ctx, cancel := context.WithTimeout(d.ctx, 5*time.Second)
	defer cancel()
	s, err := d.w.broker.Standing(ctx, d.at.Queue, d.at.Owner, id)
	return s.Record, err
}

// outcomesFor reads what a replica knows; what it does not know is read again through
// the leader before it is waited for.
func (d *delivery) outcomesFor(ids []string) (map[string]*task.Record, error) {
	fences := make([]string, len(ids))
	for i, id := range ids {
		fences[i] = d.w.broker.Fence(d.at.Queue, d.at.Owner, id)
	}
	ctx, done := d.bookkeeping()
	defer done()
	found, err := d.w.broker.LastEach(ctx, d.w.broker.Outcomes(), fences)
	if err != nil {
		return nil, err
	}
	ended := make(map[string]*task.Record, len(found))
	for _, m := range found {
		if s := d.w.broker.ReadStanding(m); s.Record != nil && s.Record.End != task.Cancelled {
			ended[s.ID] = s.Record
		}
	}
	return ended, nil
}
