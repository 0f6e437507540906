package check

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/natsasync/natsasync/internal/torture/history"
	"github.com/natsasync/natsasync/task"
)

// Violation is one breach of an invariant.
type Violation struct {
	Invariant string   `json:"invariant"` // like "once"
	Job       string   `json:"job"`
	What      string   `json:"what"`
	History   []string `json:"history"` // of the job and its parts, by time
}

func (b *book) violated(invariant, job, format string, args ...any) Violation {
	return Violation{invariant, job, fmt.Sprintf(format, args...), b.history(job)}
}

// invariants are what must hold, by the names under which the table counts their breaches.
var invariants = []struct {
	name string
	find func(*book) []Violation
}{
	{"lost", (*book).lost},
	{"second outcomes", (*book).twice},
	{"ghosts", (*book).ghosts},
	{"order", (*book).outOfTurn},
	{"overlaps", (*book).overlaps},
	{"late outcomes taken", (*book).late},
	{"callbacks missed", (*book).callbacks},
	{"batches", (*book).batches},
	{"identity", (*book).identity},
	{"wrong ends", (*book).ends},
	{"wrong times", (*book).times},
	{"stuck", (*book).stuck},
	{"slow recoveries", (*book).slow},
	{"resources", (*book).resources},
}

func (b *book) lost() (all []Violation) {
	for _, s := range b.order {
		if s.accepted && s.outcome() == nil {
			all = append(all, b.violated("lost", s.id, "it was accepted and has no outcome"))
		}
	}
	return all
}

// twice also finds outcomes that changed after they had been read.
func (b *book) twice() (all []Violation) {
	for _, id := range b.ids() {
		if n := len(b.stories[id].outcomes); n > 1 {
			all = append(all, b.violated("second outcomes", id, "%d outcomes are recorded", n))
		}
	}
	for _, old := range b.Earlier {
		if old.Record == nil {
			continue
		}
		now := b.story(old.ID).outcome()
		if now == nil || now.Seq != old.Seq || !bytes.Equal(now.Record.Encode(), old.Record.Encode()) {
			all = append(all, b.violated("second outcomes", old.ID, "the outcome of record %d is another now", old.Seq))
		}
	}
	return all
}

func (b *book) ghosts() (all []Violation) {
	for _, id := range b.ids() {
		s := b.stories[id]
		if o := s.outcome(); o != nil && task.Whole(id) && s.called == nil && o.Record.Parent == "" {
			all = append(all, b.violated("ghosts", id, "it has an outcome and nobody called it"))
		} else if o != nil && s.called != nil && (o.Record.Task != s.called.Task || o.Record.Queue != s.called.Queue) {
			all = append(all, b.violated("ghosts", id, "%s in %s was called, the outcome is of %s in %s", s.called.Task, s.called.Queue, o.Record.Task, o.Record.Queue))
		}
	}
	return all
}

// outOfTurn compares with what is recorded: a job of a serial queue starts when the outcome of the one before it stands.
func (b *book) outOfTurn() (all []Violation) {
	for queue, jobs := range b.serial() {
		for i, s := range jobs {
			if i == 0 || len(s.starts) == 0 {
				continue
			}
			before := jobs[i-1]
			if o := before.outcome(); o != nil && s.starts[0].At.Before(o.Time) {
				all = append(all, b.violated("order", s.id, "it started %v before the outcome of %s, which was queued before it in %s",
					o.Time.Sub(s.starts[0].At), before.id, queue))
			}
		}
	}
	return all
}

// overlaps counts the jobs of a queue that ran at once. An attempt of a process that was paused or cut off may be late,
// and so may one that a killed server has handed out again: both are left out, and so is a second attempt of the same job.
func (b *book) overlaps() (all []Violation) {
	byQueue := make(map[string][]attempt)
	for _, s := range b.order {
		if b.Limits[s.called.Queue] == 0 {
			continue
		}
		for _, a := range b.attempts(s) {
			if !a.end.IsZero() && !b.troubled(a.by, a.begin, a.end) && !b.overtaken(a) {
				byQueue[s.called.Queue] = append(byQueue[s.called.Queue], a)
			}
		}
	}
	for queue, attempts := range byQueue {
		slices.SortFunc(attempts, func(x, y attempt) int { return x.begin.Compare(y.begin) })
		for i, a := range attempts {
			at := map[string]bool{a.story.id: true}
			for _, other := range attempts[:i] {
				if other.end.After(a.begin) {
					at[other.story.id] = true
				}
			}
			if len(at) > b.Limits[queue] {
				all = append(all, b.violated("overlaps", a.story.id, "%d jobs of %s ran at once, the limit is %d", len(at), queue, b.Limits[queue]))
			}
		}
	}
	return all
}

// overtaken says whether an attempt went on after another one's outcome was recorded, and a server was killed between
// the first start of the job and this one: it forgets who has a job, and hands it out again while it runs.
func (b *book) overtaken(a attempt) bool {
	o := a.story.outcome()
	if o == nil || o.Record.Worker == a.by || !a.end.After(o.Time) {
		return false
	}
	for _, spans := range b.trouble {
		for _, s := range spans {
			if s.fault == FaultServer && s.begin.After(a.story.starts[0].At) && s.begin.Before(a.begin) {
				return true
			}
		}
	}
	return false
}

// late finds outcomes that were recorded by another worker than the one that had claimed the job last.
func (b *book) late() (all []Violation) {
	for _, id := range b.ids() {
		s := b.stories[id]
		o := s.outcome()
		if o == nil || o.Record.End == task.Cancelled {
			continue
		}
		if len(s.claims) == 0 {
			continue
		}
		switch last := s.claims[len(s.claims)-1]; {
		case last.Seq > o.Seq:
			all = append(all, b.violated("late outcomes taken", id, "it was claimed at %d, after its outcome at %d", last.Seq, o.Seq))
		case last.Claim.State != task.ClaimUnknown && last.Claim.Worker != o.Record.Worker:
			all = append(all, b.violated("late outcomes taken", id, "%s had claimed it last, the outcome is by %s", last.Claim.Worker, o.Record.Worker))
		}
	}
	return all
}

func (b *book) callbacks() (all []Violation) {
	for _, s := range b.order {
		if s.called.Shape == nil || s.outcome() == nil {
			continue
		}
		for _, c := range b.parts(task.CallbacksID(s.id), s.called.Shape.Callbacks) {
			switch {
			case c.outcome() == nil:
				all = append(all, b.violated("callbacks missed", s.id, "callback %s has no outcome", c.id))
			case len(c.starts) == 0:
				all = append(all, b.violated("callbacks missed", s.id, "callback %s has an outcome and never ran", c.id))
			}
		}
	}
	return all
}

// batches looks at members: none starts after its outcome stands, those in order not before the outcome of the one before.
func (b *book) batches() (all []Violation) {
	for _, s := range b.order {
		if s.called.Shape == nil || s.called.Shape.Members == 0 || s.outcome() == nil {
			continue
		}
		members := b.parts(s.id, s.called.Shape.Members)
		for i, m := range members {
			o := m.outcome()
			if o == nil {
				all = append(all, b.violated("batches", s.id, "member %s has no outcome", m.id))
				continue
			}
			if o.Seq > s.outcome().Seq {
				all = append(all, b.violated("batches", s.id, "the batch ended before its member %s", m.id))
			}
			if !s.called.Shape.InOrder {
				continue
			}
			for _, e := range m.starts {
				if e.At.After(o.Time) && !b.troubled(e.By, o.Time, e.At) {
					all = append(all, b.violated("batches", s.id, "member %s started %v after its outcome", m.id, e.At.Sub(o.Time)))
				}
				if i > 0 && members[i-1].outcome() != nil && e.At.Before(members[i-1].outcome().Time) {
					all = append(all, b.violated("batches", s.id, "member %s started before the outcome of the one before it", m.id))
				}
			}
		}
	}
	return all
}

// identity compares the user of each run with the one for whom the job was called, and finds work that was done
// although the user may not.
func (b *book) identity() (all []Violation) {
	for _, id := range b.ids() {
		s := b.stories[id]
		outer, _, _ := strings.Cut(id, ".")
		called := b.story(outer).called
		for _, e := range s.starts {
			if called != nil && e.User != called.User {
				all = append(all, b.violated("identity", id, "it was called for %s and ran for %s", called.User, e.User))
			}
		}
		if called != nil && called.Shape != nil && called.Shape.Fails == "unauthorized" && len(s.effects) > 0 {
			all = append(all, b.violated("identity", id, "%s may not do this, and it was done", called.User))
		}
	}
	return all
}

// ends compares how a job ended with what must come of it.
func (b *book) ends() (all []Violation) {
	for _, s := range b.order {
		o := s.outcome()
		if o == nil || s.called.Shape == nil {
			continue
		}
		want, got := s.called.Shape.Fails, ""
		if f := o.Record.Failure; f != nil {
			got = f.Code
		}
		if got != want {
			all = append(all, b.violated("wrong ends", s.id, "it ended with %s, want %s", orSuccess(got), orSuccess(want)))
		}
	}
	return all
}

// clockError is how far a time may be off that a process learned through a slow wire.
const clockError = 3 * time.Second

// times finds records that tell a time after they were stored, or before their job was called.
func (b *book) times() (all []Violation) {
	for _, id := range b.ids() {
		o := b.stories[id].outcome()
		if o == nil {
			continue
		}
		called := b.story(task.RootID(id)).called
		for _, t := range []struct {
			what string
			at   time.Time
		}{{"queued", o.Record.Queued}, {"started", o.Record.Started}, {"ended", o.Record.Ended}} {
			if t.at.IsZero() {
				continue
			}
			if late := t.at.Sub(o.Time); late > clockError {
				all = append(all, b.violated("wrong times", id, "it was %s %v after that was stored, by the record of %s", t.what, late, o.Record.Worker))
			} else if called != nil && t.at.Before(called.At.Add(-clockError)) {
				all = append(all, b.violated("wrong times", id, "it was %s %v before it was called, by the record of %s", t.what, called.At.Sub(t.at), o.Record.Worker))
			}
		}
	}
	return all
}

func orSuccess(code string) string { return cmp.Or(code, "success") }

func (b *book) stuck() (all []Violation) {
	for _, id := range b.Stuck {
		all = append(all, b.violated("stuck", id, "it lay in the streams %v after the last fault", b.Patience))
	}
	return all
}

// RecoveryWithin is how long after its lease a job of a killed worker runs again at the latest.
const RecoveryWithin = 2 * time.Second

// slow looks at kills with no other fault near: those may take a job's next worker away too.
func (b *book) slow() (all []Violation) {
	byProcess := b.byProcess()
	for _, e := range b.Events {
		if e.Kind != history.Fault || e.Fault != FaultKill || !e.Calm {
			continue
		}
		for _, s := range unfinished(byProcess[e.Target], e.At) {
			took, again := recovery(s, e.At)
			if took -= b.stalled(e.At, e.At.Add(took)); again && took > b.Lease+RecoveryWithin {
				all = append(all, b.violated("slow recoveries", s.id, "it ran again %v after its worker was killed, the lease is %v", took, b.Lease))
			}
		}
	}
	return all
}

// How much more than at its start a worker may hold when all jobs have ended.
const (
	moreGoroutines = 15
	moreMemory     = 24 << 20
)

// resources compares what each worker holds when nothing is left to do with what it held when it began.
func (b *book) resources() (all []Violation) {
	told := map[string][]history.Event{}
	idle := false
	for _, e := range b.Events {
		idle = idle || e.Kind == history.Idle
		if e.Kind != history.Vitals {
			continue
		}
		told[e.By] = append(told[e.By], e)
		first := told[e.By][0]
		if idle && (e.Goroutines > first.Goroutines+moreGoroutines || e.Memory > first.Memory+moreMemory) {
			v := Violation{Invariant: "resources", What: e.By + " holds more when all is done than when it began"}
			for _, e := range told[e.By] {
				v.History = append(v.History, fmt.Sprintf("%s  %d goroutines, %d KiB", e.At.UTC().Format("15:04:05.000"), e.Goroutines, e.Memory>>10))
			}
			all = append(all, v)
		}
	}
	return all
}

func (b *book) ids() []string {
	ids := make([]string, 0, len(b.stories))
	for id := range b.stories {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}
