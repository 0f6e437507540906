package producer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/natsasync/natsasync/task"
)

// Tx queues several calls, all or none. Nothing is visible to others until Commit; the
// handles of its jobs, and the Len of its queues, show what is staged to whoever holds
// the Tx. It needs no closing: one that is dropped leaves nothing behind.
type Tx struct {
	client *Client

	sending sync.Mutex // held by Commit throughout

	mu     sync.Mutex
	state  txState
	staged []*staging
}

type txState int

const (
	txOpen    txState = iota
	txSending         // Commit runs
	txSent            // its bytes went out and no answer came
	txCommitted
	txAborted
)

// Begin starts a Tx.
func (c *Client) Begin() *Tx { return &Tx{client: c} }

// Queue is the named queue as this Tx sees it: its Len counts what is staged too.
func (tx *Tx) Queue(name string) *Queue { return &Queue{client: tx.client, name: name, tx: tx} }

// Abort gives up what is staged: its handles are [ErrAborted] from now on. After a Commit
// that succeeded, or that may have, it does nothing, so that it can be deferred.
func (tx *Tx) Abort() {
	tx.sending.Lock()
	defer tx.sending.Unlock()
	tx.mu.Lock()
	defer tx.mu.Unlock()
	if tx.state == txOpen {
		tx.state = txAborted
	}
}

// staging is a job that is not queued yet.
type staging struct {
	tx       *Tx // nil for a job that is queued by a job
	spec     task.Spec
	by       task.Sealing
	envelope *task.Envelope // tx.mu guards it
}

func (tx *Tx) enqueue(ctx context.Context, call task.Spec) (*handle, error) {
	if tx.client.cfg.Gateway {
		return nil, errors.New("producer: tx: a gateway takes calls one by one (use the Client)")
	}
	by := tx.client.sealing(ctx)
	e, err := tx.client.seal(ctx, call, by)
	if err != nil {
		return nil, err
	}
	quotaCtx, cancel := withDeadline(ctx)
	defer cancel()
	if err := tx.client.checkQuota(quotaCtx, lane{e.Queue, e.Lane}); err != nil {
		return nil, err
	}
	by.ID = e.ID
	s := &staging{tx: tx, spec: call, by: by, envelope: e}
	if err := tx.add(s); err != nil {
		return nil, err
	}
	h := tx.client.handleOf(e)
	h.stage = s
	return h, nil
}

func (tx *Tx) add(s *staging) error {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	if err := tx.open(); err != nil {
		return err
	}
	if len(tx.staged) == task.MaxCalls {
		return fmt.Errorf("producer: tx: %d calls are staged already (a Tx has at most %d; EnqueueAll takes more, one by one)", len(tx.staged), task.MaxCalls)
	}
	if slices.ContainsFunc(tx.staged, func(other *staging) bool { return other.envelope.ID == s.envelope.ID }) {
		return fmt.Errorf("producer: id %s: the Tx has a call of that ID already (an ID belongs to one call)", task.Quote(s.envelope.ID))
	}
	tx.staged = append(tx.staged, s)
	return nil
}

// open is nil while calls can be staged. tx.mu is held.
func (tx *Tx) open() error {
	switch tx.state {
	case txSending:
		return errors.New("producer: tx: it is being committed (begin another)")
	case txSent:
		return errors.New("producer: tx: it was sent and no answer came (commit it again)")
	case txCommitted:
		return errors.New("producer: tx: it is committed (begin another)")
	case txAborted:
		return fmt.Errorf("producer: tx: %w (begin another)", ErrAborted)
	}
	return nil
}

// follow adds a callback to a staged job.
func (tx *Tx) follow(s *staging, callback task.Spec) (*task.Envelope, error) {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	if err := tx.open(); err != nil {
		return nil, err
	}
	if !slices.Contains(tx.staged, s) {
		return nil, fmt.Errorf("producer: job %s: %w: it is a callback itself (add what follows it to its call)", task.Quote(s.envelope.ID), ErrStaged)
	}
	spec := s.spec
	spec.Callbacks = slices.Concat(spec.Callbacks, []task.Spec{callback})
	e, err := spec.Seal(s.by)
	if err != nil {
		return nil, tell("", err)
	}
	s.spec, s.envelope = spec, e
	added, err := task.DecodeEnvelope(e.Callbacks[len(e.Callbacks)-1])
	return added, tell("", err)
}

// count is how many calls are staged for a queue and not yet visible.
func (tx *Tx) count(queue string) int {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	if tx.state != txOpen && tx.state != txSending {
		return 0
	}
	n := 0
	for _, s := range tx.staged {
		if s.envelope.Queue == queue {
			n++
		}
	}
	return n
}

func (s *staging) committed() bool {
	if s.tx == nil {
		return false
	}
	s.tx.mu.Lock()
	defer s.tx.mu.Unlock()
	return s.tx.state == txCommitted
}

// live is nil once the job may be on the server.
func (s *staging) live(id string) error {
	if s.tx == nil {
		return stagedWithin(id)
	}
	s.tx.mu.Lock()
	defer s.tx.mu.Unlock()
	switch s.tx.state {
	case txOpen, txSending:
		return fmt.Errorf("producer: job %s: %w (commit its Tx first)", task.Quote(id), ErrStaged)
	case txAborted:
		return fmt.Errorf("producer: job %s: %w", task.Quote(id), ErrAborted)
	}
	return nil
}

// read returns the envelope as it stands.
func (s *staging) read() *task.Envelope {
	if s.tx == nil {
		return s.envelope
	}
	s.tx.mu.Lock()
	defer s.tx.mu.Unlock()
	return s.envelope
}

// visible says whether the job may be on the server.
func (s *staging) visible() bool {
	if s.tx == nil {
		return false
	}
	s.tx.mu.Lock()
	defer s.tx.mu.Unlock()
	return s.tx.state == txCommitted || s.tx.state == txSent
}
