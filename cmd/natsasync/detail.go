package main

import (
	"context"
	"encoding/json"
	"time"

	"github.com/natsasync/natsasync/internal/stream"
	"github.com/natsasync/natsasync/producer"
	"github.com/natsasync/natsasync/task"
)

// detail is all that is known of a job.
type detail struct {
	statusView
	Text       string          `json:"text,omitempty"`
	Outcome    *outcomeView    `json:"outcome,omitempty"`
	Input      json.RawMessage `json:"input,omitempty"`
	Options    *optionsView    `json:"options,omitempty"`
	Members    []innerView     `json:"members,omitempty"`
	Callbacks  []innerView     `json:"callbacks,omitempty"`
	QueuedJobs []string        `json:"queued_jobs,omitempty"`
	Claims     []claimView     `json:"claims,omitempty"`
	Unknown    time.Time       `json:"unknown_since,omitzero"`
	Paused     time.Time       `json:"paused_until,omitzero"`

	outcome *task.Outcome
	status  task.Status
}

// optionsView is what the call asks for beside its queue and quota.
type optionsView struct {
	StartWithin string     `json:"start_within,omitempty"`
	Timeout     string     `json:"timeout,omitempty"`
	Keep        string     `json:"keep,omitempty"`
	Retry       *retryView `json:"retry,omitempty"`
}

// innerView is a member or a callback.
type innerView struct {
	ID      string    `json:"id"`
	Task    string    `json:"task,omitempty"`
	Object  string    `json:"object,omitempty"`
	Runs    string    `json:"runs,omitempty"`
	End     string    `json:"end,omitempty"`
	Error   string    `json:"error,omitempty"`
	Attempt int       `json:"attempt,omitempty"`
	Unknown time.Time `json:"unknown_since,omitzero"`
}

// lookup collects a detail.
type lookup struct {
	b      *stream.Broker
	client *producer.Client
	bound  bool // to the jobs of one user
	detail *detail
}

func (l *lookup) whole(ctx context.Context, id string) error {
	st, err := l.client.Status(ctx, id)
	if err != nil {
		return err
	}
	l.detail = &detail{status: st, statusView: viewStatus(st), outcome: st.Outcome}
	d := l.detail
	owner := st.User.Owner()
	standing, err := l.b.Standing(ctx, st.Queue, owner, id)
	if err != nil {
		return err
	}
	d.Unknown = unknownSince(standing)
	e, err := l.envelope(ctx, standing.Record, id)
	if err != nil {
		return err
	}
	if st.Outcome != nil {
		view := viewOutcome(*st.Outcome)
		d.Outcome = &view
	}
	if e != nil {
		l.call(e)
		if st.State == task.StatePending && !l.bound {
			d.Paused = l.paused(ctx, st.Queue, e.Lane)
		}
	}
	if err := l.members(ctx, standing.Record, e); err != nil {
		return err
	}
	if err := l.callbacks(ctx, standing.Record, e); err != nil {
		return err
	}
	if err := l.notes(ctx, owner, id); err != nil {
		return err
	}
	return l.claims(ctx, owner, id)
}

// paused is until when a lane hands out nothing, zero if it does.
func (l *lookup) paused(ctx context.Context, queue, lane string) time.Time {
	found, err := l.b.JetStream().Consumer(ctx, l.b.Jobs(), stream.Consumer(queue, lane))
	if err != nil {
		return time.Time{}
	}
	info := found.CachedInfo()
	if !info.Paused || info.Config.PauseUntil == nil {
		return time.Time{}
	}
	return info.Config.PauseUntil.UTC()
}

// envelope is where the job lies, or what its outcome keeps; nil if there is none any more.
func (l *lookup) envelope(ctx context.Context, r *task.Record, id string) (*task.Envelope, error) {
	if r != nil && len(r.Envelope) > 0 {
		if e, err := task.DecodeEnvelope(r.Envelope); err == nil {
			return e, nil
		}
	}
	queue, owner := l.detail.status.Queue, l.detail.status.User.Owner()
	for _, at := range [...]struct{ stream, subject string }{
		{l.b.Jobs(), l.b.Job(queue, "*", owner, id)},
		{l.b.Later(), l.b.LaterJob(queue, owner, id)},
		{l.b.Later(), l.b.DueJob(queue, owner, id)},
	} {
		m, err := l.b.Last(ctx, at.stream, at.subject)
		if err != nil {
			return nil, err
		}
		if m == nil {
			continue
		}
		if e, err := task.DecodeEnvelope(m.Data); err == nil {
			return e, nil
		}
	}
	return nil, nil
}

func (l *lookup) call(e *task.Envelope) {
	v := viewEnvelope(e, 0)
	l.detail.Input = v.Input
	options := optionsView{v.StartWithin, v.Timeout, v.Keep, v.Retry}
	if options != (optionsView{}) {
		l.detail.Options = &options
	}
}

func (l *lookup) members(ctx context.Context, r *task.Record, e *task.Envelope) error {
	var inner []innerView
	if e != nil {
		inner = fromEnvelopes(e.Members)
	} else if r != nil {
		inner = fromIDs(r.Members)
	}
	var err error
	l.detail.Members, err = l.ends(ctx, inner)
	return err
}

func (l *lookup) callbacks(ctx context.Context, r *task.Record, e *task.Envelope) error {
	var inner []innerView
	switch {
	case e != nil:
		inner = fromEnvelopes(e.Callbacks)
	case r != nil && r.Callbacks:
		after, err := l.b.Standing(ctx, r.Queue, r.User.Owner(), task.CallbacksID(r.ID))
		if err != nil {
			return err
		}
		if after.Record != nil {
			inner = fromIDs(after.Record.Members)
			break
		}
		waiting, err := l.envelope(ctx, nil, task.CallbacksID(r.ID))
		if err != nil {
			return err
		}
		if waiting != nil {
			inner = fromEnvelopes(waiting.Members)
		}
	}
	var err error
	l.detail.Callbacks, err = l.ends(ctx, inner)
	if r != nil {
		for _, body := range r.Queues {
			if queued, err := task.DecodeEnvelope(body); err == nil {
				l.detail.QueuedJobs = append(l.detail.QueuedJobs, queued.ID)
			}
		}
	}
	return err
}

func fromEnvelopes(bodies [][]byte) []innerView {
	var views []innerView
	for _, body := range bodies {
		if e, err := task.DecodeEnvelope(body); err == nil {
			views = append(views, innerView{ID: e.ID, Task: e.Task, Object: e.Object.String(), Runs: runsName(e.When)})
		}
	}
	return views
}

func fromIDs(ids []string) []innerView {
	views := make([]innerView, len(ids))
	for i, id := range ids {
		views[i].ID = id
	}
	return views
}

// unknownSince is when a worker that does not know the task first left it; zero if it is not left now.
func unknownSince(s stream.Standing) time.Time {
	if s.Claim == nil || s.Claim.State != task.ClaimUnknown {
		return time.Time{}
	}
	return s.Claim.Seen.UTC()
}

// ends fills in how members or callbacks ended, or that they are left because no worker knows their task.
func (l *lookup) ends(ctx context.Context, inner []innerView) ([]innerView, error) {
	owner := l.detail.status.User.Owner()
	fences := make([]string, len(inner))
	for i, v := range inner {
		fences[i] = l.b.Fence(l.detail.status.Queue, owner, v.ID)
	}
	records, err := l.b.LastEach(ctx, l.b.Outcomes(), fences)
	if err != nil {
		return nil, err
	}
	standings := make(map[string]stream.Standing, len(records))
	for _, m := range records {
		s := l.b.ReadStanding(m)
		standings[s.ID] = s
	}
	for i := range inner {
		v := &inner[i]
		s := standings[v.ID]
		v.Unknown = unknownSince(s)
		r := s.Record
		if r == nil {
			continue
		}
		v.Task, v.Object, v.End, v.Error, v.Attempt = r.Task, r.Object.String(), string(r.End), summary(r.Outcome), r.Attempt
	}
	return inner, nil
}

// notes reads what the status leaves out: the text of the progress.
func (l *lookup) notes(ctx context.Context, owner, id string) error {
	n, err := l.b.ReadNotes(ctx, l.detail.status.Queue, owner, id)
	if err != nil || n == nil {
		return err
	}
	l.detail.Text = n.Text
	l.detail.Progress, l.detail.Notes = n.Progress, viewNotes(n.Values)
	return nil
}

// claims is the history of attempts, as far as it is kept and this login may read it.
func (l *lookup) claims(ctx context.Context, owner, id string) error {
	filter := l.b.Names.Outcome(l.detail.status.Queue, stream.KindClaimed, owner, id)
	all := l.b.Range(ctx, l.b.Outcomes(), filter, 0)
	if l.bound {
		all = func(yield func(*stream.Message, error) bool) {
			if m, err := l.b.Last(ctx, l.b.Outcomes(), filter); m != nil || err != nil {
				yield(m, err)
			}
		}
	}
	for m, err := range all {
		if err != nil {
			return err
		}
		c := l.b.ReadStanding(m).Claim
		if c == nil {
			continue
		}
		view, err := viewClaim(c)
		if err != nil {
			return err
		}
		view.At = m.Time.UTC().Truncate(time.Millisecond)
		l.detail.Claims = append(l.detail.Claims, view)
	}
	return nil
}
