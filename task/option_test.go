package task_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/natsasync/natsasync/task"
)

func effective(c task.Callable) task.Options { return c.Spec().Effective() }

func TestTheLastOptionWins(t *testing.T) {
	t.Parallel()
	got := effective(ping.On("", task.None{}, task.InQueue("a"), task.Timeout(time.Second)).With(
		task.InQueue("b"), task.Timeout(time.Minute), nil, task.Delay(time.Hour), task.NotBefore(monday),
	))
	want := task.Options{Queue: "b", Timeout: time.Minute, NotBefore: monday}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(task.Options{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := effective(ping.On("", task.None{}, task.NotBefore(monday), task.Delay(time.Hour))); !got.NotBefore.IsZero() || got.Delay != time.Hour {
		t.Errorf("delay after not-before: %+v", got)
	}
}

func TestOptionsOfACallWinOverThoseOfItsTask(t *testing.T) {
	t.Parallel()
	p, q := task.Policy{Attempts: 3}, task.Policy{Attempts: 9}
	d := task.Define[task.None, task.None]("x", task.InQueue("docs"), task.WithQuota("smtp"), task.Timeout(time.Minute), task.Retry(p), task.Keep(time.Hour), task.Delay(time.Hour), task.StartWithin(time.Hour))
	defaults := task.Options{Queue: "docs", Quota: "smtp", Timeout: time.Minute, Retry: &p, Keep: time.Hour, Delay: time.Hour, StartWithin: time.Hour}
	ignore := cmpopts.IgnoreUnexported(task.Options{})
	if diff := cmp.Diff(defaults, effective(d.On("", task.None{})), ignore); diff != "" {
		t.Errorf("defaults (-want +got):\n%s", diff)
	}
	got := effective(d.On("", task.None{}, task.InQueue("mail"), task.WithoutQuota(), task.Timeout(time.Second), task.Retry(q), task.Keep(2*time.Hour), task.NotBefore(monday), task.StartWithin(time.Second), task.WithID("one")))
	want := task.Options{ID: "one", Queue: "mail", NoQuota: true, Timeout: time.Second, Retry: &q, Keep: 2 * time.Hour, NotBefore: monday, StartWithin: time.Second}
	if diff := cmp.Diff(want, got, ignore); diff != "" {
		t.Errorf("call (-want +got):\n%s", diff)
	}
	free := task.Define[task.None, task.None]("y", task.WithoutQuota())
	if got := effective(free.On("", task.None{}, task.WithQuota("smtp"))); got.NoQuota || got.Quota != "smtp" {
		t.Errorf("a quota over none: %+v", got)
	}
}

func TestBadOptionsAreToldWhenTheCallIsQueued(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		opts []task.Option
		want string
	}{
		{[]task.Option{task.InQueue("Mail.Out")}, `queue "Mail.Out"`},
		{[]task.Option{task.InQueue("")}, `queue ""`},
		{[]task.Option{task.WithQuota("a b")}, `quota "a b"`},
		{[]task.Option{task.WithQuota("a"), task.WithQuota("b")}, `a job holds one quota`},
		{[]task.Option{task.WithoutQuota(), task.WithQuota("a")}, `leave WithoutQuota out`},
		{[]task.Option{task.WithQuota("a"), task.WithoutQuota()}, `leave one of both out`},
		{[]task.Option{task.WithQuota("free")}, ""},
		{[]task.Option{task.WithQuota("callbacks")}, "reserved"},
		{[]task.Option{task.WithQuota("later")}, "reserved"},
		{[]task.Option{task.WithQuota("system")}, "reserved"},
		{[]task.Option{task.WithID("a.b")}, `id "a.b"`},
		{[]task.Option{task.WithID("")}, `id ""`},
		{[]task.Option{task.NotBefore(time.Time{})}, "not-before"},
		{[]task.Option{task.NotBefore(monday.AddDate(11, 0, 0))}, "not-before"},
		{[]task.Option{task.Delay(-1)}, "delay -1ns"},
		{[]task.Option{task.Delay(1 << 62)}, "delay"},
		{[]task.Option{task.StartWithin(0)}, "start-within 0s"},
		{[]task.Option{task.Timeout(-time.Second)}, "timeout -1s"},
		{[]task.Option{task.Timeout(time.Microsecond)}, "timeout 1µs"},
		{[]task.Option{task.Keep(time.Minute)}, "keep 1m0s"},
		{[]task.Option{task.Keep(9 * 24 * time.Hour)}, "keep 216h0m0s"},
		{[]task.Option{task.Retry(task.Policy{Attempts: -1})}, "retry attempts -1"},
		{[]task.Option{task.Retry(task.Policy{Attempts: math.MaxInt32})}, "retry attempts"},
		{[]task.Option{task.Retry(task.Policy{Delay: -1})}, "retry delay"},
		{[]task.Option{task.Retry(task.Policy{MaxDelay: -1})}, "retry max delay"},
		{[]task.Option{task.Retry(task.Policy{Delay: 2, MaxDelay: 1})}, "retry max delay"},
		// The first mistake is told, not hidden by what comes after it.
		{[]task.Option{task.InQueue("Bad"), task.InQueue("good")}, `queue "Bad"`},
	} {
		_, err := ping.On("", task.None{}, test.opts...).Spec().Seal(task.Sealing{Now: monday})
		if test.want == "" {
			if err != nil {
				t.Errorf("%v", err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%v, want %s", err, test.want)
		}
	}
}

func TestOptionsThatNoOptionSetAreCheckedToo(t *testing.T) {
	t.Parallel()
	for want, o := range map[string]task.Options{
		`queue "a.>"`:  {Queue: "a.>"},
		`quota "*"`:    {Quota: "*"},
		`both out`:     {Quota: "a", NoQuota: true},
		`id "a.b"`:     {ID: "a.b"},
		"delay":        {Delay: -1},
		"start-within": {StartWithin: -1},
		"timeout":      {Timeout: -1},
		"keep":         {Keep: 1},
		"retry":        {Retry: &task.Policy{Attempts: -1}},
	} {
		for _, s := range []task.Spec{{Task: "x", Options: o}, {Task: "x", Defaults: o}, {Task: "x", Callbacks: []task.Spec{{Task: "y", Options: o, When: task.WhenDone}}}} {
			if s.Defaults.ID != "" {
				continue // the ID of a definition is nobody's
			}
			if _, err := s.Seal(task.Sealing{Now: monday}); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%+v: %v, want %s", o, err, want)
			}
		}
	}
}

func TestDefinePanicsAtStart(t *testing.T) {
	t.Parallel()
	for want, define := range map[string]func(){
		"Doc.Create":  func() { task.Define[int, int]("Doc.Create") },
		"are taken":   func() { task.Define[int, int]("batch.serial") },
		`queue "A"`:   func() { task.Define[int, int]("x", task.InQueue("A")) },
		"to one call": func() { task.Define[int, int]("x", task.WithID("one")) },
	} {
		func() {
			defer func() {
				if got, _ := recover().(string); !strings.Contains(got, want) {
					t.Errorf("panic %q, want %s", got, want)
				}
			}()
			define()
		}()
	}
}
