package task

import "strings"

// ProveRecord is [Keys.Prove] for a record, a claim or notes. What is wrong with the origin
// beside a record speaks against the envelope in it alone.
func (k *Keys) ProveRecord(m Signed) (*Proof, error) {
	p, err := k.prove(m)
	if err != nil {
		return nil, err
	}
	if err := p.retired(); err != nil {
		return nil, err
	}
	return p, nil
}

// Record says whether the signer may record r: a worker's key in its queues, and a
// producer's key may cancel for its users, in the queues that it is narrowed to. The
// queue in r must have been compared with that of its subject. The error is a
// [*WireError].
func (p *Proof) Record(r *Record) error {
	switch {
	case holds(p.key.Works, r.Queue):
		return nil
	case r.End != Cancelled || !p.key.speaks():
		return refuse("queue", "key %s may not record outcomes in queue %s", p.key.label(), Quote(r.Queue))
	case !p.key.mayQueueInto(r.Queue):
		return refuse("queue", "key %s may not cancel in queue %s", p.key.label(), Quote(r.Queue))
	}
	return p.key.mustSpeakFor(r.User)
}

// Works says whether the signer may record what it likes of jobs of a queue. The error is
// a [*WireError].
func (p *Proof) Works(queue string) error {
	if !holds(p.key.Works, queue) {
		return refuse("queue", "key %s may not work queue %s", p.key.label(), Quote(queue))
	}
	return nil
}

// Worker says whether the signer works any queue. The error is a [*WireError].
func (p *Proof) Worker() error {
	if len(p.key.Works) == 0 {
		return refuse("queue", "key %s works no queue", p.key.label())
	}
	return nil
}

// Follows says whether e, in the signer's record or claim, may be queued: for the owner
// of that record, in a queue that the key works or may queue into. Who reads the record
// queues e under a key of its own and must not lend that. The error is a [*WireError].
func (p *Proof) Follows(owner string, e *Envelope) error {
	if !p.key.reaches(e.Queue) {
		return refuse("queue", "key %s may not queue into queue %s", p.key.label(), Quote(e.Queue))
	}
	if e.User.Owner() != owner {
		return refuse("user", "key %s queues for %s in a job of somebody else", p.key.label(), Quote(e.User.String()))
	}
	return nil
}

// Envelope says whether the envelope in the signer's record of a failed job is that job:
// as its producer signed it, or, of a job that a worker made, for the user of the job that
// it comes of. Whoever queues it again does so under a key of their own. The error is a
// [*WireError].
func (p *Proof) Envelope(r *Record) error {
	e, err := DecodeEnvelope(r.Envelope)
	if err != nil {
		return err
	}
	if !r.keeps(e) {
		return refuse("subject", "the envelope in the outcome of %s is that of another job", Quote(r.ID))
	}
	if p.text == "" {
		return refuse("unsigned", "the envelope in the outcome of %s has no header %s beside it", Quote(r.ID), HeaderOrigin)
	}
	o, err := p.proveOrigin()
	if err != nil {
		return err
	}
	if o.hash == hashOf(r.Envelope) && o.isPlaceOf(e) && o.by.mayQueueInto(e.Queue) {
		return o.by.mustSpeakFor(e.User)
	}
	if err := p.Works(e.Queue); err != nil {
		return err
	}
	return o.mustBeOf(e.User, p.key)
}

// keeps says whether e is the envelope of the record's job, as far as the two say the same.
func (r *Record) keeps(e *Envelope) bool {
	return e.ID == r.ID && e.Queue == r.Queue && e.Task == r.Task && e.Object == r.Object && e.User == r.User
}

// isPlaceOf says whether the producer signed the job for where it belongs.
func (o *origin) isPlaceOf(e *Envelope) bool {
	tokens := strings.SplitN(o.subject, ".", 6) // it is that of a job, or it was refused
	lane := tokens[3]
	return tokens[2] == e.Queue && (lane == e.Lane || lane == LaneLater) && tokens[4] == e.User.Owner() && tokens[5] == e.ID
}
