package task

import (
	"fmt"
	"strings"
	"time"
)

// Spec is a call without its type: the core under [Call], and what the raw twins of
// typed functions take. Input is msgpack. Treat it as a value.
type Spec struct {
	Task      string
	Object    Object
	Input     []byte
	Mode      Mode
	Members   []Spec // of a batch
	Callbacks []Spec // in the order added
	When      When   // of a callback: after which end it runs
	Take      Take   // of a callback: what it takes as input instead of Input
	Defaults  Options
	Options   Options

	at    bool // a callback with an object of its own
	wrong error
}

// Spec returns s, which makes it a [Callable].
func (s Spec) Spec() Spec { return s }

// Mode says whether a spec is a single call or a batch.
type Mode uint8

// The modes.
const (
	Single Mode = iota
	Serial
	Parallel
)

// When says after which end of its job a callback runs.
type When uint8

// The ends that a callback can wait for; [WhenDone] is both. None runs after a
// cancellation.
const (
	WhenSucceeded When = 1 << iota
	WhenFailed
	WhenDone = WhenSucceeded | WhenFailed
)

// Runs says whether a callback runs after end.
func (w When) Runs(end End) bool {
	return end == Succeeded && w&WhenSucceeded != 0 || end == Failed && w&WhenFailed != 0
}

// Take says what a call takes as its input.
type Take uint8

// What a call can take: its own input, or the value, the failure or the outcome of
// the job that it follows.
const (
	TakeNothing Take = iota
	TakeValue
	TakeFailure
	TakeOutcome
)

// Names that batches have in place of a task's.
const (
	SerialBatch   = "batch.serial"
	ParallelBatch = "batch.parallel"
	CallbackBatch = "batch.callbacks"

	batchNames = "batch."
)

// Follow is what f makes of a job's end: the spec of a callback, for adding it later.
func Follow[In any](f Follower[In], when When, take Take) Spec {
	var none In
	s := f.follows(none)
	s.When, s.Take = when, take
	return s
}

// Effective returns the options of s over those of its task.
func (s Spec) Effective() Options { return s.Options.over(s.Defaults) }

// Lanes that are no quota, and the names that are used when none is given.
const (
	LaneFree      = "free"
	LaneCallbacks = "callbacks"
	LaneLater     = "later"
	LaneSystem    = "system"
	DefaultQueue  = "default"
	DefaultQuota  = "default"
)

// Sealing is what a spec needs beside itself to become a job. For producers and
// workers.
type Sealing struct {
	ID           string // "" makes one, unless the call has its own
	Installation string
	Parent       string
	User         User
	Queue        string // "" takes the call's; set, it is the queue of a continuation
	Now          time.Time
}

// Seal checks all of s, its members and callbacks too, and makes the envelope of a
// job of it. Errors name the field and the fix. For producers and workers.
func (s Spec) Seal(by Sealing) (*Envelope, error) {
	o := s.Effective()
	if err := o.check(); err != nil {
		return nil, err
	}
	e := &Envelope{
		Installation: by.Installation, Parent: by.Parent, User: by.User, Issued: by.Now,
		ID: by.ID, Queue: by.Queue, Lane: LaneFree,
		StartWithin: o.StartWithin, Keep: o.Keep, NotBefore: o.NotBefore,
	}
	if e.ID == "" {
		e.ID = o.ID
	}
	if e.ID == "" {
		e.ID = NewID()
	}
	if err := by.User.check(); err != nil {
		return nil, err
	}
	if by.Queue != "" {
		return e, s.inside(e, 0)
	}
	e.Queue = orDefault(o.Queue, DefaultQueue)
	if !o.NoQuota {
		e.Lane = orDefault(o.Quota, DefaultQuota)
	}
	switch e.Lane {
	case LaneCallbacks, LaneLater, LaneSystem:
		return nil, fmt.Errorf("quota %s: the name is reserved (choose another)", Quote(e.Lane))
	}
	if o.Delay > 0 {
		e.NotBefore = by.Now.Add(o.Delay)
	}
	if e.NotBefore.Sub(by.Now) > MaxDuration {
		return nil, fmt.Errorf("not-before %v: it is more than ten years ahead", e.NotBefore.Format(time.RFC3339))
	}
	if !e.NotBefore.After(by.Now) {
		e.NotBefore = time.Time{}
	}
	return e, s.fill(e, 0)
}

// inside seals a call that runs inside a job: a member, a callback, a continuation.
func (s Spec) inside(e *Envelope, depth int) error {
	if err := s.checkName(); err != nil {
		return err
	}
	if err := s.Effective().check(); err != nil {
		return err
	}
	o := s.Options
	switch {
	case o.Queue != "" && o.Queue != e.Queue:
		return fmt.Errorf("queue %s of %s: a call inside a job runs in its job's queue %s (leave InQueue out)", Quote(o.Queue), s.Task, Quote(e.Queue))
	case o.Quota != "":
		return fmt.Errorf("quota %s of %s: a call inside a job holds no quota (leave WithQuota out)", Quote(o.Quota), s.Task)
	case o.Delay > 0 || !o.NotBefore.IsZero():
		return fmt.Errorf("delay of %s: a call inside a job runs when its turn comes (leave Delay and NotBefore out)", s.Task)
	case o.StartWithin > 0:
		return fmt.Errorf("start-within of %s: a call inside a job has no start deadline (set it on the whole job)", s.Task)
	case o.ID != "":
		return fmt.Errorf("id %s of %s: a call inside a job gets its ID from the job (leave WithID out)", Quote(o.ID), s.Task)
	}
	e.StartWithin, e.Keep, e.NotBefore = 0, 0, time.Time{}
	return s.fill(e, depth)
}

// fill sets what whole jobs and calls inside jobs have in common.
func (s Spec) fill(e *Envelope, depth int) error {
	if s.wrong != nil {
		return s.wrong
	}
	if depth > MaxDepth/2 {
		return fmt.Errorf("%s: calls are nested deeper than %d (queue the inner ones by themselves)", s.Task, MaxDepth/2)
	}
	if err := s.checkName(); err != nil {
		return err
	}
	if err := s.Object.check(); err != nil {
		return err
	}
	if len(s.Input) > 0 {
		if err := Scan(s.Input); err != nil {
			return fmt.Errorf("input of %s: %w", s.Task, err)
		}
		e.Input = s.Input
	}
	o := s.Effective()
	e.Task, e.Object, e.Mode = s.Task, s.Object, s.Mode
	e.When, e.Take, e.Timeout, e.Retry = s.When, s.Take, o.Timeout, o.Retry
	if len(s.Members) > MaxCalls {
		return fmt.Errorf("members: %d are too many (at most %d)", len(s.Members), MaxCalls)
	}
	if len(s.Callbacks) > MaxCallbacks {
		return fmt.Errorf("callbacks of %s: %d are too many (at most %d)", s.Task, len(s.Callbacks), MaxCallbacks)
	}
	for i, m := range s.Members {
		body, err := m.nest(e, MemberID(e.ID, i+1), e.ID, LaneFree, "", depth+1)
		if err != nil {
			return fmt.Errorf("member %d: %w", i+1, err)
		}
		e.Members = append(e.Members, body)
	}
	for i, c := range s.Callbacks {
		if !c.at && c.Object == "" {
			c.Object = s.Object
		}
		body, err := c.nest(e, MemberID(CallbacksID(e.ID), i+1), CallbacksID(e.ID), LaneCallbacks, e.ID, depth+1)
		if err != nil {
			return fmt.Errorf("callback %d: %w", i+1, err)
		}
		e.Callbacks = append(e.Callbacks, body)
	}
	if n := e.size(); n > MaxEnvelope {
		return fmt.Errorf("%s: the envelope has %d bytes: %w", s.Task, n, tooLarge(fmt.Sprintf("an envelope has at most %d (put the input into an object store and queue its name)", MaxEnvelope)))
	}
	return nil
}

func (s Spec) nest(outer *Envelope, id, parent, lane, after string, depth int) ([]byte, error) {
	e := &Envelope{
		Installation: outer.Installation, ID: id, Queue: outer.Queue, Lane: lane,
		User: outer.User, Parent: parent, After: after, Issued: outer.Issued,
	}
	if err := s.inside(e, depth); err != nil {
		return nil, err
	}
	return e.Encode(), nil
}

func (s Spec) checkName() error {
	switch {
	case s.Mode == Serial && (s.Task == SerialBatch || s.Task == CallbackBatch), s.Mode == Parallel && s.Task == ParallelBatch:
		return nil
	case s.Mode != Single:
		return fmt.Errorf("task: name %s: a batch is named %s or %s (use package batch)", Quote(s.Task), SerialBatch, ParallelBatch)
	case len(s.Members) > 0:
		return fmt.Errorf("members of %s: only a batch has members (use package batch)", Quote(s.Task))
	case strings.HasPrefix(s.Task, batchNames):
		return fmt.Errorf("task: name %s: names that begin with %s are taken", Quote(s.Task), batchNames)
	}
	return CheckName(s.Task)
}

func orDefault(value, otherwise string) string {
	if value == "" {
		return otherwise
	}
	return value
}
