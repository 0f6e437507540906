package check

import (
	"slices"
	"time"

	"github.com/natsasync/natsasync/internal/torture/history"
)

// The faults that the checker knows; others are counted and no more.
const (
	FaultKill      = "kill"      // SIGKILL of a worker
	FaultPause     = "pause"     // SIGSTOP of a worker for longer than the lease
	FaultRestart   = "restart"   // SIGTERM of a worker under load
	FaultServer    = "server"    // SIGKILL of a server
	FaultCut       = "cut"       // a worker's connections are closed
	FaultBlackhole = "blackhole" // a worker's connection carries nothing for longer than the lease
	FaultLostAck   = "lost-ack"  // a producer does not hear that its job was taken
	FaultSlow      = "slow"      // a worker's connection is slow
	FaultDrift     = "drift"     // a lane's consumer is deleted or changed
	FaultProducer  = "producer"  // SIGKILL of a producer
	FaultClock     = "clock"     // workers and producers have wrong clocks, which are set while they run
)

// Bite is whether the faults did what they are for.
type Bite struct {
	// Kills of workers, and those that caught at least one job between its start and its end.
	Kills      int `json:"kills"`
	KillsInJob int `json:"kills_in_job"`
	Pauses     int `json:"pauses"`
	// Reassigned is how often a worker found its job with another one and recorded nothing.
	Reassigned int `json:"reassigned"`
	// Again is how many jobs, members and callbacks were started more than once.
	Again int `json:"started_again"`
	// Unknown is how often a job was sent without an answer.
	Unknown int `json:"unknown"`
	// ClocksSet is how often the clock of a process was set, and ClocksSetInJob how often while a function ran in it.
	ClocksSet      int `json:"clocks_set"`
	ClocksSetInJob int `json:"clocks_set_in_job"`
	// Recovery is how long jobs of killed workers waited for their next start, in nanoseconds, sorted.
	Recovery []time.Duration `json:"recovery_ns"`
	// Calm are those of jobs whose worker was killed while nothing else was wrong, less what the machine stalled.
	Calm []time.Duration `json:"calm_recovery_ns"`
}

func (b *book) bite() Bite {
	var bite Bite
	byProcess := b.byProcess()
	for _, e := range b.Events {
		switch {
		case e.Kind == history.Fault && e.Fault == FaultPause:
			bite.Pauses++
		case e.Kind == history.Reassigned:
			bite.Reassigned++
		case e.Kind == history.Unknown:
			bite.Unknown++
		case e.Kind == history.Clock:
			bite.ClocksSet++
			if slices.ContainsFunc(byProcess[e.By], func(a attempt) bool { return a.ended && a.begin.Before(e.At) && a.end.After(e.At) }) {
				bite.ClocksSetInJob++
			}
		case e.Kind == history.Fault && e.Fault == FaultKill:
			bite.Kills++
			caught := unfinished(byProcess[e.Target], e.At)
			if len(caught) > 0 {
				bite.KillsInJob++
			}
			for _, s := range caught {
				took, ok := recovery(s, e.At)
				if !ok {
					continue
				}
				bite.Recovery = append(bite.Recovery, took)
				if e.Calm {
					bite.Calm = append(bite.Calm, took-b.stalled(e.At, e.At.Add(took)))
				}
			}
		}
	}
	for _, s := range b.stories {
		if len(s.starts) > 1 {
			bite.Again++
		}
	}
	slices.Sort(bite.Recovery)
	slices.Sort(bite.Calm)
	return bite
}

// byProcess are all attempts, by who made them.
func (b *book) byProcess() map[string][]attempt {
	all := make(map[string][]attempt)
	for _, id := range b.ids() {
		for _, a := range b.attempts(b.stories[id]) {
			all[a.by] = append(all[a.by], a)
		}
	}
	return all
}

// unfinished are the jobs that a process ran when it died.
func unfinished(attempts []attempt, died time.Time) []*story {
	var all []*story
	for _, a := range attempts {
		if a.begin.Before(died) && !a.ended && a.end.Equal(died) {
			all = append(all, a.story)
		}
	}
	return all
}

// recovery is when a job started again; not ok if its outcome stood already when the worker died.
func recovery(s *story, died time.Time) (time.Duration, bool) {
	for _, e := range s.starts {
		if e.At.After(died) {
			return e.At.Sub(died), true
		}
	}
	return 0, false
}

// stalled is for how long the machine let nobody run between two moments.
func (b *book) stalled(x, y time.Time) (sum time.Duration) {
	for _, e := range b.Events {
		if e.Kind == history.Stall && e.At.After(x) && e.At.Add(-e.Off).Before(y) {
			sum += e.Off
		}
	}
	return sum
}

// dull says which faults were asked for and did not bite: a run in which they did not proves nothing.
func (b Bite) dull(faults []string, done map[string]int) []string {
	var why []string
	asked := func(fault string) bool { return slices.Contains(faults, fault) && done[fault] > 0 }
	for _, fault := range faults {
		if done[fault] == 0 {
			why = append(why, "no "+fault+" was done (let it run longer)")
		}
	}
	if asked(FaultKill) && 10*b.KillsInJob < 6*b.Kills {
		why = append(why, "fewer than 60 % of the kills hit a running job")
	}
	if asked(FaultKill) && len(b.Calm) == 0 {
		why = append(why, "no worker was killed in a job while nothing else was wrong")
	}
	if asked(FaultKill) && b.Again == 0 {
		why = append(why, "no job was started twice")
	}
	if (asked(FaultPause) || asked(FaultBlackhole)) && b.Reassigned == 0 {
		why = append(why, "no late outcome was refused")
	}
	if asked(FaultClock) && b.ClocksSetInJob == 0 {
		why = append(why, "no clock was set while a job ran")
	}
	if asked(FaultLostAck) && b.Unknown == 0 {
		why = append(why, "no producer was left without an answer")
	}
	return why
}
