package check_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/natsasync/natsasync/internal/stream"
	"github.com/natsasync/natsasync/internal/torture/check"
	"github.com/natsasync/natsasync/internal/torture/history"
	"github.com/natsasync/natsasync/task"
)

// play is a run as its processes would have written it, a millisecond a line.
type play struct {
	check.Run
	now time.Time
	seq uint64
}

var (
	epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	alice = task.User{Realm: "/r", ID: "alice"}
)

func newPlay() *play {
	return &play{now: epoch, Run: check.Run{Lease: 10 * time.Millisecond, Limits: map[string]int{"ordered": 1, "limited": 2}}}
}

func (p *play) tick() time.Time {
	p.after(time.Millisecond)
	return p.now
}

func (p *play) event(by string, e history.Event) {
	e.At, e.By, e.PID = p.tick(), by, 1
	p.Events = append(p.Events, e)
}

func (p *play) call(queue, id string, shape history.Shape) {
	p.event("producer", history.Event{Kind: history.Called, Job: id, Task: "work", Queue: queue, User: alice.String(), Shape: &shape})
	p.event("producer", history.Event{Kind: history.Accepted, Job: id})
}

func (p *play) start(by, id string) {
	p.event(by, history.Event{Kind: history.Start, Job: id, User: alice.String(), Attempt: 1})
}

func (p *play) end(by, id string) { p.event(by, history.Event{Kind: history.End, Job: id}) }

func (p *play) fault(kind, target string) {
	p.event("nemesis", history.Event{Kind: history.Fault, Fault: kind, Target: target})
}

func (p *play) calmKill(target string) {
	p.event("nemesis", history.Event{Kind: history.Fault, Fault: check.FaultKill, Target: target, Calm: true})
}

// after lets time pass.
func (p *play) after(d time.Duration) { p.now = p.now.Add(d) }

func (p *play) healed(kind, target string) {
	p.event("nemesis", history.Event{Kind: history.Healed, Fault: kind, Target: target})
}

func (p *play) claim(by, id string) {
	p.seq++
	s := stream.Standing{Seq: p.seq, Time: p.tick(), Claim: &task.Claim{ID: id, Worker: by, State: task.ClaimRunning}}
	s.ID = id
	p.Records = append(p.Records, s)
}

func (p *play) outcome(by, queue, id string, change ...func(*task.Record)) {
	p.seq++
	r := &task.Record{Outcome: task.Outcome{ID: id, Task: "work", Queue: queue, User: alice, End: task.Succeeded, Worker: by}}
	for _, f := range change {
		f(r)
	}
	s := stream.Standing{Seq: p.seq, Time: p.tick(), Record: r}
	s.ID = id
	p.Records = append(p.Records, s)
}

func (p *play) run(by, queue, id string) {
	p.start(by, id)
	p.end(by, id)
	p.outcome(by, queue, id)
}

func (p *play) breaches() map[string]int {
	got := map[string]int{}
	for name, n := range check.Of(p.Run).Breaches {
		if n > 0 {
			got[name] = n
		}
	}
	return got
}

var (
	plain  = history.Shape{}
	serial = history.Shape{Serial: true}
)

func TestARunInWhichAllHeldHasNoViolations(t *testing.T) {
	t.Parallel()
	p := newPlay()
	p.Faults = []string{check.FaultKill, check.FaultPause}
	p.call("ordered", "A", history.Shape{Serial: true, Callbacks: 1})
	p.call("ordered", "B", serial)
	p.call("open", "C", history.Shape{Members: 2, InOrder: true})
	p.call("open", "D", history.Shape{Fails: "unauthorized"})
	p.start("w1", "A")
	p.calmKill("w1")
	p.after(4 * time.Second)
	p.event("nemesis", history.Event{Kind: history.Stall, Off: 4 * time.Second})
	p.claim("w2", "A")
	p.run("w2", "ordered", "A")
	p.run("w2", "ordered", "A.cb.1")
	p.start("w3", "B")
	p.fault(check.FaultPause, "w3")
	p.claim("w2", "B")
	p.run("w2", "ordered", "B")
	p.healed(check.FaultPause, "w3")
	p.end("w3", "B")
	p.event("w3", history.Event{Kind: history.Reassigned, Job: "B"})
	p.start("w2", "C.1")
	p.event("w2", history.Event{Kind: history.Clock, Off: time.Hour})
	p.end("w2", "C.1")
	p.outcome("w2", "open", "C.1")
	p.run("w2", "open", "C.2")
	p.outcome("w2", "open", "C")
	p.start("w2", "D")
	p.end("w2", "D")
	p.outcome("w2", "open", "D", func(r *task.Record) {
		r.End, r.Failure = task.Failed, &task.Failure{Code: "unauthorized"}
	})
	r := check.Of(p.Run)
	if !r.Held() {
		t.Errorf("violations %v, dull %v", r.Violations, r.Dull)
	}
	want := check.Bite{
		Kills: 1, KillsInJob: 1, Pauses: 1, Reassigned: 1, Again: 2, ClocksSet: 1, ClocksSetInJob: 1,
		Recovery: []time.Duration{4*time.Second + 3*time.Millisecond}, Calm: []time.Duration{3 * time.Millisecond},
	}
	if d := cmp.Diff(want, r.Bite); d != "" {
		t.Error(d)
	}
	if r.Accepted != 4 || r.Outcomes != 4 || r.Ends["unauthorized"] != 1 {
		t.Errorf("accepted %d, outcomes %d, ends %v", r.Accepted, r.Outcomes, r.Ends)
	}
}

func TestEachBreachIsFoundAndNoOther(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		want string
		tell func(*play)
	}{
		{"lost", func(p *play) {
			p.call("open", "A", plain)
			p.start("w1", "A")
		}},
		{"second outcomes", func(p *play) {
			p.call("open", "A", plain)
			p.run("w1", "open", "A")
			p.outcome("w1", "open", "A")
		}},
		{"second outcomes", func(p *play) { // one that changed
			p.call("open", "A", plain)
			p.run("w1", "open", "A")
			was := p.Records[0]
			changed := *was.Record
			changed.Value = []byte{1}
			was.Record = &changed
			p.Earlier = []stream.Standing{was}
		}},
		{"ghosts", func(p *play) { p.run("w1", "open", "A") }},
		{"ghosts", func(p *play) { // of another task
			p.call("open", "A", plain)
			p.outcome("w1", "open", "A", func(r *task.Record) { r.Task = "other" })
		}},
		{"order", func(p *play) {
			p.call("ordered", "A", serial)
			p.call("ordered", "B", serial)
			p.start("w1", "A")
			p.end("w1", "A")
			p.start("w2", "B")
			p.end("w2", "B")
			p.outcome("w1", "ordered", "A")
			p.outcome("w2", "ordered", "B")
		}},
		{"order", func(p *play) { // the other way round
			p.call("ordered", "A", serial)
			p.call("ordered", "B", serial)
			p.run("w1", "ordered", "B")
			p.run("w1", "ordered", "A")
		}},
		{"overlaps", func(p *play) {
			for _, id := range []string{"A", "B", "C"} {
				p.call("limited", id, plain)
				p.start("w1", id)
			}
			for _, id := range []string{"A", "B", "C"} {
				p.end("w1", id)
				p.outcome("w1", "limited", id)
			}
		}},
		{"late outcomes taken", func(p *play) {
			p.call("open", "A", plain)
			p.start("w1", "A")
			p.claim("w2", "A")
			p.start("w2", "A")
			p.end("w1", "A")
			p.outcome("w1", "open", "A")
		}},
		{"late outcomes taken", func(p *play) {
			p.call("open", "A", plain)
			p.run("w1", "open", "A")
			p.claim("w2", "A")
		}},
		{"callbacks missed", func(p *play) {
			p.call("open", "A", history.Shape{Callbacks: 1})
			p.run("w1", "open", "A")
		}},
		{"callbacks missed", func(p *play) { // recorded, and never run
			p.call("open", "A", history.Shape{Callbacks: 1})
			p.run("w1", "open", "A")
			p.outcome("w1", "open", "A.cb.1")
		}},
		{"batches", func(p *play) {
			p.call("open", "A", history.Shape{Members: 2})
			p.run("w1", "open", "A.1")
			p.outcome("w1", "open", "A")
		}},
		{"batches", func(p *play) { // a member runs again
			p.call("open", "A", history.Shape{Members: 1, InOrder: true})
			p.run("w1", "open", "A.1")
			p.start("w2", "A.1")
			p.end("w2", "A.1")
			p.outcome("w2", "open", "A")
		}},
		{"identity", func(p *play) {
			p.call("open", "A", plain)
			p.event("w1", history.Event{Kind: history.Start, Job: "A", User: "/r/bob"})
			p.outcome("w1", "open", "A")
		}},
		{"identity", func(p *play) {
			p.call("open", "A", history.Shape{Fails: "unauthorized"})
			p.start("w1", "A")
			p.event("w1", history.Event{Kind: history.Effect, Job: "A"})
			p.outcome("w1", "open", "A", func(r *task.Record) { r.End, r.Failure = task.Failed, &task.Failure{Code: "unauthorized"} })
		}},
		{"wrong ends", func(p *play) {
			p.call("open", "A", history.Shape{Fails: "doomed"})
			p.run("w1", "open", "A")
		}},
		{"wrong times", func(p *play) {
			p.call("open", "A", plain)
			p.start("w1", "A")
			p.end("w1", "A")
			p.outcome("w1", "open", "A", func(r *task.Record) { r.Ended = p.now.Add(24 * time.Hour) })
		}},
		{"wrong times", func(p *play) {
			p.call("open", "A", plain)
			p.start("w1", "A")
			p.end("w1", "A")
			p.outcome("w1", "open", "A", func(r *task.Record) { r.Started = p.now.Add(-time.Minute) })
		}},
		{"stuck", func(p *play) {
			p.call("open", "A", plain)
			p.run("w1", "open", "A")
			p.Stuck = []string{"A"}
		}},
		{"slow recoveries", func(p *play) {
			p.call("open", "A", plain)
			p.start("w1", "A")
			p.calmKill("w1")
			p.after(3 * time.Second)
			p.run("w2", "open", "A")
		}},
		{"resources", func(p *play) {
			p.event("w1", history.Event{Kind: history.Vitals, Goroutines: 40})
			p.event("w1", history.Event{Kind: history.Vitals, Goroutines: 90}) // it has much to do
			p.event("nemesis", history.Event{Kind: history.Idle})
			p.event("w1", history.Event{Kind: history.Vitals, Goroutines: 60})
		}},
		{"resources", func(p *play) {
			p.event("w1", history.Event{Kind: history.Vitals, Memory: 10 << 20})
			p.event("nemesis", history.Event{Kind: history.Idle})
			p.event("w1", history.Event{Kind: history.Vitals, Memory: 100 << 20})
		}},
	} {
		t.Run(test.want, func(t *testing.T) {
			t.Parallel()
			p := newPlay()
			test.tell(p)
			if d := cmp.Diff(map[string]int{test.want: 1}, p.breaches()); d != "" {
				t.Error(d)
			}
			r := check.Of(p.Run)
			if r.Held() || len(r.Violations[0].History) == 0 {
				t.Errorf("it held, or its violation tells no history: %v", r.Violations)
			}
		})
	}
}

// A paused worker goes on where it was, a killed one ends, and a refused job holds no place.
func TestWhatAFaultExplainsIsNoBreach(t *testing.T) {
	t.Parallel()
	p := newPlay()
	p.call("limited", "A", plain)
	p.call("limited", "B", plain)
	p.call("limited", "C", plain)
	p.start("w1", "A")
	p.fault(check.FaultPause, "w1")
	p.claim("w2", "A")
	p.run("w2", "limited", "A")
	p.start("w2", "B")
	p.start("w3", "C")
	p.healed(check.FaultPause, "w1")
	p.end("w1", "A")
	for _, id := range []string{"B", "C"} {
		by := map[string]string{"B": "w2", "C": "w3"}[id]
		p.end(by, id)
		p.outcome(by, "limited", id)
	}
	p.call("ordered", "D", serial)
	p.event("producer", history.Event{Kind: history.Called, Job: "E", Task: "work", Queue: "ordered", User: alice.String(), Shape: &serial})
	p.event("producer", history.Event{Kind: history.Refused, Job: "E"})
	p.call("ordered", "F", serial)
	p.run("w2", "ordered", "D")
	p.run("w2", "ordered", "F")
	if got := p.breaches(); len(got) > 0 {
		t.Error(got)
	}
}

// A killed server may hand out a job again while it runs: the second attempt is late once the first has its outcome.
func TestASecondAttemptIsExcusedByAKilledServerAlone(t *testing.T) {
	t.Parallel()
	for _, killed := range []bool{true, false} {
		p := newPlay()
		p.call("ordered", "A", serial)
		p.call("ordered", "B", serial)
		p.start("w1", "A")
		if killed {
			p.fault(check.FaultServer, "server-1")
			p.healed(check.FaultServer, "server-1")
		}
		p.start("w2", "A")
		p.end("w1", "A")
		p.outcome("w1", "ordered", "A")
		p.start("w1", "B")
		p.end("w2", "A")
		p.end("w1", "B")
		p.outcome("w1", "ordered", "B")
		if n := p.breaches()["overlaps"]; (n == 0) != killed {
			t.Errorf("a server was killed: %v; %d overlaps", killed, n)
		}
	}
}

func TestARunWhoseFaultsDidNotBiteProvesNothing(t *testing.T) {
	t.Parallel()
	p := newPlay()
	p.Faults = []string{check.FaultKill, check.FaultPause, check.FaultLostAck, check.FaultServer, check.FaultClock}
	p.call("open", "A", plain)
	p.run("w1", "open", "A")
	p.fault(check.FaultKill, "w1")
	p.fault(check.FaultPause, "w2")
	p.fault(check.FaultLostAck, "producer")
	p.fault(check.FaultClock, "w3")
	p.event("w3", history.Event{Kind: history.Clock, Off: time.Hour}) // in no job
	r := check.Of(p.Run)
	if len(r.Violations) > 0 || r.Held() || len(r.Dull) != 7 {
		t.Errorf("held %v, dull %q", r.Held(), r.Dull)
	}
	for _, want := range []string{"no server was done", "fewer than 60 %", "no late outcome", "no clock was set", "without an answer"} {
		if !slices.ContainsFunc(r.Dull, func(s string) bool { return strings.Contains(s, want) }) {
			t.Errorf("%q is not among %q", want, r.Dull)
		}
	}
	if got := fmt.Sprint(r.Table()[0]); got != "[jobs called 1]" {
		t.Error(got)
	}
}
