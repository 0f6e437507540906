package batch_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/natsasync/natsasync/batch"
	"github.com/natsasync/natsasync/task"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	create = task.Define[string, string]("doc.create", task.InQueue("docs"), task.WithQuota("disk"))
	count  = task.Define[batch.Results, task.None]("doc.count")
)

func seal(t testing.TB, c task.Callable) (*task.Envelope, error) {
	t.Helper()
	return c.Spec().Seal(task.Sealing{ID: "B", User: task.User{ID: "alice"}, Now: time.Unix(1700000000, 0)})
}

func TestMembersKeepTheirOrderAndNest(t *testing.T) {
	t.Parallel()
	e, err := seal(t, batch.Serial(create.On("/a", "one"), batch.Parallel(create.On("/b", "two"), create.On("/c", "three")), create.On("/d", "four")))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"B batch.serial 1 ", "B.1 doc.create 0 /a", "B.2 batch.parallel 2 ", "B.2.1 doc.create 0 /b", "B.2.2 doc.create 0 /c", "B.3 doc.create 0 /d",
	}
	if diff := cmp.Diff(want, outline(t, e)); diff != "" {
		t.Errorf("the tree of calls (-want +got):\n%s", diff)
	}
}

func outline(t testing.TB, e *task.Envelope) []string {
	t.Helper()
	lines := []string{fmt.Sprintf("%s %s %d %s", e.ID, e.Task, e.Mode, e.Object)}
	for _, b := range e.Members {
		m, err := task.DecodeEnvelope(b)
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, outline(t, m)...)
	}
	return lines
}

func TestAnyNumberOfMembersIsSealedInOrder(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		inputs := rapid.SliceOfN(rapid.StringN(0, 20, 60), 0, 40).Draw(rt, "inputs")
		calls := make([]task.Callable, len(inputs))
		for i, in := range inputs {
			calls[i] = create.On("/a", in)
		}
		e, err := seal(t, batch.Parallel(calls...))
		if err != nil {
			rt.Fatal(err)
		}
		if len(e.Members) != len(inputs) {
			rt.Fatalf("%d members of %d calls", len(e.Members), len(inputs))
		}
		for i, b := range e.Members {
			m, err := task.DecodeEnvelope(b)
			if err != nil {
				rt.Fatal(err)
			}
			var got string
			if err := task.Unmarshal(m.Input, &got); err != nil {
				rt.Fatal(err)
			}
			if want := task.MemberID("B", i+1); got != inputs[i] || m.ID != want {
				rt.Fatalf("member %d is %s with %q, want %s with %q", i, m.ID, got, want, inputs[i])
			}
		}
	})
}

func TestNoCallsMakeABatchWithoutMembers(t *testing.T) {
	t.Parallel()
	for _, call := range []task.Call[batch.Results]{batch.Serial(), batch.Parallel()} {
		e, err := seal(t, call)
		if err != nil {
			t.Errorf("an empty %s: %v", call.Spec().Task, err)
		} else if len(e.Members) != 0 {
			t.Errorf("an empty %s has %d members", call.Spec().Task, len(e.Members))
		}
	}
}

func TestTheBatchHasTheQueueAndItsMembersHaveNoneOfTheirOwn(t *testing.T) {
	t.Parallel()
	e, err := seal(t, batch.Serial(create.On("/a", "x")).With(task.InQueue("mail")).OnSuccess(count))
	if err != nil {
		t.Fatal(err)
	}
	m, err := task.DecodeEnvelope(e.Members[0])
	if err != nil {
		t.Fatal(err)
	}
	if e.Queue != "mail" || e.Lane != "default" || m.Queue != "mail" || m.Lane != "free" {
		t.Errorf("batch in %s/%s, member in %s/%s; want mail/default and mail/free", e.Queue, e.Lane, m.Queue, m.Lane)
	}
	if len(e.Callbacks) != 1 {
		t.Errorf("the batch has %d callbacks, want 1", len(e.Callbacks))
	}
}

func TestWhatAMemberCannotHaveIsNamed(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		option task.Option
		says   string
	}{
		{task.InQueue("other"), "InQueue"},
		{task.WithQuota("disk"), "WithQuota"},
		{task.Delay(time.Minute), "Delay"},
		{task.StartWithin(time.Minute), "start deadline"},
		{task.WithID("mine"), "WithID"},
	} {
		_, err := seal(t, batch.Parallel(create.On("/a", "x"), create.On("/a", "x").With(c.option)))
		if err == nil || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), "member 2") {
			t.Errorf("a member with %s: error %v; want one that names member 2 and %q", c.says, err, c.says)
		}
	}
}

func TestMakingABatchLeavesItsCallsAlone(t *testing.T) {
	t.Parallel()
	calls := []task.Callable{create.On("/a", "x"), create.On("/b", "y")}
	first := batch.Serial(calls...)
	calls[0] = create.On("/z", "z")
	if got := first.Spec().Members[0].Object; got != "/a" {
		t.Errorf("the first member works on %s after the caller's slice changed, want /a", got)
	}
}

func outcomes(t testing.TB) batch.Results {
	t.Helper()
	value, err := task.Marshal("/plone/folder/foo")
	if err != nil {
		t.Fatal(err)
	}
	return batch.Results{
		{ID: "B.1", Task: "doc.create", End: task.Succeeded, Value: value},
		{ID: "B.2", Task: "doc.submit", End: task.Failed, Failure: &task.Failure{Code: "unauthorized", Message: "alice may not submit"}},
		{ID: "B.3", Task: "doc.index", End: task.Cancelled},
		{ID: "B.4", Task: "doc.index", End: task.Failed, Failure: &task.Failure{Code: "out_of_space", Message: "the disk is full"}},
	}
}

func TestResultsTravelAsAValue(t *testing.T) {
	t.Parallel()
	for _, want := range []batch.Results{{}, outcomes(t)} {
		value, err := task.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		got, err := task.Result[batch.Results](task.Outcome{ID: "B", End: task.Succeeded, Value: value})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("results after the wire (-want +got):\n%s", diff)
		}
	}
}

func TestErrJoinsWhatDidNotSucceedInOrder(t *testing.T) {
	t.Parallel()
	err := outcomes(t).Err()
	want := "batch: member 2: alice may not submit\nbatch: member 3: the job was cancelled\nbatch: member 4: the disk is full"
	if err == nil || err.Error() != want {
		t.Fatalf("error %v, want %s", err, want)
	}
	for _, target := range []error{task.ErrUnauthorized, task.ErrCancelled, task.Fail("out_of_space", "")} {
		if !errors.Is(err, target) {
			t.Errorf("%v is not %v", err, target)
		}
	}
	if errors.Is(err, task.ErrTimeout) {
		t.Errorf("%v is a timeout", err)
	}
}

func TestErrIsNilWhenAllSucceeded(t *testing.T) {
	t.Parallel()
	for _, r := range []batch.Results{nil, {}, outcomes(t)[:1]} {
		if err := r.Err(); err != nil {
			t.Errorf("%d results: %v", len(r), err)
		}
	}
}
