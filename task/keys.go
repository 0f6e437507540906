package task

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nkeys"
)

// Key says what the holder of a private key may do. A producer's key speaks for users; a
// worker's key works queues. One key may do both, and must do one.
type Key struct {
	// Public is the public nkey: what [Signer.Public] returns.
	Public string `json:"key"`
	// Name is for people and logs. Defaults to the first characters of Public.
	Name string `json:"name,omitempty"`

	// Users, Realms, Anonymous and Anyone say for whom a producer's key may queue and
	// cancel: single users, all users of a realm, the anonymous user, or everybody.
	Users     []User   `json:"users,omitempty"`
	Realms    []string `json:"realms,omitempty"`
	Anonymous bool     `json:"anonymous,omitempty"`
	Anyone    bool     `json:"anyone,omitempty"`
	// Queues are those in which a producer's key may queue and cancel. Defaults to all.
	Queues []string `json:"queues,omitempty"`

	// Works are the queues of a worker's key: it may record outcomes in them, and queue
	// what follows from jobs into them. ["*"] is all.
	Works []string `json:"works,omitempty"`
	// Into are further queues that the jobs of a worker's key may queue into.
	Into []string `json:"into,omitempty"`

	// Retired ends the key: what it signs later counts for nothing, what it signed before
	// stays good. It is for keys that are rolled over: one that was stolen must be removed,
	// for it can date jobs back beside a worker's key. Defaults to never.
	Retired time.Time `json:"retired,omitzero"`
}

// anyQueue in a list of queues is all of them.
const anyQueue = "*"

func (k *Key) check() error {
	if k.Public == "" {
		return errors.New(`key "": it must not be empty (make one with "natsasync auth key")`)
	}
	if strings.HasPrefix(k.Public, "S") {
		return errors.New("key: this is a private seed (put its public key here, which begins with another letter, and keep the seed to yourself)")
	}
	if !nkeys.IsValidPublicKey(k.Public) {
		return fmt.Errorf("key %s: this is no public nkey (make one with \"natsasync auth key\")", Quote(k.Public))
	}
	for _, u := range k.Users {
		if err := u.check(); err != nil {
			return fmt.Errorf("key %s: %w", k.label(), err)
		}
		if u.Anonymous() {
			return fmt.Errorf("key %s: users: the anonymous user has no ID (set anonymous)", k.label())
		}
	}
	if slices.Contains(k.Realms, "") {
		return fmt.Errorf(`key %s: realm "": it must not be empty (name single users without a realm)`, k.label())
	}
	for _, list := range [...][]string{k.Queues, k.Works, k.Into} {
		for _, q := range list {
			if q == anyQueue {
				continue
			}
			if err := CheckToken("queue", q); err != nil {
				return fmt.Errorf("key %s: %w", k.label(), err)
			}
		}
	}
	if len(k.Into) > 0 && len(k.Works) == 0 {
		return fmt.Errorf("key %s: into: only a worker's key has it (set works)", k.label())
	}
	if !k.speaks() && len(k.Works) == 0 {
		return fmt.Errorf("key %s: it may do nothing (set users, realms, anonymous or anyone for a producer, works for a worker)", k.label())
	}
	return nil
}

func (k *Key) speaks() bool {
	return k.Anyone || k.Anonymous || len(k.Users) > 0 || len(k.Realms) > 0
}

// label is how logs and errors name the key.
func (k *Key) label() string {
	if k.Name != "" {
		return Quote(k.Name)
	}
	return k.Public[:min(len(k.Public), 9)] + "…"
}

func (k *Key) speaksFor(u User) bool {
	if u.Anonymous() {
		return k.Anonymous || k.Anyone
	}
	return k.Anyone || u.Realm != "" && slices.Contains(k.Realms, u.Realm) || slices.Contains(k.Users, u)
}

func holds(queues []string, queue string) bool {
	return slices.Contains(queues, queue) || slices.Contains(queues, anyQueue)
}

// Keys are the keys that a worker, a waiter or a handler takes the word of. They are safe
// for concurrent use and may be shared.
type Keys struct {
	path string // "" for keys that do not change

	mu      sync.Mutex
	set     keyset
	err     error // why there are none
	checked time.Time
	text    []byte // of the file that set is from
}

type keyset map[string]*trustedKey

type trustedKey struct {
	Key
	key ed25519.PublicKey
}

// TrustKeys takes the word of these keys, each for what it may do. What is wrong with them
// surfaces where they are used, in New.
func TrustKeys(keys ...Key) *Keys {
	set, err := newKeyset(keys)
	return &Keys{set: set, err: err}
}

func newKeyset(keys []Key) (keyset, error) {
	if len(keys) == 0 {
		return nil, errors.New("task: trust: there are no keys (nobody could queue anything)")
	}
	set := make(keyset, len(keys))
	for i := range keys {
		k := keys[i]
		if err := k.check(); err != nil {
			return nil, fmt.Errorf("task: trust: %w", err)
		}
		if set[k.Public] != nil {
			return nil, fmt.Errorf("task: trust: key %s: it is there twice (join the two)", k.label())
		}
		_, raw, err := decodePublic(k.Public)
		if err != nil {
			return nil, fmt.Errorf("task: trust: key %s: %w", k.label(), err)
		}
		set[k.Public] = &trustedKey{k, raw}
	}
	return set, nil
}

func decodePublic(public string) (nkeys.PrefixByte, ed25519.PublicKey, error) {
	kind := nkeys.Prefix(public)
	raw, err := nkeys.Decode(kind, []byte(public))
	if err != nil {
		return 0, nil, err
	}
	if len(raw) != ed25519.PublicKeySize {
		return 0, nil, fmt.Errorf("it has %d bytes, not %d", len(raw), ed25519.PublicKeySize)
	}
	return kind, ed25519.PublicKey(raw), nil
}

func (k *Keys) trusted() *Keys { return k }

// String says where the keys are from.
func (k *Keys) String() string {
	if k.path != "" {
		return "the keys of " + k.path
	}
	return fmt.Sprintf("%d keys", len(k.set))
}

// Check says what is wrong with the keys, nil if they can be used.
func (k *Keys) Check() error {
	_, err := k.current()
	return err
}

// CheckWorker says whether the key of a worker is among them and may work its queues. For
// workers: one that could not prove its own records would run jobs for ever.
func (k *Keys) CheckWorker(s *Signer, queues []string) error {
	set, err := k.current()
	if err != nil {
		return err
	}
	own := set[s.public]
	if own == nil {
		return fmt.Errorf("key %s: it is not among the keys that are trusted, so nobody would believe what this worker records (add it to them, with works %q)", s.public, queues)
	}
	for _, q := range queues {
		if err := own.mayWork(q); err != nil {
			return err
		}
	}
	return own.worksAt(time.Now())
}

// MayWork says whether what the key of a worker records in a queue counts at that time, by the
// server's clock. For workers, while they run: keys go and are retired.
func (k *Keys) MayWork(s *Signer, queue string, now time.Time) error {
	set, err := k.current()
	if err != nil {
		return err
	}
	own := set[s.public]
	if own == nil {
		return fmt.Errorf("key %s: it is not among the keys that are trusted any more (add it to them)", s.public)
	}
	if err := own.mayWork(queue); err != nil {
		return err
	}
	return own.worksAt(now)
}

func (k *Key) mayWork(queue string) error {
	if !holds(k.Works, queue) {
		return fmt.Errorf("key %s: it may not work queue %s (add that to its works)", k.label(), Quote(queue))
	}
	return nil
}

// worksAt is an error once the key of a worker is retired.
func (k *Key) worksAt(now time.Time) error {
	if !k.Retired.IsZero() && now.After(k.Retired) {
		return fmt.Errorf("key %s: it was retired on %s (give the worker another)", k.label(), k.Retired.Format(time.RFC3339))
	}
	return nil
}

// MayQueue says whether jobs that a worker of this key runs may queue into a queue. For
// workers.
func (k *Keys) MayQueue(s *Signer, queue string) error {
	set, err := k.current()
	if err != nil {
		return err
	}
	if own := set[s.public]; own == nil || !own.reaches(queue) {
		return fmt.Errorf("queue %s: the key of this worker may not queue into it (add the queue to its key's \"into\")", Quote(queue))
	}
	return nil
}

// CheckProducer says whether the key of a producer is among them and may speak for anybody.
// For gateways: each call of one that may not would be refused.
func (k *Keys) CheckProducer(s *Signer) error {
	own, err := k.producing(s)
	if err != nil {
		return err
	}
	if len(own.Users)+len(own.Realms) == 0 && !own.Anonymous && !own.Anyone {
		return fmt.Errorf("key %s: it may speak for nobody, so it can queue no job (add users or realms to it, or sign with another)", own.label())
	}
	return nil
}

// MayQueueAs says whether jobs that a producer signs so, for a user and into a queue, would be
// believed. For producers: a job that is not is put aside, and nobody tells who waits for it.
func (k *Keys) MayQueueAs(s *Signer, u User, queue string) error {
	own, err := k.producing(s)
	if err != nil {
		return err
	}
	if !own.mayQueueInto(queue) {
		return fmt.Errorf("queue %s: key %s may not queue into it (add it to the key's queues)", Quote(queue), own.label())
	}
	if err := own.mustSpeakFor(u); err != nil {
		return fmt.Errorf("user %s: key %s may not speak for them (add them to the key's users or realms): %w", Quote(u.String()), own.label(), ErrUnauthorized)
	}
	return nil
}

// producing is the key with which a producer signs now.
func (k *Keys) producing(s *Signer) (*trustedKey, error) {
	set, err := k.current()
	switch {
	case err != nil:
		return nil, err
	case s == nil:
		return nil, errors.New("signer: Trust has keys, so a job without a signature would be put aside (set Signer)")
	}
	own := set[s.public]
	switch {
	case own == nil:
		return nil, fmt.Errorf("key %s: it is not among the keys of Trust, so its jobs would be put aside (add it to them)", s.public)
	case !own.Retired.IsZero() && time.Now().After(own.Retired.Add(MaxSkew)):
		return nil, fmt.Errorf("key %s: it was retired on %s (sign with another)", own.label(), own.Retired.Format(time.RFC3339))
	}
	return own, nil
}
