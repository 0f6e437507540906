package integration_test

import (
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/natsasync/natsasync/internal/stream"
	"github.com/natsasync/natsasync/task"
)

// A schedule that never comes, or not before everybody has forgotten it, is no job of a producer's.
func TestADateThatNoProducerGivesIsRefused(t *testing.T) {
	t.Parallel()
	c := newCell(t)
	c.hire("worker").begin()
	send := func(id, lane string, notBefore time.Time) (subject string) {
		e, err := do(id).With(task.WithID(id)).Spec().Seal(task.Sealing{Installation: c.broker.Installation(), User: jane, Now: time.Now()})
		if err != nil {
			t.Fatal(err)
		}
		e.NotBefore = notBefore
		subject = c.broker.Job("default", lane, jane.Owner(), id)
		if _, err := c.broker.Publish(t.Context(), &nats.Msg{Subject: subject, Data: e.Encode()}); err != nil {
			t.Fatal(err)
		}
		return subject
	}
	refused := []string{
		send("no-date", stream.LaneLater, time.Time{}),
		send("in-twenty-years", stream.LaneLater, time.Now().AddDate(20, 0, 0)),
		send("at-the-end-of-time", stream.LaneLater, time.UnixMicro(1<<53)),
		send("in-twenty-years-in-a-lane", stream.QuotaDefault, time.Now().AddDate(20, 0, 0)),
	}
	aside := c.aside(len(refused))
	for _, subject := range refused {
		if code := aside[subject].Get(stream.HeaderCode); code != "range" {
			t.Errorf("%s is put aside as %q", subject, code)
		}
	}
	if why := aside[refused[1]].Get(stream.HeaderReason); !strings.Contains(why, `field \"nb\"`) || !strings.HasSuffix(why, `is more than ten years ahead"`) {
		t.Errorf("the reason is %s", why)
	}
	// One in its lane has come, as far as a worker can know; one long ago comes at once.
	send("in-its-lane", stream.QuotaDefault, time.Now().Add(time.Hour))
	send("long-ago", stream.LaneLater, time.UnixMicro(1))
	for deadline := time.Now().Add(patience); len(c.outcomes("default", "in-its-lane")) == 0 || len(c.outcomes("default", "long-ago")) == 0; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("they do not run")
		}
	}
	c.drained()
}
