package task_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/natsasync/natsasync/task"
)

func open(t *testing.T, b []byte) *task.Envelope {
	t.Helper()
	e, err := task.DecodeEnvelope(b)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func sealAs(c task.Callable, by task.Sealing) (*task.Envelope, error) {
	by.Now = monday
	return c.Spec().Seal(by)
}

func TestAJobGoesToTheDefaultsUnlessToldOtherwise(t *testing.T) {
	t.Parallel()
	e, err := sealAs(ping.On("", task.None{}), task.Sealing{User: alice})
	if err != nil {
		t.Fatal(err)
	}
	if e.Queue != "default" || e.Lane != "default" || len(e.ID) != 26 || e.User != alice || !e.Issued.Equal(monday) || !e.NotBefore.IsZero() {
		t.Errorf("%+v", e)
	}
	for lane, opts := range map[string][]task.Option{"free": {task.WithoutQuota()}, "smtp": {task.WithQuota("smtp")}} {
		e, err := sealAs(ping.On("", task.None{}, opts...), task.Sealing{})
		if err != nil || e.Lane != lane {
			t.Errorf("lane %q, %v, want %q", e.Lane, err, lane)
		}
	}
	if e, _ := sealAs(ping.On("", task.None{}, task.WithID("mine")), task.Sealing{}); e.ID != "mine" {
		t.Errorf("ID %q", e.ID)
	}
	if e, _ := sealAs(ping.On("", task.None{}, task.WithID("mine")), task.Sealing{ID: "ours"}); e.ID != "ours" {
		t.Errorf("ID %q", e.ID)
	}
}

func TestDelaysCountFromQueueing(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		opt  task.Option
		want time.Time
	}{
		{task.Delay(time.Hour), monday.Add(time.Hour)},
		{task.NotBefore(monday.Add(time.Minute)), monday.Add(time.Minute)},
		{task.NotBefore(monday), time.Time{}},
		{task.NotBefore(monday.Add(-time.Hour)), time.Time{}},
		{task.Delay(0), time.Time{}},
	} {
		e, err := sealAs(ping.On("", task.None{}, test.opt), task.Sealing{})
		if err != nil || !e.NotBefore.Equal(test.want) {
			t.Errorf("not before %v, %v, want %v", e.NotBefore, err, test.want)
		}
	}
}

func TestMembersAndCallbacksExtendTheIDOfTheirJob(t *testing.T) {
	t.Parallel()
	leaf := ping.On("/leaf", task.None{})
	batch := task.CallOf[task.None](batchOf(task.Serial,
		leaf,
		leaf.Then(leaf),
		batchOf(task.Parallel, leaf, leaf),
	)).Then(leaf)
	e, err := sealAs(batch.With(task.InQueue("docs"), task.WithQuota("smtp")), task.Sealing{ID: "ID", Installation: "site", User: alice})
	if err != nil {
		t.Fatal(err)
	}
	type at struct{ ID, Parent, After, Lane string }
	var got []at
	var walk func(*task.Envelope)
	walk = func(e *task.Envelope) {
		got = append(got, at{e.ID, e.Parent, e.After, e.Lane})
		if e.Queue != "docs" || e.User != alice || e.Installation != "site" || !e.Issued.Equal(monday) {
			t.Errorf("%s does not belong to its job: %+v", e.ID, e)
		}
		for _, b := range slices.Concat(e.Members, e.Callbacks) {
			walk(open(t, b))
		}
	}
	walk(e)
	want := []at{
		{"ID", "", "", "smtp"},
		{"ID.1", "ID", "", "free"},
		{"ID.2", "ID", "", "free"},
		{"ID.2.cb.1", "ID.2.cb", "ID.2", "callbacks"},
		{"ID.3", "ID", "", "free"},
		{"ID.3.1", "ID.3", "", "free"},
		{"ID.3.2", "ID.3", "", "free"},
		{"ID.cb.1", "ID.cb", "ID", "callbacks"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestCallbacksSayWhenTheyRunAndWhatTheyTake(t *testing.T) {
	t.Parallel()
	call := add.On(folder, addArgs{}).OnSuccess(tell).OnFailure(alert.At("/other")).OnDone(audit.At("")).Then(ping.On("", task.None{}))
	e := sealed(call, alice)
	var got []*task.Envelope
	for _, b := range e.Callbacks {
		c := open(t, b)
		got = append(got, &task.Envelope{Task: c.Task, Object: c.Object, When: c.When, Take: c.Take})
	}
	want := []*task.Envelope{
		{Task: "mail.sum", Object: folder, When: task.WhenSucceeded, Take: task.TakeValue},
		{Task: "mail.alert", Object: "/other", When: task.WhenFailed, Take: task.TakeFailure},
		{Task: "audit.log", Object: "", When: task.WhenDone, Take: task.TakeOutcome},
		{Task: "ping", Object: "", When: task.WhenDone, Take: task.TakeNothing},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	e, err := sealAs(task.Spec{Task: "x", Object: folder, Callbacks: []task.Spec{{Task: "y", Object: "/other", When: task.WhenDone}, {Task: "z", When: task.WhenDone}}}, task.Sealing{})
	if err != nil {
		t.Fatal(err)
	}
	if a, b := open(t, e.Callbacks[0]).Object, open(t, e.Callbacks[1]).Object; a != "/other" || b != folder {
		t.Errorf("callbacks of a spec are on %q and %q", a, b)
	}
	late := task.Follow(tell.At("/x"), task.WhenSucceeded, task.TakeValue)
	if late.Task != "mail.sum" || late.Object != "/x" || late.When != task.WhenSucceeded || late.Take != task.TakeValue {
		t.Errorf("followed later: %+v", late)
	}
}

func TestWhenACallbackRuns(t *testing.T) {
	t.Parallel()
	for when, ends := range map[task.When][]task.End{
		task.WhenSucceeded: {task.Succeeded}, task.WhenFailed: {task.Failed}, task.WhenDone: {task.Succeeded, task.Failed}, 0: nil,
	} {
		for _, end := range []task.End{task.Succeeded, task.Failed, task.Cancelled} {
			if got, want := when.Runs(end), slices.Contains(ends, end); got != want {
				t.Errorf("%d after %s: %v", when, end, got)
			}
		}
	}
}

func TestQuotasInsideAJobAreRefusedByName(t *testing.T) {
	t.Parallel()
	for want, opt := range map[string]task.Option{
		`queue "mail"`: task.InQueue("mail"), `quota "smtp"`: task.WithQuota("smtp"), "delay": task.Delay(time.Second), "delay of ping": task.NotBefore(monday.Add(time.Hour)),
		"start-within": task.StartWithin(time.Minute), `id "x"`: task.WithID("x"),
	} {
		inner := ping.On("", task.None{}, opt)
		for where, outer := range map[string]task.Callable{
			"member 1":   batchOf(task.Serial, inner),
			"callback 1": ping.On("", task.None{}).Then(inner),
			"member 2":   batchOf(task.Parallel, ping.On("", task.None{}), batchOf(task.Serial, inner)),
		} {
			_, err := sealAs(outer, task.Sealing{})
			if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), where) || !strings.Contains(err.Error(), "ping") {
				t.Errorf("%v, want %s and %s", err, where, want)
			}
		}
		if _, err := sealAs(inner, task.Sealing{Queue: "docs", Parent: "P"}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("continuation: %v, want %s", err, want)
		}
	}
	same := ping.On("", task.None{}, task.InQueue("docs"))
	if _, err := sealAs(task.CallOf[task.None](batchOf(task.Serial, same)).With(task.InQueue("docs")), task.Sealing{}); err != nil {
		t.Errorf("the queue of the job itself: %v", err)
	}
}

func TestWhereATaskRunsByDefaultDoesNotCountInsideAJob(t *testing.T) {
	t.Parallel()
	p := task.Policy{Attempts: 3}
	d := task.Define[task.None, task.None]("x", task.InQueue("mail"), task.WithQuota("smtp"), task.Delay(time.Hour), task.StartWithin(time.Hour), task.Keep(time.Hour), task.Timeout(time.Minute), task.Retry(p))
	e, err := sealAs(batchOf(task.Serial, d.On("", task.None{})), task.Sealing{ID: "ID"})
	if err != nil {
		t.Fatal(err)
	}
	want := &task.Envelope{ID: "ID.1", Parent: "ID", Queue: "default", Lane: "free", Task: "x", Issued: monday, Timeout: time.Minute, Retry: &p}
	if diff := cmp.Diff(want, open(t, e.Members[0])); diff != "" {
		t.Errorf("member (-want +got):\n%s", diff)
	}
	got, err := sealAs(d.On("", task.None{}), task.Sealing{ID: "C", Parent: "P", Queue: "docs"})
	if err != nil {
		t.Fatal(err)
	}
	want.ID, want.Parent, want.Queue = "C", "P", "docs"
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("continuation (-want +got):\n%s", diff)
	}
}

func TestWhatIsWrongAnywhereIsTold(t *testing.T) {
	t.Parallel()
	ok := ping.On("", task.None{})
	deep := task.Callable(ok)
	for range 20 {
		deep = batchOf(task.Serial, deep)
	}
	chain := ok
	for range 20 {
		chain = ok.Then(chain)
	}
	many := ok
	for range 33 {
		many = many.Then(ok)
	}
	type cyclic struct{ Next *cyclic }
	loop := &cyclic{}
	loop.Next = loop
	for _, test := range []struct {
		call task.Callable
		want string
	}{
		{add.On("/a/../b", addArgs{}), `object "/a/../b"`},
		{ok.OnDone(audit.At("/a//b")), `callback 1: object "/a//b"`},
		{batchOf(task.Serial, ok, add.On("x", addArgs{})), `member 2: object "x"`},
		{task.Define[chan int, int]("x").On("", make(chan int)), "input of x: encode chan int"},
		{task.Define[task.Raw, int]("x").On("", task.Raw{0xc1}), "input of x: "},
		{ok.Then(task.Define[func(), int]("y").On("", nil)), "callback 1: input of y"},
		{task.Define[*cyclic, int]("x").On("", loop), "input of x: encode *task_test.cyclic: task: wire: .Next.Next"},
		{task.Spec{Task: "Bad"}, `name "Bad"`},
		{task.Spec{Task: "x\ny", Callbacks: []task.Spec{{Task: "a\nb"}}}, `name "x\ny"`},
		{task.Spec{Task: "x", Callbacks: []task.Spec{{Task: "a\nb", Options: task.Options{Quota: "q"}}}}, `name "a\nb"`},
		{task.Spec{Task: "x", Members: []task.Spec{{Task: "y"}}}, "members of"},
		{task.Spec{Task: "x", Mode: task.Serial}, "use package batch"},
		{task.Spec{Task: "x", Mode: 9}, "use package batch"},
		{task.Spec{Task: "x", Input: []byte{0xc1}}, "input of x"},
		{task.Spec{Task: "x", Input: append(slices.Repeat([]byte{0x91}, 33), 0xc0)}, "input of x"},
		{deep, "nested deeper than 16"},
		{chain, "nested deeper than 16"},
		{many, "callbacks of ping: 33 are too many (at most 32)"},
		{batchOf(task.Parallel, slices.Repeat([]task.Callable{ok}, 1001)...), "members: 1001 are too many (at most 1000)"},
	} {
		_, err := sealAs(test.call, task.Sealing{})
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%v, want %s", err, test.want)
			continue
		}
		if strings.Contains(err.Error(), "\n") {
			t.Errorf("the error has two lines: %q", err)
		}
	}
	for want, u := range map[string]task.User{
		"user id": {Realm: "ldap"}, "user realm": {Realm: strings.Repeat("r", 257), ID: "a"}, `user id "a\nb"`: {ID: "a\nb"}, "UTF-8": {ID: "\xff"}, "format": {ID: "a\u202Eb"},
	} {
		if _, err := sealAs(ok, task.Sealing{User: u}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %s", u, err, want)
		}
	}
}

func TestWhatIsTooLargeIsRefusedBeforeItIsSent(t *testing.T) {
	t.Parallel()
	blob := task.Define[[]byte, task.None]("blob")
	if _, err := sealAs(blob.On("", make([]byte, task.MaxEnvelope-1024)), task.Sealing{}); err != nil {
		t.Errorf("just below the limit: %v", err)
	}
	half := blob.On("", make([]byte, 100<<10))
	for name, call := range map[string]task.Callable{
		"input":     blob.On("", make([]byte, task.MaxEnvelope)),
		"raw":       task.Spec{Task: "x", Input: slices.Concat([]byte{0xc6, 0, 4, 0, 0}, make([]byte, task.MaxEnvelope))},
		"callbacks": half.Then(half, half),
		"members":   batchOf(task.Serial, half, half, half),
		"nested":    batchOf(task.Serial, batchOf(task.Parallel, half), batchOf(task.Parallel, half), half),
	} {
		if _, err := sealAs(call, task.Sealing{}); !errors.Is(err, task.ErrTooLarge) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSealedJobsFitTheLimitOfWhoeverReadsThem(t *testing.T) {
	t.Parallel()
	blob := task.Define[[]byte, task.None]("blob")
	for n := task.MaxEnvelope - 400; n < task.MaxEnvelope; n++ {
		e, err := sealAs(blob.On("", make([]byte, n)), task.Sealing{User: alice})
		if err != nil {
			continue
		}
		if b := e.Encode(); len(b) > task.MaxEnvelope {
			t.Fatalf("an envelope of %d bytes was sealed", len(b))
		}
	}
}

func TestSealingTwiceMakesTwoJobsOfOneSpec(t *testing.T) {
	t.Parallel()
	s := batchOf(task.Serial, ping.On("", task.None{}), ping.On("", task.None{}))
	a, err := sealAs(s, task.Sealing{ID: "A"})
	if err != nil {
		t.Fatal(err)
	}
	b, err := sealAs(s, task.Sealing{ID: "B"})
	if err != nil {
		t.Fatal(err)
	}
	if len(a.Members) != 2 || len(b.Members) != 2 || open(t, a.Members[0]).ID != "A.1" || open(t, b.Members[0]).ID != "B.1" {
		t.Error("the second job shares members with the first")
	}
}

func TestAnInputOfNoBytesIsNoInput(t *testing.T) {
	t.Parallel()
	e, err := sealAs(task.Spec{Task: "x", Input: []byte{}}, task.Sealing{})
	if err != nil {
		t.Fatal(err)
	}
	if got := open(t, e.Encode()); got.Input != nil {
		t.Errorf("input %x", got.Input)
	}
}
