package stream_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/natsasync/natsasync/internal/stream"
)

func lane(t *testing.T, b *stream.Broker, queue, name string) stream.Lane {
	t.Helper()
	got, err := b.Lane(t.Context(), queue, name)
	must(t, err)
	return *got
}

// fetch takes up to n messages. A consumer hears of what was stored a moment later, so it
// waits 3 s for more.
func fetch(t *testing.T, b *stream.Broker, queue, name string, n int) []string {
	t.Helper()
	c, err := b.JetStream().Consumer(t.Context(), b.Jobs(), stream.Consumer(queue, name))
	must(t, err)
	batch, err := c.Fetch(n, jetstream.FetchMaxWait(3*time.Second))
	must(t, err)
	var bodies []string
	for msg := range batch.Messages() {
		bodies = append(bodies, string(msg.Data()))
	}
	must(t, batch.Error())
	return bodies
}

func TestCallbacksAndLaterShareTheSystemLane(t *testing.T) {
	t.Parallel()
	b := newBroker(t, "docs")
	queueJob(t, b, b.Job("docs", stream.LaneCallbacks, "anon", "1.cb"), "callback")
	queueJob(t, b, b.Job("docs", stream.LaneFree, "anon", "2"), "free")
	queueJob(t, b, b.Job("docs", stream.LaneLater, "anon", "3"), "later")
	if got := fetch(t, b, "docs", stream.LaneCallbacks, 9); !slices.Equal(got, []string{"callback", "later"}) {
		t.Errorf("the system lane gives %v", got)
	}
	if got := lane(t, b, "docs", stream.LaneLater); got.Name != stream.LaneSystem || got.Size != -1 {
		t.Errorf("the lane of later is %+v", got)
	}
}

func TestALostLaneIsMadeAgainWithItsNotedSize(t *testing.T) {
	t.Parallel()
	b := newBroker(t, "mail")
	must(t, b.SetQuota(t.Context(), "mail", "smtp", 7))
	must(t, b.JetStream().DeleteConsumer(t.Context(), b.Jobs(), "mail_smtp"))
	_, err := b.Lane(t.Context(), "mail", "smtp")
	if !errors.Is(err, stream.ErrNoSuchQuota) || !strings.Contains(err.Error(), `quota "smtp" of queue "mail": no such quota (there are "default")`) {
		t.Errorf("a lost lane: %v", err)
	}
	created, err := b.EnsureLane(t.Context(), "mail", "smtp", 3)
	if err != nil || !created {
		t.Fatalf("created %v, %v", created, err)
	}
	if got := lane(t, b, "mail", "smtp"); got.Size != 7 || got.Quota != 7 {
		t.Errorf("made again with size %d, noted %d", got.Size, got.Quota)
	}
	created, err = b.EnsureLane(t.Context(), "mail", "smtp", 3)
	if err != nil || created {
		t.Errorf("created %v, %v, although it is there", created, err)
	}
}

func TestAnOperatorsSizeIsNamedAndNotReset(t *testing.T) {
	t.Parallel()
	b := newBroker(t, "mail")
	editLane(t, b, "mail_default", func(c *jetstream.ConsumerConfig) { c.MaxAckPending = 5 })
	must(t, b.Declare(t.Context(), "mail"))
	created, err := b.EnsureLane(t.Context(), "mail", stream.QuotaDefault, 1)
	if created || !errors.Is(err, stream.ErrDiffers) || !strings.Contains(err.Error(), "max_ack_pending has 5, wants 1") {
		t.Errorf("created %v, %v", created, err)
	}
	got := lane(t, b, "mail", stream.QuotaDefault)
	if got.Size != 5 || got.Quota != 1 {
		t.Errorf("size %d, noted %d", got.Size, got.Quota)
	}
	must(t, b.SetQuota(t.Context(), "mail", stream.QuotaDefault, 5))
	if diffs := b.Differs(lane(t, b, "mail", stream.QuotaDefault)); len(diffs) > 0 {
		t.Errorf("once it is noted it differs: %v", diffs)
	}
}

func editLane(t *testing.T, b *stream.Broker, name string, change func(*jetstream.ConsumerConfig)) {
	t.Helper()
	c, err := b.JetStream().Consumer(t.Context(), b.Jobs(), name)
	must(t, err)
	cfg := c.CachedInfo().Config
	change(&cfg)
	_, err = b.JetStream().UpdateConsumer(t.Context(), b.Jobs(), cfg)
	must(t, err)
}

func TestDiffersNamesEachField(t *testing.T) {
	t.Parallel()
	b := newBroker(t, "mail")
	editLane(t, b, "mail_free", func(c *jetstream.ConsumerConfig) {
		c.AckWait, c.MaxDeliver, c.MaxAckPending = time.Second, 3, 10
		c.FilterSubject = "natsasync.job.mail.free.anon.>"
	})
	got := b.Differs(lane(t, b, "mail", stream.LaneFree))
	want := []string{
		"ack_wait has 1s, wants 30s",
		"max_deliver has 3, wants no limit",
		"max_ack_pending has 10, wants no limit",
		"filters has [natsasync.job.mail.free.anon.>], wants [natsasync.job.mail.free.>]",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := b.Differs(stream.Lane{Queue: "mail", Name: "gone"}); len(got) == 0 {
		t.Error("a lane without a consumer differs in nothing")
	}
}

func TestLanesOfNothing(t *testing.T) {
	t.Parallel()
	b := newBroker(t, "mail")
	if got, err := b.Lanes(t.Context(), "docs"); err != nil || len(got) != 0 {
		t.Errorf("lanes of an unknown queue: %v, %v", got, err)
	}
	if _, err := b.Lane(t.Context(), "docs", "free"); !errors.Is(err, stream.ErrNoSuchQueue) {
		t.Errorf("a lane of an unknown queue: %v", err)
	}
	if _, err := b.EnsureLane(t.Context(), "docs", "free", 0); !errors.Is(err, stream.ErrNoSuchQueue) {
		t.Errorf("making a lane of an unknown queue: %v", err)
	}
	if _, err := b.EnsureLane(t.Context(), "mail", "smtp", 0); !errors.Is(err, stream.ErrNoSuchQuota) {
		t.Errorf("making a quota without a size: %v", err)
	}
	bound := open(t, b.JetStream(), stream.Config{BindOnly: true})
	if _, err := bound.EnsureLane(t.Context(), "mail", "smtp", 3); !errors.Is(err, stream.ErrNoSuchQuota) {
		t.Errorf("making a lane with BindOnly: %v", err)
	}
}

func TestManyLanesAreAllListed(t *testing.T) {
	t.Parallel()
	queues := make([]string, 100)
	for i := range queues {
		queues[i] = "q" + strings.Repeat("x", i)[:min(i, 60)] + string(rune('a'+i%26)) + string(rune('a'+i/26))
	}
	b := newBroker(t)
	must(t, b.Declare(t.Context(), queues...)) // takes what time it needs: Open would give it 5 s
	lanes, err := b.Lanes(t.Context(), "")
	must(t, err)
	if len(lanes) != 300 {
		t.Errorf("%d lanes, want 300", len(lanes))
	}
}
