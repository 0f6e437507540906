// Package check says whether the guarantees held in a torture run: it reads what the processes wrote about themselves
// and what lies in the streams, and believes neither alone. It knows nothing of how the run was made.
package check

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/natsasync/natsasync/internal/stream"
	"github.com/natsasync/natsasync/internal/torture/history"
	"github.com/natsasync/natsasync/task"
)

// Run is all that is known of a torture run.
type Run struct {
	// Events are the histories of all processes, by time.
	Events []history.Event
	// Records are outcomes and claims in the order of their stream. Records that were read during the run come first
	// in Earlier: an outcome must not change afterwards.
	Records, Earlier []stream.Standing
	// Limits are how many jobs of a queue may run at once, 0 for any number.
	Limits map[string]int
	// Stuck are the jobs that lay in the streams when all should have ended.
	Stuck []string
	// Lease is that of the namespace, and Faults the kinds that were asked for.
	Lease  time.Duration
	Faults []string
	// Patience is how long after the last fault all must have ended.
	Patience time.Duration
}

// story is one job, member or callback: what was said of it and what is recorded.
type story struct {
	id       string
	called   *history.Event
	accepted bool
	refused  bool
	starts   []history.Event
	ends     []history.Event
	effects  []history.Event
	outcomes []stream.Standing
	claims   []stream.Standing
}

// outcome is the first one recorded, nil if there is none.
func (s *story) outcome() *stream.Standing {
	if len(s.outcomes) == 0 {
		return nil
	}
	return &s.outcomes[0]
}

// book has all stories of a run.
type book struct {
	Run
	stories map[string]*story
	order   []*story // whole jobs in the order in which they were called
	trouble map[string][]span
}

// span is a time in which a process was not its own master.
type span struct {
	fault      string
	begin, end time.Time
}

func newBook(run Run) *book {
	b := &book{Run: run, stories: make(map[string]*story), trouble: make(map[string][]span)}
	for i := range run.Events {
		b.add(&run.Events[i])
	}
	for _, r := range run.Records {
		s := b.story(r.ID)
		switch {
		case r.Record != nil:
			s.outcomes = append(s.outcomes, r)
		case r.Claim != nil:
			s.claims = append(s.claims, r)
		}
	}
	return b
}

func (b *book) add(e *history.Event) {
	switch e.Kind {
	case history.Fault:
		b.trouble[e.Target] = append(b.trouble[e.Target], span{fault: e.Fault, begin: e.At})
		return
	case history.Healed:
		spans := b.trouble[e.Target]
		for i := range slices.Backward(spans) {
			if spans[i].fault == e.Fault && spans[i].end.IsZero() {
				spans[i].end = e.At
				break
			}
		}
		return
	}
	if e.Job == "" {
		return
	}
	s := b.story(e.Job)
	switch e.Kind {
	case history.Called:
		if s.called == nil {
			s.called = e
			b.order = append(b.order, s)
		}
	case history.Accepted:
		s.accepted = true
	case history.Refused:
		s.refused = true
	case history.Start:
		s.starts = append(s.starts, *e)
	case history.End:
		s.ends = append(s.ends, *e)
	case history.Effect:
		s.effects = append(s.effects, *e)
	}
}

func (b *book) story(id string) *story {
	s := b.stories[id]
	if s == nil {
		s = &story{id: id}
		b.stories[id] = s
	}
	return s
}

// serial returns the whole jobs of each serial queue in the order in which they were called, but those refused.
func (b *book) serial() map[string][]*story {
	queues := make(map[string][]*story)
	for _, s := range b.order {
		if s.called.Shape != nil && s.called.Shape.Serial && (s.accepted || !s.refused) {
			queues[s.called.Queue] = append(queues[s.called.Queue], s)
		}
	}
	return queues
}

// troubled says whether a process was paused or cut off at any moment from x to y: what it does then may be late. After
// a pause it needs a moment to find out. A wrong clock excuses nothing.
func (b *book) troubled(process string, x, y time.Time) bool {
	for _, s := range b.trouble[process] {
		if s.fault != FaultKill && s.fault != FaultClock && !s.begin.After(y) && (s.end.IsZero() || s.end.Add(b.Lease).After(x)) {
			return true
		}
	}
	return false
}

// diedAt is when a process was killed after t, zero if it was not.
func (b *book) diedAt(process string, t time.Time) time.Time {
	for _, s := range b.trouble[process] {
		if s.fault == FaultKill && s.begin.After(t) {
			return s.begin
		}
	}
	return time.Time{}
}

// attempt is one run of a function, as long as it can have lasted.
type attempt struct {
	story      *story
	by         string
	begin, end time.Time
	ended      bool
}

// attempts of a story, by start. One whose end nobody wrote lasted until its process died.
func (b *book) attempts(s *story) []attempt {
	var all []attempt
	left := slices.Clone(s.ends)
	for _, e := range s.starts {
		a := attempt{story: s, by: e.By, begin: e.At}
		i := slices.IndexFunc(left, func(end history.Event) bool {
			return end.By == e.By && end.PID == e.PID && !end.At.Before(e.At)
		})
		if i >= 0 {
			a.end, a.ended = left[i].At, true
			left = slices.Delete(left, i, i+1)
		} else {
			a.end = b.diedAt(e.By, e.At)
		}
		all = append(all, a)
	}
	return all
}

// parts are the members or callbacks of a job, by their numbers.
func (b *book) parts(id string, n int) []*story {
	all := make([]*story, n)
	for i := range n {
		all[i] = b.story(task.MemberID(id, i+1))
	}
	return all
}

// history is what was said of a job and its parts, a line each.
func (b *book) history(id string) []string {
	var lines []string
	add := func(at time.Time, words ...string) {
		words = slices.DeleteFunc(words, func(w string) bool { return w == "" })
		lines = append(lines, at.UTC().Format("15:04:05.000000")+"  "+strings.Join(words, "  "))
	}
	for _, e := range b.Events {
		if e.Job == id || strings.HasPrefix(e.Job, id+".") {
			attempt := ""
			if e.Attempt > 0 {
				attempt = "attempt " + strconv.Itoa(e.Attempt)
			}
			add(e.At, string(e.Kind), e.Job, e.By, attempt, e.Err)
		}
	}
	for _, r := range b.Records {
		if r.ID != id && !strings.HasPrefix(r.ID, id+".") {
			continue
		}
		seq := "record " + strconv.FormatUint(r.Seq, 10)
		switch {
		case r.Claim != nil:
			add(r.Time, "claim "+string(r.Claim.State), r.ID, r.Claim.Worker, seq)
		case r.Record != nil:
			add(r.Time, string(r.Record.End), r.ID, r.Record.Worker, seq)
		}
	}
	slices.Sort(lines)
	return lines
}
