package producer_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/natsasync/natsasync/producer"
	"github.com/natsasync/natsasync/task"
)

func TestLenCountsWhatHasNotStarted(t *testing.T) {
	t.Parallel()
	w := start(t, producer.Config{})
	q := w.client.Queue("docs")
	wantLen(t, q, 0)
	for range 3 {
		enqueue(t, w.client, create.On("", "x"))
	}
	enqueue(t, w.client, create.On("", "x", task.WithoutQuota()))
	enqueue(t, w.client, create.On("", "x", task.Delay(time.Hour)))
	enqueue(t, w.client, add.On("", args{}))
	wantLen(t, q, 5)
	w.pull(t, "docs", "default")
	wantLen(t, q, 4)
	w.run(t, "docs", "free", nil)
	wantLen(t, q, 3)
	_, err := w.client.Queue("nowhere").Len(t.Context())
	wantErr(t, err, producer.ErrNoSuchQueue)
	if _, err := w.client.Queue("Docs!").Len(t.Context()); err == nil || !strings.Contains(err.Error(), `try "docs"`) {
		t.Errorf("error is %v", err)
	}
}

func TestJobsAreListedInTheOrderOfTheQueue(t *testing.T) {
	t.Parallel()
	w := start(t, producer.Config{})
	var want []string
	for i := range 300 {
		want = append(want, enqueue(t, w.client, create.On(task.Object(fmt.Sprintf("/plone/%d", i%3)), "x")).ID())
	}
	delayed := enqueue(t, w.client, create.On("/plone/0/deep", "x", task.Delay(time.Hour)))
	ofBob, err := producer.Enqueue(as(t, bob), w.client, add.On("/plone/00", args{}, task.InQueue("docs")))
	if err != nil {
		t.Fatal(err)
	}
	enqueue(t, w.client, add.On("", args{}))
	w.pull(t, "docs", "default")

	q := w.client.Queue("docs")
	all := append(want, delayed.ID(), ofBob.ID())
	if d := cmp.Diff(all, listed(t, q, producer.JobFilter{})); d != "" {
		t.Errorf("all: %s", d)
	}
	var under []string
	for i := 0; i < 300; i += 3 {
		under = append(under, want[i])
	}
	for story, row := range map[string]struct {
		filter producer.JobFilter
		want   []string
	}{
		"limit":     {producer.JobFilter{Limit: 2}, want[:2]},
		"active":    {producer.JobFilter{State: task.StateActive}, want[:1]},
		"pending":   {producer.JobFilter{State: task.StatePending, Limit: 1}, want[1:2]},
		"scheduled": {producer.JobFilter{State: task.StateScheduled}, []string{delayed.ID()}},
		"task":      {producer.JobFilter{Task: "math.add"}, []string{ofBob.ID()}},
		"user":      {producer.JobFilter{User: &bob}, []string{ofBob.ID()}},
		"anonymous": {producer.JobFilter{User: &task.User{}}, nil},
		"object":    {producer.JobFilter{Object: "/plone/0"}, append(under, delayed.ID())},
	} {
		if d := cmp.Diff(row.want, listed(t, q, row.filter)); d != "" {
			t.Errorf("%s: %s", story, d)
		}
	}
	for _, filter := range []producer.JobFilter{{State: "failed"}, {Task: "a b"}, {Object: "a"}, {Limit: -1}} {
		for _, err := range q.Jobs(t.Context(), filter) {
			if err == nil || !strings.HasPrefix(err.Error(), "producer: ") {
				t.Errorf("filter %+v: error is %v", filter, err)
			}
		}
	}
}

func listed(t *testing.T, q *producer.Queue, filter producer.JobFilter) []string {
	t.Helper()
	var ids []string
	for st, err := range q.Jobs(t.Context(), filter) {
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, st.ID)
	}
	return ids
}

func TestQuotasCanBeMadeChangedAndPaused(t *testing.T) {
	t.Parallel()
	w := start(t, producer.Config{})
	q := w.client.Queue("docs")
	if err := q.SetQuota(t.Context(), "smtp", 3); err != nil {
		t.Fatal(err)
	}
	enqueue(t, w.client, create.On("", "x", task.WithQuota("smtp")))
	enqueue(t, w.client, create.On("", "x", task.WithQuota("smtp")))
	w.pull(t, "docs", "smtp")
	wantQuotas(t, q, []producer.Quota{{Name: "default", Size: 1}, {Name: "smtp", Size: 3, Active: 1, Pending: 1}})

	until := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	if err := q.Pause(t.Context(), until); err != nil {
		t.Fatal(err)
	}
	wantQuotas(t, q, []producer.Quota{{Name: "default", Size: 1, Paused: until}, {Name: "smtp", Size: 3, Active: 1, Pending: 1, Paused: until}})
	if err := q.Resume(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.pull(t, "docs", "smtp")
	wantQuotas(t, q, []producer.Quota{{Name: "default", Size: 1}, {Name: "smtp", Size: 3, Active: 2}})
	for _, err := range []error{q.SetQuota(t.Context(), "free", 1), q.SetQuota(t.Context(), "x", -1), q.SetQuota(t.Context(), "default", 0), q.Pause(t.Context(), time.Now())} {
		if err == nil || !strings.HasPrefix(err.Error(), "producer: ") || strings.Contains(err.Error(), "stream: ") {
			t.Errorf("error is %v", err)
		}
	}
}

func wantQuotas(t *testing.T, q *producer.Queue, want []producer.Quota) {
	t.Helper()
	got, err := q.Quotas(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("quotas: %s", d)
	}
}

func TestPurgeCancelsWhatHasNotStarted(t *testing.T) {
	t.Parallel()
	w := start(t, producer.Config{})
	q := w.client.Queue("docs")
	running := enqueue(t, w.client, create.On("", "x"))
	w.pull(t, "docs", "default")
	unknown := enqueue(t, w.client, create.On("", "x", task.WithoutQuota()))
	e := decode(t, w.pull(t, "docs", "free").Data())
	w.claim(t, e, task.Claim{Worker: "w1", State: task.ClaimUnknown, Seen: time.Now()})
	scheduled := enqueue(t, w.client, create.On("", "x", task.Delay(time.Hour)))
	w.schedule(t, "docs")
	late, err := running.OnDone(as(t, alice), audit)
	if err != nil {
		t.Fatal(err)
	}
	var waiting []*producer.Job[string]
	for range 200 {
		waiting = append(waiting, enqueue(t, w.client, create.On("", "x")))
	}
	waiting = append(waiting, unknown, scheduled, enqueue(t, w.client, create.On("", "x", task.Delay(time.Hour))))
	other := enqueue(t, w.client, add.On("", args{}))
	if err := q.Pause(t.Context(), time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}

	n, err := q.Purge(t.Context())
	if err != nil || n != len(waiting) {
		t.Fatalf("%d were cancelled, %v; want %d", n, err, len(waiting))
	}
	for _, job := range waiting {
		if o, err := job.Outcome(t.Context()); err != nil || o == nil || o.End != task.Cancelled {
			t.Fatalf("outcome is %v, %v", o, err)
		}
	}
	wantState(t, running.Status, task.StateActive)
	wantState(t, other.Status, task.StatePending)
	wantState(t, late.Status, task.StatePending)
	wantLen(t, q, 0)
	if n := w.jobs(t, "docs"); n != 3 {
		t.Errorf("%d messages are left, want the running one, the one that was handed out and the callback", n)
	}
	if n, err := q.Purge(t.Context()); n != 0 || err != nil {
		t.Errorf("purging again: %d, %v", n, err)
	}
}
