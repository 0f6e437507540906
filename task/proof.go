package task

import (
	"crypto/ed25519"
	"time"
)

// Signed is a message whose signature is to be proved. For workers, waiters and handlers.
type Signed struct {
	Installation string
	Subject      string   // the one that was signed
	Signature    []string // the values of [HeaderSignature]
	Origin       []string // the values of [HeaderOrigin]
	Body         []byte
	Stored       time.Time     // when the server stored it
	Late         time.Duration // how long after the time in its signature that may be
}

// Proof is a signature that is good: what remains is whether its key may say what the
// message says.
type Proof struct {
	set          keyset
	installation string
	key          *trustedKey
	hash         string
	stored       time.Time
	late         time.Duration
	text         string
	origin       *origin // of a job that a worker published; nil if a producer did
}

// origin is the job that a message comes of, as its producer signed it.
type origin struct {
	signature
	by    *trustedKey
	owner string
}

// Prove checks the signature of a job, before anything of it is decoded. The error is a
// [*WireError] with the code "unsigned", "signature", "key" or "stale", or [ErrNoKeys].
func (k *Keys) Prove(m Signed) (*Proof, error) {
	p, err := k.prove(m)
	if err != nil {
		return nil, err
	}
	if p.text == "" {
		p.text = m.Signature[0] + " " + p.hash + " " + m.Subject
	} else if p.origin, err = p.proveOrigin(); err != nil {
		return nil, err
	}
	if p.Moved() { // what its producer signed may count without the worker, see Job
		return p, nil
	}
	if err := p.retired(); err != nil {
		return nil, err
	}
	return p, nil
}

// prove checks what a message of any kind must have. That its key was retired is left to
// whoever asks.
func (k *Keys) prove(m Signed) (*Proof, error) {
	set, err := k.current()
	if err != nil {
		return nil, err
	}
	if len(m.Signature) == 0 {
		return nil, refuse("unsigned", "the message is not signed")
	}
	if len(m.Signature) > 1 || len(m.Origin) > 1 {
		return nil, refuse("signature", "a header of the signature comes twice")
	}
	s, err := parseSignature(HeaderSignature, m.Signature[0], 3, maxSignature)
	if err != nil {
		return nil, err
	}
	p := &Proof{set: set, installation: m.Installation, hash: hashOf(m.Body), stored: m.Stored, late: m.Stored.Sub(s.at)}
	if len(m.Origin) == 1 {
		p.text = m.Origin[0]
	}
	if p.key, err = set.prove(s, m.Installation, m.Subject, p.hash, p.text); err != nil {
		return nil, err
	}
	if p.late > m.Late || p.late < -MaxSkew {
		return nil, p.stale(m.Late)
	}
	return p, nil
}

// retired is an error if the message was stored after its key was retired: by the server's
// time, for who has the key can sign for any.
func (p *Proof) retired() error {
	if retired := p.key.Retired; !retired.IsZero() && p.stored.After(retired.Add(MaxSkew)) {
		return p.key.wasRetired()
	}
	return nil
}

func (k *Key) wasRetired() error {
	return refuse("key", "key %s was retired on %s", k.label(), k.Retired.Format(time.RFC3339))
}

func (p *Proof) proveOrigin() (*origin, error) {
	s, err := parseSignature(HeaderOrigin, p.text, 5, maxOrigin)
	if err != nil {
		return nil, err
	}
	o := &origin{signature: s}
	if o.by, err = p.set.prove(s, p.installation, s.subject, s.hash, ""); err != nil {
		return nil, err
	}
	if retired := o.by.Retired; !retired.IsZero() && o.at.After(retired) {
		return nil, o.by.wasRetired()
	}
	if o.owner = ownerOf(o.subject); o.owner == "" {
		return nil, refuse("signature", "header %s: the subject is none of a job", HeaderOrigin)
	}
	return o, nil
}

func (set keyset) prove(s signature, installation, subject, hash, origin string) (*trustedKey, error) {
	k := set[s.key]
	if k == nil {
		return nil, refuse("key", "key %s is not trusted", Quote(s.key))
	}
	if !ed25519.Verify(k.key, statement(installation, subject, s.micros, hash, origin), s.sig) {
		return nil, refuse("signature", "the signature by key %s is not good for this message at this place", k.label())
	}
	return k, nil
}

// stale refuses what was signed long before or after it was stored.
func (p *Proof) stale(most time.Duration) error {
	if p.late < 0 {
		return refuse("stale", "it is signed for a time that lies %s after it was stored (at most %s)", (-p.late).Round(time.Second), MaxSkew)
	}
	return refuse("stale", "it was stored %s after the time it is signed for (at most %s)", p.late.Round(time.Second), most)
}

// Origin returns the value of [HeaderOrigin] for what follows from the job.
func (p *Proof) Origin() string { return p.text }

// Moved says whether a worker put the job where it is, as its producer signed it.
func (p *Proof) Moved() bool { return p.origin != nil && p.origin.hash == p.hash }

// Job says whether the signer may queue e: a producer's key for its users, a worker's key
// for the user of the job that e comes of, into its own queues. A job whose success is kept
// for a short time must have been stored sooner after it was signed: its outcome is what
// tells a replay. The error is a [*WireError] with the code "user", "queue", "stale" or
// "key".
func (p *Proof) Job(e *Envelope) error {
	if e.Keep > 0 && e.NotBefore.IsZero() && !p.Moved() && p.late > e.Keep/2 {
		return p.stale(e.Keep / 2)
	}
	if err := p.retired(); err != nil && !p.producersWordDoes(e) {
		return err
	}
	return p.place(e.Queue, e.User)
}

// producersWordDoes says whether the job may have come here by a worker whose key was
// retired meanwhile: the producer's own signature is good for it, and it was stored while
// its outcome, if it has one, is still there to tell a replay.
func (p *Proof) producersWordDoes(e *Envelope) bool {
	if !p.Moved() {
		return false
	}
	due, most := e.NotBefore, MaxLate
	if due.IsZero() { // it was tried before, and put off
		due = p.origin.at
		if e.Keep > 0 {
			most = e.Keep / 2
		}
	}
	late := p.stored.Sub(due)
	return late <= most && late >= -MaxSkew
}

// mustBeOf says whether a worker's key may speak for u, by the job that its message comes
// of.
func (o *origin) mustBeOf(u User, worker *trustedKey) error {
	if u.Owner() != o.owner {
		return refuse("user", "key %s queues for %s what comes of a job of somebody else", worker.label(), Quote(u.String()))
	}
	return o.by.mustSpeakFor(u)
}

// reaches says whether what follows from jobs of a worker's key may go into a queue.
func (k *Key) reaches(queue string) bool { return holds(k.Works, queue) || holds(k.Into, queue) }

// mayQueueInto says so of a producer's key.
func (k *Key) mayQueueInto(queue string) bool {
	return len(k.Queues) == 0 || holds(k.Queues, queue)
}

func (k *Key) mustSpeakFor(u User) error {
	if !k.speaksFor(u) {
		return refuse("user", "key %s may not speak for %s", k.label(), Quote(u.String()))
	}
	return nil
}

// OriginOf returns the value of [HeaderOrigin] for what follows from a job, without
// proving anything: for a worker that signs and takes NATS's word.
func OriginOf(sig, origin []string, subject string, body []byte) string {
	switch {
	case len(origin) == 1 && len(origin[0]) <= maxOrigin:
		return origin[0]
	case len(sig) == 1 && len(sig[0]) <= maxSignature:
		return sig[0] + " " + hashOf(body) + " " + subject
	}
	return ""
}
