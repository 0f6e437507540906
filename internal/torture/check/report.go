package check

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/natsasync/natsasync/internal/torture/history"
	"github.com/natsasync/natsasync/task"
)

// Report is what came out.
type Report struct {
	Called   int `json:"called"`
	Accepted int `json:"accepted"`
	// Refused are those that a full queue did not take.
	Refused int `json:"refused"`
	// Outcomes counts those of whole jobs, Starts all runs of functions, members and callbacks too.
	Outcomes int `json:"outcomes"`
	Starts   int `json:"starts"`
	// Ends counts the outcomes of whole jobs by how they ended: succeeded, or the code of the failure.
	Ends map[string]int `json:"ends"`
	// Faults counts what was done, by kind.
	Faults map[string]int `json:"faults"`
	// Breaches counts violations by invariant; all invariants are there.
	Breaches   map[string]int `json:"breaches"`
	Violations []Violation    `json:"violations"`
	Bite       Bite           `json:"bite"`
	// Dull is why the run proves nothing although nothing broke.
	Dull []string `json:"dull"`
}

// Of checks a run.
func Of(run Run) *Report {
	b := newBook(run)
	r := &Report{Called: len(b.order), Faults: map[string]int{}, Breaches: map[string]int{}, Ends: map[string]int{}, Bite: b.bite()}
	for _, s := range b.stories {
		r.Starts += len(s.starts)
		if s.accepted {
			r.Accepted++
		}
		if s.refused && !s.accepted {
			r.Refused++
		}
		if o := s.outcome(); o != nil && task.Whole(s.id) {
			r.Outcomes++
			end := string(o.Record.End)
			if f := o.Record.Failure; f != nil {
				end = f.Code
			}
			r.Ends[end]++
		}
	}
	for _, e := range run.Events {
		if e.Kind == history.Fault {
			r.Faults[e.Fault]++
		}
	}
	for _, i := range invariants {
		found := i.find(b)
		r.Breaches[i.name] = len(found)
		r.Violations = append(r.Violations, found...)
	}
	r.Dull = r.Bite.dull(run.Faults, r.Faults)
	return r
}

// Held says whether nothing broke and the faults bit.
func (r *Report) Held() bool { return len(r.Violations) == 0 && len(r.Dull) == 0 }

// Table is the report as lines of a name and a value.
func (r *Report) Table() [][2]string {
	lines := [][2]string{
		{"jobs called", fmt.Sprint(r.Called)},
		{"jobs accepted", fmt.Sprint(r.Accepted)},
		{"jobs refused, as a queue was full", fmt.Sprint(r.Refused)},
		{"outcomes of jobs", fmt.Sprint(r.Outcomes)},
		{"functions started", fmt.Sprint(r.Starts)},
		{"started more than once", fmt.Sprint(r.Bite.Again)},
	}
	for _, i := range invariants {
		lines = append(lines, [2]string{i.name, fmt.Sprint(r.Breaches[i.name])})
	}
	var faults []string
	for kind, n := range r.Faults {
		faults = append(faults, fmt.Sprintf("%s %d", kind, n))
	}
	slices.Sort(faults)
	return append(lines,
		[2]string{"faults", strings.Join(faults, ", ")},
		[2]string{"kills that hit a job", fmt.Sprintf("%d of %d", r.Bite.KillsInJob, r.Bite.Kills)},
		[2]string{"late workers refused", fmt.Sprint(r.Bite.Reassigned)},
		[2]string{"clocks set in a job", fmt.Sprintf("%d of %d", r.Bite.ClocksSetInJob, r.Bite.ClocksSet)},
		[2]string{"jobs sent without an answer", fmt.Sprint(r.Bite.Unknown)},
		[2]string{"recovery p50, p99", fmt.Sprintf("%v, %v", share(r.Bite.Recovery, 50), share(r.Bite.Recovery, 99))},
		[2]string{"recovery with no other fault", fmt.Sprintf("%v at most, of %d", share(r.Bite.Calm, 100), len(r.Bite.Calm))},
	)
}

// share is the value under which so many of a hundred sorted ones lie.
func share(sorted []time.Duration, percent int) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)-1, len(sorted)*percent/100)].Round(time.Millisecond)
}
