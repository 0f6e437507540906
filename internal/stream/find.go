package stream

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
)

// LastJob returns the last message of a job in the stream Jobs that counts, or if none does the last one and what speaks
// against it. Whoever may publish may have put others beside it, in lanes that nobody has made too. queue and owner may
// be "*".
func (b *Broker) LastJob(ctx context.Context, queue, owner, id string) (m *Message, wrong, err error) {
	last, err := b.Last(ctx, b.Jobs(), b.Job(queue, "*", owner, id))
	hidden := errors.Is(err, errUnreadable) // nor does it say where it lies
	if last != nil {
		wrong = b.Counts(last)
	}
	if err != nil && !hidden || !hidden && wrong == nil || queue == "*" || owner == "*" {
		return last, wrong, err
	}
	all, err := b.InLanes(ctx, queue, owner, id)
	if len(all) == 0 {
		return last, wrong, err
	}
	return slices.MaxFunc(all, func(x, y *Message) int { return cmp.Compare(x.Seq, y.Seq) }), nil, nil
}

// laneNames are the lanes of every queue, by the token of their subjects.
var laneNames = []string{QuotaDefault, LaneFree, LaneLater, LaneCallbacks}

// InLanes returns the messages of a job that count, of which each lane of its queue has at most one. A login that may not
// look at the stream knows no quotas but the default.
func (b *Broker) InLanes(ctx context.Context, queue, owner, id string) ([]*Message, error) {
	lanes := laneNames
	if !b.bound(b.Jobs()) {
		info, err := b.info(ctx, b.Jobs(), "")
		if err != nil {
			return nil, b.missing(b.Jobs(), err)
		}
		lanes = slices.Concat(lanes, quotasIn(info.Config.Metadata, queue))
	}
	var all []*Message
	for _, lane := range lanes {
		m, err := b.Last(ctx, b.Jobs(), b.Job(queue, lane, owner, id))
		if errors.Is(err, errUnreadable) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if m != nil && b.Counts(m) == nil {
			all = append(all, m)
		}
	}
	return all, nil
}

// Counts says what speaks against the message of a job: nil if workers would run it, as far as a look at it can tell. A
// schedule is judged as what the server will make of it.
func (b *Broker) Counts(m *Message) error {
	at, ok := b.parsePlace(m.Subject)
	if !ok {
		return fmt.Errorf("subject %s is that of no job", quote(m.Subject))
	}
	if until, scheduled := ScheduledFor(m); scheduled {
		due := *m
		due.Subject = b.DueJob(at.Queue, at.Owner, at.ID)
		if until.After(m.Time) {
			due.Time = until
		}
		m = &due
	}
	return b.vouch(m, at)
}

// parsePlace takes apart a subject on which the message of a job may lie.
func (n Names) parsePlace(subject string) (Subject, bool) {
	if at, ok := n.ParseJob(subject); ok {
		return at, true
	}
	return n.ParseLater(subject)
}
