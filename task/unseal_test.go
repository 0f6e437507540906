package task_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/natsasync/natsasync/task"
)

// What a gateway makes of an envelope is the same job, but for its parent: of whoever asks it does not know what they run.
func TestTheCallOfAnEnvelopeMakesTheSameJob(t *testing.T) {
	t.Parallel()
	call := add.On(folder, addArgs{A: 1, B: 2}, task.InQueue("docs"), task.WithQuota("smtp"), task.WithID("mine"),
		task.NotBefore(monday.Add(time.Hour)), task.StartWithin(time.Minute), task.Timeout(time.Second), task.Keep(time.Hour),
		task.Retry(task.Policy{Attempts: 3, Delay: time.Second})).OnSuccess(tell)
	for story, by := range map[string]task.Sealing{
		"queued by an application": {User: alice, Installation: "INST"},
		"queued by a handler":      {User: alice, Installation: "INST", Parent: "outer"},
	} {
		want, err := sealAs(call, by)
		if err != nil {
			t.Fatal(err)
		}
		again, err := want.Call()
		if err != nil {
			t.Fatalf("%s: %v", story, err)
		}
		by.Parent, by.Now = "", monday
		got, err := again.Seal(by)
		if err != nil {
			t.Fatalf("%s: %v", story, err)
		}
		want.Parent = ""
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: (-want +got):\n%s", story, diff)
		}
	}
}

func TestACallInsideAJobIsNoneOfAProducer(t *testing.T) {
	t.Parallel()
	seal := func(change func(*task.Envelope)) *task.Envelope {
		e, err := sealAs(add.On(folder, addArgs{}).With(task.WithID("mine")), task.Sealing{User: alice})
		if err != nil {
			t.Fatal(err)
		}
		change(e)
		return e
	}
	whole := seal(func(e *task.Envelope) { e.ID, e.Parent = "other", "mine" })
	orphan := seal(func(e *task.Envelope) { e.ID = "mine.cb.1" })
	for want, e := range map[string]*task.Envelope{
		`"mine.1" is that of a call inside a job`: seal(func(e *task.Envelope) { e.ID, e.Parent = "mine.1", "mine" }),
		`"mine.2" is that of a call inside a job`: seal(func(e *task.Envelope) { e.ID = "mine.2" }),
		`callback 1: task: wire: field "id"`:      seal(func(e *task.Envelope) { e.Callbacks = [][]byte{whole.Encode()} }),
		`callback 1: task: wire: field "p"`:       seal(func(e *task.Envelope) { e.Callbacks = [][]byte{orphan.Encode()} }),
	} {
		if _, err := e.Call(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %s: %v", want, err)
		}
	}
}
