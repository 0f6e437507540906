package producer_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/natsasync/natsasync/producer"
	"github.com/natsasync/natsasync/task"
)

func TestOutcomesOfWholeJobsAreListedOldestFirst(t *testing.T) {
	t.Parallel()
	w := start(t, producer.Config{})
	one := enqueue(t, w.client, create.On("/plone/a", "x"))
	w.claim(t, w.run(t, "docs", "default", nil), task.Claim{Worker: "w1", State: task.ClaimRunning})
	two := enqueue(t, w.client, create.On("/plone/b", "x"))
	e := w.run(t, "docs", "default", failure("timeout"))
	member := *e
	member.ID += ".1"
	w.end(t, &member, failure("timeout"))
	three, err := producer.Enqueue(as(t, bob), w.client, add.On("/plone/a/deep", args{}))
	if err != nil {
		t.Fatal(err)
	}
	if err := three.Cancel(t.Context()); err != nil {
		t.Fatal(err)
	}
	for story, row := range map[string]struct {
		filter producer.OutcomeFilter
		want   []string
	}{
		"all":       {producer.OutcomeFilter{}, []string{one.ID(), two.ID(), three.ID()}},
		"limit":     {producer.OutcomeFilter{Limit: 1}, []string{one.ID()}},
		"failed":    {producer.OutcomeFilter{End: task.Failed}, []string{two.ID()}},
		"cancelled": {producer.OutcomeFilter{End: task.Cancelled}, []string{three.ID()}},
		"queue":     {producer.OutcomeFilter{Queue: "docs"}, []string{one.ID(), two.ID()}},
		"user":      {producer.OutcomeFilter{User: &bob}, []string{three.ID()}},
		"task":      {producer.OutcomeFilter{Task: "math.add"}, []string{three.ID()}},
		"object":    {producer.OutcomeFilter{Object: "/plone/a"}, []string{one.ID(), three.ID()}},
		"since":     {producer.OutcomeFilter{Since: time.Now().Add(time.Minute)}, nil},
	} {
		var got []string
		for o, err := range w.client.Outcomes(t.Context(), row.filter) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, o.ID)
		}
		if d := cmp.Diff(row.want, got); d != "" {
			t.Errorf("%s: %s", story, d)
		}
	}
	for _, filter := range []producer.OutcomeFilter{{Queue: "*"}, {End: "lost"}, {Task: ">"}, {Object: "x"}, {Limit: -1}} {
		for _, err := range w.client.Outcomes(t.Context(), filter) {
			if err == nil {
				t.Errorf("filter %+v was taken", filter)
			}
		}
	}
}
