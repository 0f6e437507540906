package producer

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/natsasync/natsasync/internal/stream"
	"github.com/natsasync/natsasync/task"
)

// Cancel ends a job as cancelled, by its ID alone; see [Job.Cancel]. A member of a
// serial batch and a callback that has not started cannot be cancelled by themselves.
// Errors are [ErrNoSuchJob], [ErrAmbiguous], [ErrCompleted], and what kept us from asking.
func (c *Client) Cancel(ctx context.Context, id string) error {
	return Find[task.Raw](c, id).Cancel(ctx)
}

func (h *handle) cancel(ctx context.Context) error {
	if err := h.live(); err != nil {
		return err
	}
	ctx, cancel := withDeadline(ctx)
	defer cancel()
	at, _, err := h.home(ctx)
	if err != nil {
		return err
	}
	return h.client.cancelJob(ctx, at.Queue, at.Owner, h.id)
}

// cancelJob writes the outcome and tries again while another record came in between.
func (c *Client) cancelJob(ctx context.Context, queue, owner, id string) error {
	for missed := 0; ; {
		s, err := c.broker.Standing(ctx, queue, owner, id)
		if err != nil {
			return tell("cancel", err)
		}
		if s.Record != nil && s.Record.End != task.Cancelled {
			return fmt.Errorf("producer: job %s: %w: its outcome is %s", task.Quote(id), ErrCompleted, s.Record.End)
		}
		p, err := c.locate(ctx, queue, owner, id)
		switch {
		case err != nil:
			return err
		case s.Record != nil:
			c.sweep(ctx, p, s.Record.Started.IsZero())
			return nil
		case p == nil && missed == 1:
			return c.cannotCancel(ctx, queue, owner, id)
		case p == nil:
			missed++
			continue
		}
		err = c.recordCancelled(ctx, p, s)
		switch {
		case err == nil:
			c.sweep(ctx, p, !started(s.Claim))
			return nil
		case !again(err):
			return err
		}
		if err := pause(ctx); err != nil {
			return fmt.Errorf("producer: cancel job %s: %w", task.Quote(id), err)
		}
	}
}

// again says whether a fenced write is to be tried anew from what stands now.
func again(err error) bool {
	return errors.Is(err, stream.ErrFenced) || errors.Is(err, stream.ErrUndecided)
}

// pause lets a cluster decide.
func pause(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(5*time.Millisecond + rand.N(20*time.Millisecond)):
		return nil
	}
}

// cannotCancel says why there is nothing to cancel.
func (c *Client) cannotCancel(ctx context.Context, queue, owner, id string) error {
	if task.Whole(id) {
		return noSuchJob(id)
	}
	if _, err := c.innerStatus(ctx, queue, owner, id); err != nil {
		return err
	}
	return fmt.Errorf("producer: job %s: it runs inside job %s and cannot be cancelled by itself (cancel that one)", task.Quote(id), task.Quote(task.RootID(id)))
}

// recordCancelled writes the outcome over what stands, so that it and the job's own
// outcome cannot both be recorded.
func (c *Client) recordCancelled(ctx context.Context, p *place, s stream.Standing) error {
	e := p.envelope
	if e == nil {
		return fmt.Errorf("producer: job %s: its message cannot be read or is not that of its subject: it cannot be cancelled (a worker will reject it)", task.Quote(p.ID))
	}
	if p.signed() && !c.broker.Signs() {
		return fmt.Errorf("producer: job %s: it is signed, and workers that trust keys believe no cancellation that is not (set Signer, or --sign)", task.Quote(p.ID))
	}
	r := &task.Record{Mode: e.Mode, Outcome: task.Outcome{
		ID: p.ID, Parent: e.Parent, Task: e.Task, Queue: e.Queue, Object: e.Object, User: e.User,
		End: task.Cancelled, Queued: p.message.Time, Ended: c.broker.Now(),
	}}
	if s.Claim != nil {
		r.Attempt, r.Started = s.Claim.Attempts, s.Claim.Started
	}
	msg := c.broker.Fenced(
		c.broker.Names.Outcome(p.Queue, stream.KindCancelled, p.Owner, p.ID),
		c.broker.Fence(p.Queue, p.Owner, p.ID), s.Seq, r.Encode(),
	)
	// What nobody believes ends nothing, and the job's message is removed after it.
	own := &stream.Message{Subject: msg.Subject, Seq: 1, Time: c.broker.Now(), Header: msg.Header, Data: msg.Data}
	if wrong := c.broker.ReadStanding(own).Wrong; wrong != nil {
		return fmt.Errorf("producer: cancel job %s: %w (cancel with a Config.Signer whose key may)", task.Quote(p.ID), wrong)
	}
	_, err := c.broker.Publish(ctx, msg)
	if errors.Is(err, stream.ErrNoAnswer) {
		return fmt.Errorf("producer: cancel job %s: no answer in time: it may be cancelled or not (cancel it again): %w", task.Quote(p.ID), err)
	}
	if err != nil {
		return tell("cancel job "+task.Quote(p.ID), err)
	}
	return nil
}

func started(claim *task.Claim) bool { return claim != nil && !claim.Started.IsZero() }

// sweep removes the message of a cancelled job, unless a worker may have it or has begun
// it: then it stays for a worker's look, which ends what the job has begun. What is
// left over does no harm either: whoever gets it sees the outcome, and workers remove
// a schedule before that has aged out. A signed job whose cancellation this client
// cannot prove stays for who can.
func (c *Client) sweep(ctx context.Context, p *place, unstarted bool) {
	if p == nil || !unstarted && p.stream == c.broker.Jobs() || c.bound() || p.signed() && task.KeysOf(c.cfg.Trust) == nil {
		return
	}
	waits, err := c.waiting(ctx, p)
	if err == nil && waits {
		err = c.broker.Delete(ctx, p.stream, p.message.Seq)
	}
	if p.later && p.stream == c.broker.Jobs() {
		err = errors.Join(err, c.sweepLater(ctx, p))
	}
	if err != nil {
		c.log.DebugContext(ctx, "the message of a cancelled job is left to a worker", "id", p.ID, "queue", p.Queue, "err", err)
	}
}

// sweepLater removes the schedule of a job that a worker has put off since it was seen;
// a worker that does so later looks again by itself.
func (c *Client) sweepLater(ctx context.Context, p *place) error {
	m, err := c.broker.Last(ctx, c.broker.Later(), c.broker.LaterJob(p.Queue, p.Owner, p.ID))
	if err != nil || m == nil {
		return err
	}
	return c.broker.Delete(ctx, c.broker.Later(), m.Seq)
}
