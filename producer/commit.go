package producer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/natsasync/natsasync/internal/stream"
	"github.com/natsasync/natsasync/task"
)

// Commit queues what is staged, all or nothing. With [ErrUnknown] it may have been
// queued: committing again sends the same bytes and is safe as long as the jobs or
// their outcomes are there. After a success it does nothing and returns nil. After
// every other error nothing was queued, and the Tx can be committed again or aborted.
func (tx *Tx) Commit(ctx context.Context) error {
	tx.sending.Lock()
	defer tx.sending.Unlock()
	all, state, err := tx.take(tx.client.broker.SureNow(ctx))
	switch {
	case err != nil:
		return err
	case state == txCommitted:
		return nil
	case state == txAborted:
		return fmt.Errorf("producer: tx: %w (begin another)", ErrAborted)
	}
	ctx, cancel := withDeadline(ctx)
	defer cancel()
	if state == txOpen {
		err = tx.client.admit(ctx, all...)
	}
	if err == nil {
		err = tx.client.commit(ctx, all)
	}
	switch {
	case err == nil:
		tx.become(txCommitted)
	case errors.Is(err, ErrUnknown):
		tx.become(txSent)
	case state == txOpen:
		tx.become(txOpen)
	}
	return err
}

// take closes the Tx for further calls and returns what is staged and the state before.
// What goes out for the first time is issued now: workers refuse what is issued long
// before it is stored, and delays count from here.
func (tx *Tx) take(now time.Time) ([]*task.Envelope, txState, error) {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	state := tx.state
	all := make([]*task.Envelope, len(tx.staged))
	for i, s := range tx.staged {
		if state == txOpen {
			s.by.Now = now
			e, err := s.spec.Seal(s.by)
			if err != nil {
				return nil, state, tell("", err)
			}
			s.envelope = e
		}
		all[i] = s.envelope
	}
	if state == txOpen {
		tx.state = txSending
	}
	return all, state, nil
}

func (tx *Tx) become(state txState) {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	tx.state = state
}

func (c *Client) commit(ctx context.Context, all []*task.Envelope) error {
	if len(all) == 0 {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("producer: tx: nothing was sent: %w", context.Cause(ctx))
	}
	if len(all) == 1 {
		return c.publish(ctx, all[0], all[0].Encode())
	}
	return c.publishAll(ctx, all)
}

// publishAll sends one atomic batch, signed anew each time, until an answer says what
// became of it.
func (c *Client) publishAll(ctx context.Context, all []*task.Envelope) error {
	msgs := make([]*nats.Msg, len(all))
	for timeout := stream.RequestTimeout; ; timeout = stream.Longer(timeout) {
		for i, e := range all {
			msgs[i] = c.message(e, e.User.Owner())
		}
		_, err := c.broker.PublishBatch(ctx, msgs, timeout)
		if err == nil {
			return nil
		}
		switch {
		case errors.Is(err, stream.ErrExists):
			if err = c.checkCommitted(ctx, all); !errors.Is(err, errProposed) {
				return err
			}
		case errors.Is(err, stream.ErrFull):
			return fmt.Errorf("producer: tx: %w: %w", ErrQueueFull, err)
		case errors.Is(err, nats.ErrMaxPayload), errors.Is(err, nats.ErrPermissionViolation), errors.Is(err, nats.ErrConnectionClosed):
			return tell("tx", err)
		}
		if missing := c.checkDeclared(ctx, queuesOf(all)...); missing != nil {
			return missing
		}
		if _, answered := errors.AsType[*jetstream.APIError](err); answered && !errors.Is(err, stream.ErrNoAnswer) {
			return tell("tx", err)
		}
		if ctx.Err() != nil || pause(ctx) != nil {
			return fmt.Errorf("producer: tx of %d jobs: %w (commit it again): %w", len(all), ErrUnknown, err)
		}
	}
}

// queuesOf returns the queues of a batch. When one is not there the server answers only
// that the batch has a gap.
func queuesOf(all []*task.Envelope) []string {
	var queues []string
	for _, e := range all {
		if !slices.Contains(queues, e.Queue) {
			queues = append(queues, e.Queue)
		}
	}
	return queues
}

// errProposed means that the leader of a cluster refuses a batch because it has proposed
// the same one before, which may come to nothing.
var errProposed = errors.New("the batch is under way")

// checkCommitted tells a batch that is stored already from one that holds an ID that
// somebody else has queued: of the former every job, or its outcome, is there. It looks
// twice, as the batch may be stored between two reads.
func (c *Client) checkCommitted(ctx context.Context, all []*task.Envelope) error {
	var there string
	for range 2 {
		missing := false
		there = ""
		for i := len(all) - 1; i >= 0 && (there == "" || !missing); i-- {
			_, err := c.statusOf(ctx, all[i].Queue, all[i].User.Owner(), all[i].ID)
			switch {
			case err == nil:
				there = all[i].ID
			case errors.Is(err, ErrNoSuchJob):
				missing = true
			default:
				return fmt.Errorf("producer: tx of %d jobs: %w (commit it again): %w", len(all), ErrUnknown, err)
			}
		}
		switch {
		case !missing:
			return nil
		case there == "":
			return errProposed
		}
	}
	return fmt.Errorf("producer: id %s: a job of that ID is queued already; nothing of the Tx was (leave its call out, or WithID)", task.Quote(there))
}
