package consumer

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/natsasync/natsasync/task"
)

// notePause is how often progress and notes go out at most.
const notePause = time.Second

// notes is the progress and the notes of a job. What comes too soon after the last is
// kept and goes out when the pause is over, or when the attempt ends.
type notes struct {
	mu     sync.Mutex
	now    task.Notes
	sent   time.Time
	dirty  bool
	tells  bool // the job has said how far it is
	timer  *time.Timer
	closed bool
}

// Progress makes attempt a [task.Host].
func (a *attempt) Progress(share float64, text string) {
	a.notes.change(a, true, func(n *task.Notes) { n.Progress, n.Text = share, text })
}

// Note makes attempt a [task.Host].
func (a *attempt) Note(key string, value []byte) {
	a.notes.change(a, false, func(n *task.Notes) {
		values := maps.Clone(n.Values)
		if values == nil {
			values = map[string][]byte{}
		}
		values[key] = value
		size := 0
		for k, v := range values {
			size += len(k) + len(v)
		}
		if size > task.MaxNotes {
			a.d.w.log.Warn("a note is left out: all notes of a job have at most 4 KiB together", "id", a.env.ID, "task", a.env.Task, "key", key)
			return
		}
		n.Values = values
	})
}

// change goes out at once if the pause since the last is over, or if it is the first word
// of how far the job is.
func (n *notes) change(a *attempt, progress bool, change func(*task.Notes)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return
	}
	if n.sent.IsZero() && a.d.claim != nil {
		n.now = a.d.readNotes(a.env.ID)
	}
	change(&n.now)
	wait := notePause - time.Since(n.sent)
	first := progress && !n.tells
	n.tells = n.tells || progress
	if wait <= 0 || first {
		n.send(a)
		return
	}
	if !n.dirty {
		n.dirty = true
		n.timer = time.AfterFunc(wait, func() {
			n.mu.Lock()
			defer n.mu.Unlock()
			if n.dirty && !n.closed {
				n.send(a)
			}
		})
	}
}

// flush sends what is left; nothing is sent after it.
func (n *notes) flush(a *attempt) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.closed = true
	if n.timer != nil {
		n.timer.Stop()
	}
	if n.dirty {
		n.send(a)
	}
}

func (n *notes) send(a *attempt) {
	n.sent, n.dirty = time.Now(), false
	if a.d.isLost() != nil {
		return
	}
	body, err := n.now.Encode()
	if err != nil {
		a.d.w.log.Warn("encode notes", "id", a.env.ID, "err", err)
		return
	}
	b := a.d.w.broker
	m := &nats.Msg{Subject: b.Note(a.d.at.Owner, a.env.ID), Data: body}
	b.Sign(m, "")
	b.PublishAsync(m, func(_ uint64, err error) {
		if err != nil {
			a.d.w.log.Debug("store notes", "id", a.env.ID, "err", err)
		}
	})
	if n.tells {
		a.d.w.event(task.EventProgress, a, n.now.Progress, n.now.Text)
	}
}

// readNotes returns what an earlier attempt has noted.
func (d *delivery) readNotes(id string) task.Notes {
	ctx, cancel := context.WithTimeout(d.ctx, 3*time.Second)
	defer cancel()
	n, err := d.w.broker.ReadNotes(ctx, d.at.Queue, d.at.Owner, id)
	if err != nil || n == nil {
		return task.Notes{}
	}
	return *n
}

// staged is what a handler queues if it succeeds.
type staged struct {
	mu     sync.Mutex
	bodies [][]byte
	size   int
}

func (s *staged) take() [][]byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bodies
}

// Stage makes attempt a [task.Host]. The job gets its ID now and is published if this
// attempt succeeds, as the same user.
func (a *attempt) Stage(spec task.Spec) (*task.Envelope, error) {
	e, err := spec.Seal(task.Sealing{
		Installation: a.d.w.broker.Installation(), Parent: a.env.ID, User: a.env.User, Now: a.d.now(),
	})
	if err != nil {
		return nil, err
	}
	if e.Lane != task.DefaultQuota && e.Lane != task.LaneFree {
		if _, err := a.d.w.broker.Lane(a.ctx, e.Queue, e.Lane); err != nil {
			return nil, err
		}
	}
	if keys := task.KeysOf(a.d.w.cfg.Trust); keys != nil {
		// While the keys cannot be read, who takes the job decides.
		if err := keys.MayQueue(a.d.w.cfg.Signer, e.Queue); err != nil && !errors.Is(err, task.ErrNoKeys) {
			return nil, err
		}
	}
	body := e.Encode()
	a.staged.mu.Lock()
	defer a.staged.mu.Unlock()
	if a.over() {
		return nil, errors.New("the job that queues it has ended (queue before the handler returns)")
	}
	if a.staged.size+len(body) > task.MaxEnvelope {
		return nil, fmt.Errorf("the jobs that a job queues have more than %d bytes together: %w", task.MaxEnvelope, task.ErrTooLarge)
	}
	if len(a.staged.bodies) == task.MaxCalls {
		return nil, fmt.Errorf("a job queues at most %d jobs: %w", task.MaxCalls, task.ErrTooLarge)
	}
	a.staged.bodies, a.staged.size = append(a.staged.bodies, body), a.staged.size+len(body)
	return e, nil
}

// Yield makes attempt a [task.Host].
func (a *attempt) Yield() (resume func() error) { return a.d.yield(a) }

// event tells whoever listens; nobody waits for it.
func (w *Worker) event(kind string, a *attempt, progress float64, text string) {
	w.eventOf(task.Event{
		Kind: kind, Queue: a.env.Queue, Owner: a.d.at.Owner, ID: a.env.ID, Task: a.env.Task,
		Attempt: a.Job.Attempt, Progress: progress, Text: text,
	})
}

func (w *Worker) eventOf(e task.Event) {
	e.Worker, e.At = w.cfg.Name, w.broker.Now()
	if err := w.broker.Conn().Publish(w.broker.Event(e.Queue, e.Kind, e.Owner, e.ID), e.Encode()); err != nil {
		w.log.Debug("tell of an event", "kind", e.Kind, "id", e.ID, "err", err)
	}
}
