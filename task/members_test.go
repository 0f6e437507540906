package task_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/natsasync/natsasync/task"
)

// family is a job with everything inside it that a job can have.
func family(t *testing.T) *task.Envelope {
	t.Helper()
	say := func(name string) task.Spec { return task.Spec{Task: name, Input: []byte{0xc0}} }
	after := func(name string) task.Spec { c := say(name); c.When = task.WhenDone; return c }
	inner := task.Spec{Task: task.ParallelBatch, Mode: task.Parallel, Members: []task.Spec{say("a"), say("b")}, Callbacks: []task.Spec{after("c")}}
	follows := after("d")
	follows.Callbacks = []task.Spec{after("e")}
	e, err := sealAs(task.Spec{
		Task: task.SerialBatch, Mode: task.Serial, Members: []task.Spec{inner, say("f")}, Callbacks: []task.Spec{follows, after("g")},
	}, task.Sealing{ID: "JOB", Installation: "INST", User: alice})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// change gives the call at a path of members (and of callbacks, as negative numbers) other contents.
func change(t *testing.T, e *task.Envelope, do func(*task.Envelope), path ...int) *task.Envelope {
	t.Helper()
	if len(path) == 0 {
		do(e)
		return e
	}
	list, n := &e.Members, path[0]
	if n < 0 {
		list, n = &e.Callbacks, -n
	}
	*list = slices.Clone(*list)
	(*list)[n-1] = change(t, open(t, (*list)[n-1]), do, path[1:]...).Encode()
	return e
}

// callbacksOf is the batch that a worker makes of a job's callbacks, as it runs after a success.
func callbacksOf(e *task.Envelope, which ...int) *task.Envelope {
	cb := &task.Envelope{
		Installation: e.Installation, ID: e.ID + ".cb", Parent: e.ID, After: e.ID, Queue: e.Queue, Lane: task.LaneCallbacks,
		User: e.User, Task: task.CallbackBatch, Mode: task.Serial, Issued: e.Issued,
	}
	for _, n := range which {
		cb.Members = append(cb.Members, e.Callbacks[n-1])
	}
	return cb
}

func TestWhatAProducerAndAWorkerMakeIsTaken(t *testing.T) {
	t.Parallel()
	e := family(t)
	late := &task.Envelope{ID: "LATE", Parent: "OTHER", After: "JOB.1.2", Queue: "default", Lane: task.LaneCallbacks, Task: "a", Issued: monday}
	queued := &task.Envelope{ID: "QUEUED", Parent: "JOB.1", Queue: "mail", Lane: "smtp", Task: "a", Issued: monday, Keep: time.Hour}
	for _, e := range []*task.Envelope{
		e, open(t, e.Members[0]), open(t, open(t, e.Members[0]).Members[1]), late, queued,
		callbacksOf(e, 1, 2), callbacksOf(e, 2), callbacksOf(open(t, e.Members[0]), 1), callbacksOf(open(t, e.Callbacks[0]), 1),
	} {
		if err := open(t, e.Encode()).CheckCalls(true); err != nil {
			t.Errorf("%s: %v", e.ID, err)
		}
	}
	unread := change(t, family(t), func(m *task.Envelope) { m.Installation = "" }, 2)
	if err := unread.CheckCalls(false); err != nil {
		t.Errorf("one whose producer cannot read the installation: %v", err)
	}
}

func TestWhatNoProducerPutsIntoAJobIsRefused(t *testing.T) {
	t.Parallel()
	set := func(id, lane string) func(*task.Envelope) {
		return func(m *task.Envelope) { m.ID, m.Lane = id, lane }
	}
	for _, test := range []struct {
		name, code, says string
		e                *task.Envelope
	}{
		{"a member with its job's ID", "members", `member 1: field "id"`, change(t, family(t), set("JOB", "free"), 1)},
		{"a member with its neighbour's ID", "members", `member 2: field "id"`, change(t, family(t), set("JOB.1", "free"), 2)},
		{"a member of another job", "members", `member 1: field "id"`, change(t, family(t), set("OTHER.1", "free"), 1)},
		{"a member that is its job's callbacks", "members", `member 1: field "id"`, change(t, family(t), set("JOB.cb", "callbacks"), 1)},
		{"a member of a member", "members", `member 1: member 2: field "id"`, change(t, family(t), set("JOB.1", "free"), 1, 2)},
		{"a callback with its job's ID", "members", `callback 1: field "id"`, change(t, family(t), set("JOB", "callbacks"), -1)},
		{"a member in another lane", "members", `member 2: field "l"`, change(t, family(t), set("JOB.2", "default"), 2)},
		{"a member for later", "members", `member 2: field "l"`, change(t, family(t), set("JOB.2", "later"), 2)},
		{"a callback in another lane", "members", `callback 1: field "l"`, change(t, family(t), set("JOB.cb.1", "free"), -1)},
		{"a member in another queue", "members", `field "q"`, change(t, family(t), func(m *task.Envelope) { m.Queue = "mail" }, 1, 1)},
		{"a member of another user", "members", `field "u"`, change(t, family(t), func(m *task.Envelope) { m.User = bob }, 1, 1)},
		{"a callback of another user", "members", `field "u"`, change(t, family(t), func(m *task.Envelope) { m.User = bob }, -1, -1)},
		{"a member of another installation", "members", `field "ns"`, change(t, family(t), func(m *task.Envelope) { m.Installation = "X" }, 2)},
		{"a member of no installation", "members", `field "ns"`, change(t, family(t), func(m *task.Envelope) { m.Installation = "" }, 2)},
		{"a member without a parent", "members", `field "p"`, change(t, family(t), func(m *task.Envelope) { m.Parent = "" }, 2)},
		{"a member that follows another job", "members", `field "a"`, change(t, family(t), func(m *task.Envelope) { m.After = "OTHER" }, 2)},
		{"a callback that follows another job", "members", `field "a"`, change(t, family(t), func(m *task.Envelope) { m.After = "OTHER" }, -1)},
		{"a member with a date", "members", `"nb"`, change(t, family(t), func(m *task.Envelope) { m.NotBefore = monday }, 2)},
		{"a member that is kept shortly", "members", `"kp"`, change(t, family(t), func(m *task.Envelope) { m.Keep = time.Hour }, 2)},
		{"a member that is a batch of callbacks", "members", `field "t"`, change(t, family(t), func(m *task.Envelope) { m.Task = task.CallbackBatch; m.Mode = task.Serial }, 2)},
		{"a job that is a batch of callbacks", "members", `field "t"`, change(t, family(t), func(e *task.Envelope) { e.Task = task.CallbackBatch })},
		{"a job that follows itself", "members", `field "a"`, change(t, family(t), func(e *task.Envelope) { e.Lane, e.After = "callbacks", "JOB" })},
		{"a job that follows its member", "members", `field "a"`, change(t, family(t), func(e *task.Envelope) { e.Lane, e.After = "callbacks", "JOB.1" })},
		{"a job that follows another, in a quota", "members", `field "a"`, change(t, family(t), func(e *task.Envelope) { e.After = "OTHER" })},
		{"a job among callbacks that follows none", "missing", `field "a"`, change(t, family(t), func(e *task.Envelope) { e.Lane = "callbacks" })},
		{"a member by itself, in a quota", "members", `field "l"`, change(t, open(t, family(t).Members[1]), func(m *task.Envelope) { m.Lane = "default" })},
		{"callbacks that are no batch of callbacks", "members", `field "t"`, change(t, callbacksOf(family(t), 1), func(e *task.Envelope) { e.Task = task.SerialBatch })},
		{"callbacks of another job", "members", `field "a"`, change(t, callbacksOf(family(t), 1), func(e *task.Envelope) { e.After = "OTHER" })},
		{"the same callback twice", "members", `member 2: field "id"`, callbacksOf(family(t), 2, 2)},
		{"callbacks in another order", "members", `member 2: field "id"`, callbacksOf(family(t), 2, 1)},
	} {
		err := test.e.CheckCalls(true)
		if codeOf(err) != test.code || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: %v (%s), want %s with code %s", test.name, err, codeOf(err), test.says, test.code)
		}
	}
	garbage := family(t)
	garbage.Members[1] = []byte{0xc1}
	if err := garbage.CheckCalls(true); codeOf(err) != "format" || !strings.Contains(err.Error(), "member 2: ") {
		t.Errorf("a member of garbage: %v", err)
	}
	tomorrows := family(t)
	tomorrows.Callbacks[0] = mapOf("v", 2)
	if err := tomorrows.CheckCalls(true); codeOf(err) != "version" || !task.Later(err) {
		t.Errorf("a callback of a later version: %v", err)
	}
}

func TestJobsThatAreNestedDeeperThanAProducerNestsThemAreRefused(t *testing.T) {
	t.Parallel()
	nested := func(levels int) *task.Envelope {
		id := "JOB" + strings.Repeat(".1", levels)
		e := &task.Envelope{ID: id, Parent: strings.TrimSuffix(id, ".1"), Queue: "default", Lane: "free", Task: "a", Issued: monday}
		for range levels {
			outer := &task.Envelope{ID: strings.TrimSuffix(e.ID, ".1"), Queue: "default", Lane: "free", Task: task.SerialBatch, Mode: task.Serial, Issued: monday}
			outer.Members = [][]byte{e.Encode()}
			if !task.Whole(outer.ID) {
				outer.Parent = strings.TrimSuffix(outer.ID, ".1")
			}
			e = outer
		}
		return e
	}
	if err := nested(16).CheckCalls(false); err != nil {
		t.Errorf("16 deep: %v", err)
	}
	if err := nested(17).CheckCalls(false); codeOf(err) != "depth" {
		t.Errorf("17 deep: %v", err)
	}
}

func TestARecordListsItsOwnMembersAlone(t *testing.T) {
	t.Parallel()
	record := func(id string, members ...string) []byte {
		r := task.Record{Outcome: task.Outcome{ID: id, End: task.Succeeded}, Mode: task.Serial, Members: members}
		return r.Encode()
	}
	for _, own := range [][]string{{"A"}, {"A", "A.1", "A.2"}, {"A.cb", "A.cb.2", "A.cb.5"}, {"A.2", "A.2.1"}, {"A", "CONTINUED.1", "CONTINUED.2"}, {"A.1", "CONTINUED.1"}} {
		if _, err := task.DecodeRecord(record(own[0], own[1:]...)); err != nil {
			t.Errorf("%q: %v", own, err)
		}
	}
	for _, not := range [][]string{
		{"A", "A"},
		{"A", "A.1", "A.1"},
		{"A", "A.2", "A.1"},
		{"A", "A.1", "B.2"},
		{"A.1", "A.1"},
		{"A.1", "A.2"},
		{"A", "A.1.1"},
		{"A", "B"},
		{"A", "B.1.1"},
		{"A", "*.1"},
		{"A", "A.*"},
		{"A", "A.cb"},
		{"A", "A.01"},
		{"A", "A.1001"},
		{"A", ""},
	} {
		if _, err := task.DecodeRecord(record(not[0], not[1:]...)); codeOf(err) != "members" {
			t.Errorf("%q: %v", not, err)
		}
	}
}
