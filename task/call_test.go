package task_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/natsasync/natsasync/task"
)

func TestACallCanBeReused(t *testing.T) {
	t.Parallel()
	base := add.On(folder, addArgs{A: 40, B: 2}).OnSuccess(tell)
	before := sealed(base, alice).Encode()
	base.OnSuccess(tell)
	base.OnFailure(alert)
	base.OnDone(audit)
	base.Then(ping.On("", task.None{}))
	base.With(task.InQueue("other"), task.Timeout(time.Second), task.Retry(task.Policy{Attempts: 2}))
	if after := sealed(base, alice).Encode(); !bytes.Equal(before, after) {
		t.Error("a call changed that something was made of")
	}
	one, two := base.OnFailure(alert), base.OnDone(audit) // both append to the same callbacks
	if got := open(t, sealed(one, alice).Callbacks[1]).Task; got != "mail.alert" {
		t.Errorf("the first copy now has the callback %q of the second", got)
	}
	if got := open(t, sealed(two, alice).Callbacks[1]).Task; got != "audit.log" {
		t.Errorf("the second copy has the callback %q", got)
	}
}

func TestADefinitionIsItsName(t *testing.T) {
	t.Parallel()
	if add.Name() != "math.add" {
		t.Error(add.Name())
	}
	s := add.On(folder, addArgs{A: 1, B: 2}).Spec()
	if got := task.CallOf[int](s).Spec(); got.Task != s.Task || !bytes.Equal(got.Input, s.Input) || got.Object != s.Object {
		t.Errorf("%+v", got)
	}
	if s := ping.On("", task.None{}).Spec(); s.Input != nil {
		t.Errorf("none is sent as %x", s.Input)
	}
	want := []byte(task.Raw{0x93, 1, 2, 3})
	if s := task.Define[task.Raw, int]("x").On("", want).Spec(); !bytes.Equal(s.Input, want) {
		t.Errorf("raw is sent as %x", s.Input)
	}
}
