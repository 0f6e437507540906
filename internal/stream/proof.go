package stream

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/natsasync/natsasync/task"
)

// Signs says whether this Broker signs what it publishes.
func (b *Broker) Signs() bool { return b.signer != nil }

// Sign signs a message that is about to be sent: it is good for [task.MaxSkew], so what is sent again for longer than
// that must be signed again. origin is that of the job that it comes of, "" for a producer's own. Without a signer it
// does nothing.
func (b *Broker) Sign(m *nats.Msg, origin string) { b.sign(m, m.Subject, origin, time.Time{}) }

func (b *Broker) sign(m *nats.Msg, subject, origin string, at time.Time) {
	if b.signer == nil {
		return
	}
	// What is signed for a time long ago is not believed, and a machine that slept is behind.
	if now := b.SureNow(context.Background()); now.After(at) {
		at = now
	}
	if m.Header == nil {
		m.Header = make(nats.Header, 2)
	}
	values := [2]string{b.signer.Sign(b.installation, subject, origin, m.Data, at), origin}
	m.Header[task.HeaderSignature] = values[0:1:1]
	if origin != "" {
		m.Header[task.HeaderOrigin] = values[1:2:2]
	}
}

// ProveJob checks the signature of a job's message, before anything of it is decoded. The proof is nil if this Broker
// takes NATS's word.
func (b *Broker) ProveJob(m *Message) (*task.Proof, error) {
	if b.keys == nil {
		return nil, nil
	}
	return b.keys.Prove(b.signed(m, task.MaxLate))
}

func (b *Broker) signed(m *Message, late time.Duration) task.Signed {
	return task.Signed{
		Late:         late,
		Installation: b.installation, Subject: m.Subject, Body: m.Data, Stored: m.Time,
		Signature: m.Header[task.HeaderSignature], Origin: m.Header[task.HeaderOrigin],
	}
}

// prove says what speaks against a record, and takes out of it what its signer may not ask for: whoever reads it
// queues what follows from it under a key of their own.
func (b *Broker) prove(m *Message, s *Standing) error {
	if b.keys == nil {
		return nil
	}
	p, err := b.keys.ProveRecord(b.signed(m, task.MaxSkew))
	if err != nil {
		return err
	}
	if r := s.Record; r != nil {
		if err := p.Record(r); err != nil {
			return err
		}
		r.Queues = b.following(p, s, r.Queues)
		b.keepProved(p, r)
		return nil
	}
	if err := p.Works(s.Queue); err != nil {
		return err
	}
	s.Claim.Queues = b.following(p, s, s.Claim.Queues)
	return s.continues()
}

// following are the jobs among bodies that the signer of a record may have queued.
func (b *Broker) following(p *task.Proof, s *Standing, bodies [][]byte) [][]byte {
	var all [][]byte
	for _, body := range bodies {
		e, err := task.DecodeEnvelope(body)
		if err == nil {
			err = p.Follows(s.Owner, e)
		}
		if err == nil {
			all = append(all, body)
			continue
		}
		if b.told.first(s.Seq) {
			b.logger.Warn("a record asks for more than its signer may: that part counts for nothing", "id", s.ID, "queue", s.Queue, "err", err)
		}
	}
	return all
}

// keepProved drops the envelope in a record that is not provably the job's: who tries the job again signs it.
func (b *Broker) keepProved(p *task.Proof, r *task.Record) {
	if len(r.Envelope) == 0 {
		return
	}
	if err := p.Envelope(r); err != nil {
		b.logger.Debug("the envelope in an outcome counts for nothing", "id", r.ID, "err", err)
		r.Envelope = nil
	}
}

// told are the records of which the log has told: they are read many times.
type told struct {
	mu   sync.Mutex
	seqs map[uint64]struct{}
}

func (t *told) first(seq uint64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, is := t.seqs[seq]; is {
		return false
	}
	if t.seqs == nil || len(t.seqs) == 1000 {
		t.seqs = make(map[uint64]struct{})
	}
	t.seqs[seq] = struct{}{}
	return true
}

// continues is an error if a claim names a job that is none of its user and queue: who reads it queues that job, and
// cancels it. One that cannot be read is neither.
func (s *Standing) continues() error {
	e, err := task.DecodeEnvelope(s.Claim.Continued)
	if len(s.Claim.Continued) == 0 || err != nil || e.Queue == s.Queue && e.User.Owner() == s.Owner {
		return nil
	}
	return &task.WireError{Code: "subject", Message: fmt.Sprintf("the job that the claim goes on as is not of its queue %s and its user", quote(s.Queue))}
}

func (b *Broker) proveNotes(m *Message, queue string) error {
	if b.keys == nil {
		return nil
	}
	p, err := b.keys.ProveRecord(b.signed(m, task.MaxSkew))
	if err != nil {
		return err
	}
	return p.Works(queue)
}

// first finds the record that counts among all of a job, if the last one does not, or does not by itself: of several
// the first outcome that is valid stands, and a claim counts only while there is none. The sequence stays that of the
// last: a fence expects it.
func (b *Broker) first(ctx context.Context, last Standing, queue, owner, id string) (Standing, error) {
	if b.bound(b.Outcomes()) {
		return b.firstOfKinds(ctx, last, queue, owner, id)
	}
	filter := b.Fence(queue, owner, id)
	stands := Standing{Subject: last.Subject, Seq: last.Seq, Time: last.Time, Wrong: last.Wrong}
	for seq := uint64(1); ; {
		m, err := b.next(ctx, filter, seq)
		if err != nil {
			return Standing{}, err
		}
		if m == nil {
			return stands, nil
		}
		s := b.ReadStanding(m)
		switch {
		case errors.Is(s.Wrong, task.ErrNoKeys):
			return Standing{}, s.Wrong
		case s.Record != nil:
			s.Seq = last.Seq
			return s, nil
		case s.Claim != nil:
			stands.Subject, stands.Time, stands.Claim = s.Subject, s.Time, s.Claim
		}
		if m.Seq >= last.Seq {
			return stands, nil
		}
		seq = m.Seq + 1
	}
}

// firstOfKinds is first for a login that may read the last message of each subject alone.
func (b *Broker) firstOfKinds(ctx context.Context, last Standing, queue, owner, id string) (Standing, error) {
	stands := last
	if stands.Record != nil && stands.Record.End == task.Cancelled {
		stands.Record = nil
	}
	var found uint64
	for _, kind := range [...]string{KindSucceeded, KindFailed, KindCancelled} {
		m, err := b.LastDirect(ctx, b.Outcomes(), b.Outcome(queue, kind, owner, id))
		if errors.Is(err, errUnreadable) {
			continue
		}
		if err != nil {
			return Standing{}, err
		}
		if s := b.ReadStanding(m); s.Record != nil && (found == 0 || s.Seq < found) {
			found = s.Seq
			s.Seq = last.Seq
			stands = s
		}
	}
	return stands, nil
}

// next reads the first record at or after a sequence that a filter matches.
func (b *Broker) next(ctx context.Context, filter string, seq uint64) (*Message, error) {
	return b.leaderGet(ctx, b.Outcomes(), map[string]any{"next_by_subj": filter, "seq": seq})
}
