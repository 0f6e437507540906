package trust_test

import (
	"strings"
	"testing"
	"time"

	"github.com/natsasync/natsasync/consumer"
	"github.com/natsasync/natsasync/task"
)

// A worker whose login knows nothing of a quota that came later says so once, with what to do, and does its other work.
func TestAWorkerSaysWhichLaneItsLoginMayNotTakeFrom(t *testing.T) {
	t.Parallel()
	for name, slots := range map[string]int{"slots for each lane": 20, "fewer slots than lanes": 2} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFort(t, false)
			log := &lines{}
			f.employ(func(c *consumer.Config) { c.Logger, c.Concurrency = log.logger(), slots })
			admin := f.client("admin")
			for _, quota := range []string{"smtp", "fax"} {
				if err := admin.Queue("docs").SetQuota(t.Context(), quota, 3); err != nil {
					t.Fatal(err)
				}
			}
			web := f.client("web")
			waits := queue(f.site, web, alice, say.On("", "by mail", task.InQueue("docs"), task.WithQuota("smtp")))
			for _, quota := range []string{"smtp", "fax"} {
				for deadline := time.Now().Add(patience); !strings.Contains(log.String(), "queue=docs lane="+quota+" err="); time.Sleep(20 * time.Millisecond) {
					if time.Now().After(deadline) {
						t.Fatalf("the worker does not say that it may not take from %s:\n%s", quota, log.String())
					}
				}
				if text := log.String(); !strings.Contains(text, "--quota NAME="+quota) || strings.Count(text, "queue=docs lane="+quota+" err=") != 1 {
					t.Errorf("it does not say once what to do about %s:\n%s", quota, text)
				}
			}
			succeeds(f.site, f.seen(queue(f.site, web, alice, say.On("", "by hand", task.InQueue("docs")))))
			if st, err := admin.Status(t.Context(), waits.ID()); err != nil || st.State != task.StatePending {
				t.Errorf("the job that nobody may take: %v, %v", st, err)
			}
		})
	}
}
