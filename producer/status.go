package producer

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/natsasync/natsasync/internal/stream"
	"github.com/natsasync/natsasync/task"
)

// Status says where a job stands, by its ID alone. Members and callbacks have IDs too.
// Errors are [ErrNoSuchJob], [ErrAmbiguous] and what kept us from asking.
func (c *Client) Status(ctx context.Context, id string) (task.Status, error) {
	return Find[task.Raw](c, id).Status(ctx)
}

func (h *handle) status(ctx context.Context) (task.Status, error) {
	err := h.live()
	if errors.Is(err, ErrStaged) {
		return stagedStatus(h.id, h.stage.read()), nil
	}
	if err != nil {
		return task.Status{}, err
	}
	ctx, cancel := withDeadline(ctx)
	defer cancel()
	at, _, err := h.home(ctx)
	if err != nil {
		return task.Status{}, err
	}
	return h.client.statusOf(ctx, at.Queue, at.Owner, h.id)
}

func stagedStatus(id string, e *task.Envelope) task.Status {
	st := statusFrom(id, e)
	st.State = task.StatePending
	if !e.NotBefore.IsZero() {
		st.State = task.StateScheduled
	}
	return st
}

// statusFrom is what an envelope says about its job.
func statusFrom(id string, e *task.Envelope) task.Status {
	st := task.Status{
		ID: id, Parent: e.Parent, Task: e.Task, Queue: e.Queue, Object: e.Object, User: e.User,
		Queued: e.Issued, NotBefore: e.NotBefore,
	}
	switch e.Lane {
	case stream.LaneFree, stream.LaneCallbacks:
	default:
		st.Quota = e.Lane
	}
	return st
}

// statusOf derives a status. Each round reads the outcome first and then the places of
// the message in the order in which it moves; what is missed by two rounds is not there.
func (c *Client) statusOf(ctx context.Context, queue, owner, id string) (task.Status, error) {
	for range 2 {
		s, err := c.broker.Standing(ctx, queue, owner, id)
		if err != nil {
			return task.Status{}, tell("", err)
		}
		if s.Record != nil {
			return c.endedStatus(ctx, s)
		}
		p, err := c.locate(ctx, queue, owner, id)
		if err != nil {
			return task.Status{}, err
		}
		if p != nil {
			return c.placedStatus(ctx, p)
		}
	}
	if !task.Whole(id) {
		return c.innerStatus(ctx, queue, owner, id)
	}
	return task.Status{}, noSuchJob(id)
}

// endedStatus is that of a job with an outcome.
func (c *Client) endedStatus(ctx context.Context, s stream.Standing) (task.Status, error) {
	if err := c.broker.Fill(ctx, s.Subject, s.Record); err != nil {
		return task.Status{}, tell("", err)
	}
	r := s.Record
	st := task.Status{
		ID: r.ID, Parent: r.Parent, Task: r.Task, Queue: r.Queue, Object: r.Object, User: r.User,
		State: task.StateCompleted, Outcome: &r.Outcome, Attempt: r.Attempt, Worker: r.Worker,
		Queued: r.Queued, Started: r.Started, Ended: r.Ended,
	}
	if r.Callbacks {
		after, err := c.broker.Standing(ctx, s.Queue, s.Owner, task.CallbacksID(s.ID))
		if err != nil {
			return task.Status{}, tell("", err)
		}
		if after.Record == nil {
			st.State = task.StateCallbacks
		}
	}
	return st, c.addNotes(ctx, &st)
}

// placedStatus is that of a job whose message was found.
func (c *Client) placedStatus(ctx context.Context, p *place) (task.Status, error) {
	waits, err := c.waiting(ctx, p)
	if err != nil {
		return task.Status{}, err
	}
	s, err := c.broker.Standing(ctx, p.Queue, p.Owner, p.ID)
	if err != nil {
		return task.Status{}, tell("", err)
	}
	if s.Record != nil {
		return c.endedStatus(ctx, s)
	}
	st := derive(p, s.Claim, waits)
	if s.Claim == nil && waits {
		return st, nil
	}
	return st, c.addNotes(ctx, &st)
}

// derive says where a job without an outcome stands.
func derive(p *place, claim *task.Claim, waits bool) task.Status {
	st := task.Status{ID: p.ID, Queue: p.Queue}
	if p.envelope != nil {
		st = statusFrom(p.ID, p.envelope)
	}
	st.Queued = p.message.Time
	if p.later && p.envelope != nil {
		st.Queued = p.envelope.Issued
	}
	switch {
	case p.later && !p.due:
		st.State = task.StateScheduled
	case waits || p.later:
		st.State = task.StatePending
	default:
		st.State, st.Attempt = task.StateActive, 1
	}
	if claim == nil {
		return st
	}
	st.Worker, st.Started, st.Attempt = claim.Worker, claim.Started, claim.Attempts
	switch claim.State {
	case task.ClaimRetrying:
		st.State, st.NotBefore = task.StateRetrying, claim.NotBefore
	case task.ClaimReturned:
		st.State, st.Worker = task.StatePending, ""
	case task.ClaimUnknown: // a worker looked at it, and none has started it
		st.State, st.Worker, st.Started = task.StatePending, "", time.Time{}
	default:
		st.State, st.Attempt = task.StateActive, claim.Attempts+1
	}
	return st
}

func (c *Client) addNotes(ctx context.Context, st *task.Status) error {
	notes, err := c.broker.ReadNotes(ctx, st.Queue, st.User.Owner(), st.ID)
	if err != nil {
		return tell("read the notes of job "+task.Quote(st.ID), err)
	}
	if notes != nil {
		st.Progress, st.Notes = notes.Progress, notes.Values
	}
	return nil
}

// innerStatus is that of a member or a callback that has neither message nor outcome:
// it is pending while the job that it belongs to is there.
func (c *Client) innerStatus(ctx context.Context, queue, owner, id string) (task.Status, error) {
	for outer := id; !task.Whole(outer); {
		outer = outer[:strings.LastIndexByte(outer, '.')]
		p, err := c.locate(ctx, queue, owner, outer)
		if err != nil {
			return task.Status{}, err
		}
		if p != nil {
			return pendingWithin(p, id)
		}
		s, err := c.broker.Standing(ctx, queue, owner, outer)
		if err != nil {
			return task.Status{}, tell("", err)
		}
		if r := s.Record; r != nil && r.Callbacks && strings.HasPrefix(id+".", task.CallbacksID(outer)+".") {
			return task.Status{ID: id, Parent: outer, Queue: r.Queue, User: r.User, Queued: r.Queued, State: task.StatePending}, nil
		}
	}
	return task.Status{}, noSuchJob(id)
}

// pendingWithin finds a call inside the envelope of the job that it belongs to.
func pendingWithin(p *place, id string) (task.Status, error) {
	e := p.envelope
	if e == nil {
		return task.Status{}, noSuchJob(id)
	}
	for e.ID != id {
		if id == task.CallbacksID(e.ID) && len(e.Callbacks) > 0 {
			return task.Status{
				ID: id, Parent: e.ID, Task: task.CallbackBatch, Queue: e.Queue, Object: e.Object, User: e.User,
				Queued: p.message.Time, State: task.StatePending,
			}, nil
		}
		if e = towards(e, id); e == nil {
			return task.Status{}, noSuchJob(id)
		}
	}
	st := statusFrom(id, e)
	st.State, st.Queued = task.StatePending, p.message.Time
	return st, nil
}

// towards returns the member or callback of e that is id or holds it.
func towards(e *task.Envelope, id string) *task.Envelope {
	for _, all := range [...][][]byte{e.Members, e.Callbacks} {
		for _, body := range all {
			inner, err := task.DecodeEnvelope(body)
			if err == nil && strings.HasPrefix(id+".", inner.ID+".") {
				return inner
			}
		}
	}
	return nil
}
