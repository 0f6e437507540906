package consumer

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/natsasync/natsasync/internal/stream"
	"github.com/natsasync/natsasync/task"
)

// errLeaseLost is the cause of a handler's context when the worker can no longer know
// that the job is its own. Nothing is recorded, acked or renewed after that.
var errLeaseLost = errors.New("consumer: the lease on the job is lost: it may run elsewhere")

// lease is how long a job is this worker's. The delivery's mutex guards it.
type lease struct {
	confirmed time.Time // until when the worker knew that it had the job
	next      time.Time // when to renew
	renewing  bool
	lost      error
	gone      context.Context // ends when the lease is lost; made when first asked for
	lose      context.CancelFunc
}

// lost returns a context that ends when the lease is lost.
func (d *delivery) lost() context.Context {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.lease.gone == nil {
		d.lease.gone, d.lease.lose = context.WithCancel(context.Background())
		if d.lease.lost != nil {
			d.lease.lose()
		}
	}
	return d.lease.gone
}

// isLost returns why the lease is lost, nil while it is not.
func (d *delivery) isLost() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.lease.lost
}

func (d *delivery) lose(why error) {
	d.mu.Lock()
	first := d.lease.lost == nil && !d.recorded.Load()
	if first {
		d.lease.lost = why
		if d.lease.lose != nil {
			d.lease.lose()
		}
	}
	d.mu.Unlock()
	if first {
		d.w.log.Warn("reassigned", "id", d.at.ID, "queue", d.at.Queue, "err", why)
		d.end(why)
	}
}

// renewLeases renews what is being handled until ctx ends: at a third of the lease, so
// that a job which is shorter costs nothing.
func (w *Worker) renewLeases(ctx context.Context) {
	var renewing sync.WaitGroup
	defer renewing.Wait()
	tick := time.NewTicker(min(w.broker.Lease()/12, time.Second))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			w.hands.rest(64)
			w.watchStuck(time.Now())
		case <-w.renewNow:
		}
		for _, d := range w.due(time.Now()) {
			renewing.Go(d.renew)
		}
	}
}

func (w *Worker) due(now time.Time) []*delivery {
	w.mu.Lock()
	defer w.mu.Unlock()
	var due []*delivery
	for _, d := range w.jobs {
		d.mu.Lock()
		if d.lease.next.IsZero() {
			d.lease.next = d.lease.confirmed.Add(w.broker.Lease() / 3)
		}
		if !d.lease.renewing && d.lease.lost == nil && now.After(d.lease.next) {
			d.lease.renewing = true
			due = append(due, d)
		}
		d.mu.Unlock()
	}
	return due
}

// renew asks the server to extend the lease and reads whether the job is still this
// worker's: the server extends the lease for anybody, so its answer alone proves
// nothing.
func (d *delivery) renew() {
	asked := time.Now()
	whole := d.w.broker.Lease()
	timeout := min(3*time.Second, whole/4)
	d.mu.Lock()
	reply := d.msg.Reply
	d.mu.Unlock()
	_, err := d.w.broker.Conn().Request(reply, []byte("+WPI"), timeout)
	if err != nil {
		err = fmt.Errorf("renew: %w", err)
	} else {
		ctx, cancel := context.WithTimeout(d.w.books, timeout)
		err = d.checkOwn(ctx)
		cancel()
	}
	d.mu.Lock()
	d.lease.renewing = false
	if err == nil {
		d.lease.confirmed = asked
		d.lease.next = asked.Add(whole / 3)
	} else {
		d.lease.next = time.Now().Add(min(whole/12, time.Second))
	}
	silent := time.Since(d.lease.confirmed)
	d.mu.Unlock()
	switch {
	case err == nil:
	case errors.Is(err, errReassigned):
		d.lose(fmt.Errorf("%w: %w", errLeaseLost, err))
	case silent > whole*2/3:
		d.lose(fmt.Errorf("%w: not confirmed for %v: %w", errLeaseLost, silent.Round(time.Millisecond), err))
	}
}

// errReassigned means that another worker's record stands.
var errReassigned = errors.New("another worker's record stands")

// checkOwn reads the job's last record and says whether it is another's. A recorded
// cancellation ends the handler's context.
func (d *delivery) checkOwn(ctx context.Context) error {
	if d.recorded.Load() || d.astray {
		return nil
	}
	b := d.w.broker
	last, err := b.Last(ctx, b.Outcomes(), d.fence)
	if err != nil {
		return err
	}
	if last == nil || d.knows(last) {
		return nil
	}
	s, err := b.Standing(ctx, d.at.Queue, d.at.Owner, d.at.ID)
	if err != nil {
		return err
	}
	switch {
	case s.Record != nil && s.Record.End == task.Cancelled:
		d.end(task.ErrCancelled)
	case s.Record != nil && s.Record.Worker != d.w.cfg.Name:
		return fmt.Errorf("%w: %s by %s", errReassigned, s.Record.End, s.Record.Worker)
	case s.Claim != nil && s.Seq > d.fenceSeq() && !d.mine(s.Claim):
		return fmt.Errorf("%w: a claim by %s", errReassigned, s.Claim.Worker)
	}
	return nil
}

// knows says whether a record is the claim that the fence expects. That needs no proof, so a
// job goes on while the keys cannot be read.
func (d *delivery) knows(m *stream.Message) bool {
	at, ok := d.w.broker.ParseOutcome(m.Subject)
	return ok && at.Kind == stream.KindClaimed && m.Seq == d.fenceSeq()
}

// mine says whether c was written under this delivery.
func (d *delivery) mine(c *task.Claim) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return c.Worker == d.w.cfg.Name && c.Delivery == d.number
}

// reread has a job looked at now instead of at its next renewal.
func (w *Worker) reread(at stream.Subject) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, d := range w.jobs {
		if d.at.ID == at.ID && d.at.Queue == at.Queue && d.at.Owner == at.Owner {
			d.mu.Lock()
			d.lease.next = time.Now().Add(-time.Second)
			d.mu.Unlock()
			select {
			case w.renewNow <- struct{}{}:
			default:
			}
		}
	}
}
