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
	key    *trustedKey
	origin *trustedKey // who signed the job that the message comes of; nil if key did
	owner  string      // of that job
	moved  bool
	late   time.Duration
	text   string
}

// Prove checks the signature of a message, before anything of it is decoded. The error is
// a [*WireError] with the code "unsigned", "signature", "key" or "stale", or [ErrNoKeys].
func (k *Keys) Prove(m Signed) (*Proof, error) {
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
	hash, text := hashOf(m.Body), ""
	if len(m.Origin) == 1 {
		text = m.Origin[0]
	}
	p := &Proof{late: m.Stored.Sub(s.at)}
	if p.key, err = set.prove(s, m.Installation, m.Subject, hash, text); err != nil {
		return nil, err
	}
	if p.late > m.Late || p.late < -MaxSkew {
		return nil, p.stale(m.Late)
	}
	// By the server's time: who has the key can sign for any.
	if retired := p.key.Retired; !retired.IsZero() && m.Stored.After(retired.Add(MaxSkew)) {
		return nil, refuse("key", "key %s was retired on %s", p.key.label(), retired.Format(time.RFC3339))
	}
	if text == "" {
		p.text = m.Signature[0] + " " + hash + " " + m.Subject
		return p, nil
	}
	o, err := parseSignature(HeaderOrigin, text, 5, maxOrigin)
	if err != nil {
		return nil, err
	}
	if p.origin, err = set.prove(o, m.Installation, o.subject, o.hash, ""); err != nil {
		return nil, err
	}
	if retired := p.origin.Retired; !retired.IsZero() && o.at.After(retired) {
		return nil, refuse("key", "key %s was retired on %s", p.origin.label(), retired.Format(time.RFC3339))
	}
	if p.owner = ownerOf(o.subject); p.owner == "" {
		return nil, refuse("signature", "header %s: the subject is none of a job", HeaderOrigin)
	}
	p.text, p.moved = text, o.hash == hash
	return p, nil
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
func (p *Proof) Moved() bool { return p.moved }

// Job says whether the signer may queue e: a producer's key for its users, a worker's key
// for the user of the job that e comes of, into its own queues. A job whose success is kept
// for a short time must have been stored sooner after it was signed: its outcome is what
// tells a replay. The error is a [*WireError] with the code "user", "queue" or "stale".
func (p *Proof) Job(e *Envelope) error {
	if e.Keep > 0 && e.NotBefore.IsZero() && !p.moved && p.late > e.Keep/2 {
		return p.stale(e.Keep / 2)
	}
	if p.origin == nil {
		if !p.key.mayQueueInto(e.Queue) {
			return refuse("queue", "key %s may not queue into queue %s", p.key.label(), Quote(e.Queue))
		}
		return p.key.mustSpeakFor(e.User)
	}
	if !holds(p.key.Works, e.Queue) && !holds(p.key.Into, e.Queue) {
		return refuse("queue", "key %s may not queue into queue %s", p.key.label(), Quote(e.Queue))
	}
	if e.User.Owner() != p.owner {
		return refuse("user", "key %s queues for %s what comes of a job of somebody else", p.key.label(), Quote(e.User.String()))
	}
	return p.origin.mustSpeakFor(e.User)
}

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
