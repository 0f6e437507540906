package stream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/natsasync/natsasync/task"
)

// Standing is the last record of a job: its outcome, a claim, or neither.
type Standing struct {
	Subject
	Seq    uint64 // 0 if there is none: what a fence expects
	Time   time.Time
	Record *task.Record
	Claim  *task.Claim
	// Signed says that the job was: the proof of the envelope in its record lies beside that.
	Signed bool
	// Wrong is why the record counts for nothing although it is there.
	Wrong error
}

// ReadStanding reads a record; nil gives the zero Standing. One that cannot be read or
// proved counts for nothing and is written over at its sequence.
func (b *Broker) ReadStanding(m *Message) Standing {
	s := b.readStanding(m)
	if s.Wrong == nil && s.Seq > 0 {
		if s.Wrong = b.prove(m, &s); s.Wrong != nil {
			s.Record, s.Claim = nil, nil
		}
	}
	return s
}

func (n Names) readStanding(m *Message) Standing {
	if m == nil {
		return Standing{}
	}
	s := Standing{Seq: m.Seq, Time: m.Time, Signed: len(m.Header[task.HeaderOrigin]) > 0}
	subject, ok := n.ParseOutcome(m.Subject)
	if !ok {
		s.Wrong = fmt.Errorf("subject %s is none of a record", quote(m.Subject))
		return s
	}
	s.Subject = subject
	if subject.Kind == KindClaimed {
		s.Claim, s.Wrong = task.DecodeClaim(m.Data)
		return s
	}
	s.Record, s.Wrong = task.DecodeRecord(m.Data)
	if r := s.Record; s.Wrong == nil && (r.ID != subject.ID || r.Queue != subject.Queue || string(r.End) != subject.Kind || r.User.Owner() != subject.Owner) {
		s.Record, s.Wrong = nil, fmt.Errorf("the record does not agree with its subject %s", quote(m.Subject))
	}
	return s
}

// Standing reads what stands of a job through the stream's leader: what decides must be
// read so. That is its last record, unless that one counts for nothing, or is a
// cancellation by somebody who may have written it without looking. queue and owner may
// be "*".
func (b *Broker) Standing(ctx context.Context, queue, owner, id string) (Standing, error) {
	m, err := b.Last(ctx, b.Outcomes(), b.Fence(queue, owner, id))
	hidden := errors.Is(err, errUnreadable) // from a login that may not ask the leader
	if err != nil && !hidden {
		return Standing{}, fmt.Errorf("read the last record of job %s: %w", quote(id), err)
	}
	s := b.ReadStanding(m)
	if hidden {
		s.Wrong = err
	}
	switch {
	case errors.Is(s.Wrong, task.ErrNoKeys):
		return Standing{}, s.Wrong
	case s.Wrong == nil && (s.Record == nil || s.Record.End != task.Cancelled):
		return s, nil
	}
	if s, err = b.first(ctx, s, queue, owner, id); err != nil {
		return Standing{}, fmt.Errorf("read the records of job %s: %w", quote(id), err)
	}
	return s, nil
}

// ReadOutcome reads the outcome of a job through the leader and, if it is a batch, fills in
// those of its members. nil means that there is none yet.
func (b *Broker) ReadOutcome(ctx context.Context, queue, owner, id string) (*task.Record, error) {
	s, err := b.Standing(ctx, queue, owner, id)
	if err != nil || s.Record == nil {
		return nil, err
	}
	return s.Record, b.Fill(ctx, s.Subject, s.Record)
}

// ReadNotes reads the progress and the notes of a job, nil if there are none that count: the last that do, since workers
// of all queues may write there.
func (b *Broker) ReadNotes(ctx context.Context, queue, owner, id string) (*task.Notes, error) {
	subject := b.Note(owner, id)
	last, err := b.Last(ctx, b.Outcomes(), subject)
	if err != nil || last == nil {
		return nil, err
	}
	notes, err := b.notesIn(last, queue)
	if err == nil || errors.Is(err, task.ErrNoKeys) || b.bound(b.Outcomes()) {
		return notes, nil
	}
	for seq := uint64(1); ; {
		m, err := b.next(ctx, subject, seq)
		if err != nil || m == nil || m.Seq >= last.Seq {
			return notes, err
		}
		if counts, err := b.notesIn(m, queue); err == nil {
			notes = counts
		}
		seq = m.Seq + 1
	}
}

func (b *Broker) notesIn(m *Message, queue string) (*task.Notes, error) {
	if err := b.proveNotes(m, queue); err != nil {
		return nil, err
	}
	return task.DecodeNotes(m.Data)
}

// Fill makes the value of a batch's record: the outcomes of its members, in order, as
// they are recorded under their own IDs. Other records stay as they are.
func (b *Broker) Fill(ctx context.Context, at Subject, r *task.Record) error {
	return b.fill(ctx, at, r, map[string]bool{r.ID: true}, 0)
}

// fill follows no record twice and none that is nested too deep: whoever may record can
// have one list another that lists it.
func (b *Broker) fill(ctx context.Context, at Subject, r *task.Record, seen map[string]bool, depth int) error {
	if r.Mode == task.Single || r.End != task.Succeeded || r.Value != nil {
		return nil
	}
	members := make([]task.Outcome, len(r.Members))
	for i, id := range r.Members {
		without := func(why error) {
			members[i] = task.Outcome{ID: id, Parent: r.ID, Queue: r.Queue, User: r.User, End: task.Failed, Failure: task.FailureOf(why)}
		}
		if seen[id] || depth == task.MaxDepth {
			without(fmt.Errorf("%w: the outcome of %s is nested in itself, or deeper than %d (read it by its ID)", task.ErrTooLarge, id, task.MaxDepth))
			continue
		}
		seen[id] = true
		s, err := b.Standing(ctx, at.Queue, at.Owner, id)
		if err != nil {
			return err
		}
		if s.Record == nil {
			without(fmt.Errorf("the outcome of %s has aged out: %w", id, task.ErrNoSuchJob))
			continue
		}
		if err := b.fill(ctx, s.Subject, s.Record, seen, depth+1); err != nil {
			return err
		}
		members[i] = s.Record.Outcome
	}
	value, err := task.Marshal(members)
	if err != nil {
		return fmt.Errorf("encode the members of %s: %w", r.ID, err)
	}
	r.Value = value
	return nil
}

// Look reads the last records of jobs, one direct read for all, and hands them to done
// in no particular order; jobs without one are left out, and one may come twice, with
// its claim and its outcome. It is a replica's view: what decides is read again through
// the leader. fences are at most 500 strings of [Names.Fence]. done runs on the
// goroutine that receives answers.
func (b *Broker) Look(fences []string, done func([]*Message, error)) {
	msg := &nats.Msg{Subject: b.prefix + "DIRECT.GET." + b.Outcomes()}
	if len(fences) == 1 {
		msg.Subject += "." + fences[0]
	} else {
		body, err := json.Marshal(map[string]any{"multi_last": fences, "batch": 2 * len(fences)})
		if err != nil {
			done(nil, err)
			return
		}
		msg.Data = body
	}
	var found []*Message
	b.calls.send(msg, RequestTimeout, func(answer *nats.Msg, err error) bool {
		if err != nil {
			done(nil, err)
			return false
		}
		if isEnd(answer) {
			if pending := last(answer.Header, headerPending); pending != "" && pending != "0" {
				err = errTooMany
			}
			done(found, err)
			return false
		}
		m, err := storedMessage(answer)
		if errors.Is(err, errNone) {
			done(nil, nil)
			return false
		}
		if err != nil {
			done(nil, err)
			return false
		}
		found = append(found, m)
		if len(fences) == 1 {
			done(found, nil)
			return false
		}
		return true
	})
}

// APIPrefix is what the subjects of the JetStream API begin with, the last dot included.
func (b *Broker) APIPrefix() string { return b.prefix }

// Fenced is a record as it is published, under its job's fence and signed.
func (b *Broker) Fenced(subject, fence string, seq uint64, data []byte) *nats.Msg {
	m := Fenced(subject, fence, seq, data)
	b.Sign(m, "")
	return m
}

// JobHeader is what people with the plain nats tool see of a job; nobody decides by it.
func JobHeader(e *task.Envelope) nats.Header {
	values := [3]string{e.Task, string(e.Object)}
	h := make(nats.Header, len(values))
	h[HeaderTask] = values[0:1:1]
	if e.Object != "" {
		h[HeaderObject] = values[1:2:2]
	}
	if !e.User.Anonymous() {
		values[2] = e.User.String()
		h[HeaderUser] = values[2:3:3]
	}
	return h
}
