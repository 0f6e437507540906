package stream_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/natsasync/natsasync/internal/stream"
)

func TestOpenMakesAllThatIsMissing(t *testing.T) {
	t.Parallel()
	b := newBroker(t, "default", "docs")
	for _, name := range []string{b.Jobs(), b.Later(), b.Outcomes(), b.Rejected()} {
		_, err := b.JetStream().Stream(t.Context(), name)
		must(t, err)
	}
	queues, err := b.Queues(t.Context())
	must(t, err)
	if diff := cmp.Diff([]string{"default", "docs"}, queues); diff != "" {
		t.Error(diff)
	}
	if got := laneSizes(t, b); !cmp.Equal(got, map[string]int{
		"default/default": 1, "default/free": -1, "default/system": -1, "docs/default": 1, "docs/free": -1, "docs/system": -1,
	}) {
		t.Errorf("lanes are %v", got)
	}
	_, err = b.JetStream().Consumer(t.Context(), b.Later(), stream.DueConsumer)
	must(t, err)
	if keel, err := b.Last(t.Context(), b.Jobs(), b.Keel()); err != nil || keel == nil || keel.Seq != 1 {
		t.Errorf("the keel is %+v, %v; want it first in the stream", keel, err)
	}
	if b.Installation() == "" || b.Lease() != 30*time.Second {
		t.Errorf("installation %q, lease %s", b.Installation(), b.Lease())
	}
}

func laneSizes(t *testing.T, b *stream.Broker) map[string]int {
	t.Helper()
	lanes, err := b.Lanes(t.Context(), "")
	must(t, err)
	sizes := make(map[string]int)
	for _, lane := range lanes {
		sizes[lane.Queue+"/"+lane.Name] = lane.Size
		if diffs := b.Differs(lane); len(diffs) > 0 {
			t.Errorf("lane %s of queue %s differs: %v", lane.Name, lane.Queue, diffs)
		}
	}
	return sizes
}

func TestOpenAgainChangesNothing(t *testing.T) {
	t.Parallel()
	b := newBroker(t, "default")
	before := configs(t, b)
	again := open(t, b.JetStream(), stream.Config{Queues: []string{"default"}})
	if diff := cmp.Diff(before, configs(t, b)); diff != "" {
		t.Error(diff)
	}
	if again.Installation() != b.Installation() {
		t.Errorf("installation %q became %q", b.Installation(), again.Installation())
	}
}

func configs(t *testing.T, b *stream.Broker) []jetstream.StreamConfig {
	t.Helper()
	var all []jetstream.StreamConfig
	for _, name := range []string{b.Jobs(), b.Later(), b.Outcomes(), b.Rejected()} {
		s, err := b.JetStream().Stream(t.Context(), name)
		must(t, err)
		all = append(all, s.CachedInfo().Config)
	}
	return all
}

// A stream that somebody made by hand says neither installation nor lease.
func TestStartersAgreeOnAStreamWithoutMetadata(t *testing.T) {
	t.Parallel()
	url := startChild(t)
	js := dial(t, url)
	first := open(t, js, stream.Config{})
	jobs, err := js.Stream(t.Context(), first.Jobs())
	must(t, err)
	byHand := jobs.CachedInfo().Config
	byHand.Metadata = nil
	must(t, js.DeleteStream(t.Context(), first.Jobs()))
	_, err = js.CreateStream(t.Context(), byHand)
	must(t, err)
	brokers := make([]*stream.Broker, 8)
	failed := make([]error, len(brokers))
	var all sync.WaitGroup
	for i := range brokers {
		js := dial(t, url)
		all.Go(func() { brokers[i], failed[i] = stream.Open(t.Context(), js, stream.Config{}) })
	}
	all.Wait()
	must(t, errors.Join(failed...))
	for _, b := range brokers {
		if b.Installation() == "" || b.Installation() != brokers[0].Installation() {
			t.Errorf("two installations: %q and %q", b.Installation(), brokers[0].Installation())
		}
	}
}

func TestJobsMadeAgainKeepTheLeaseOfRunningWorkers(t *testing.T) {
	t.Parallel()
	js := connect(t, startServer(t))
	b := open(t, js, stream.Config{Lease: 7 * time.Second, Queues: []string{"q"}})
	must(t, js.DeleteStream(t.Context(), b.Jobs()))
	again := open(t, js, stream.Config{Queues: []string{"q"}})
	if again.Lease() != b.Lease() {
		t.Errorf("the lease %v became %v", b.Lease(), again.Lease())
	}
	lanes, err := b.Lanes(t.Context(), "q")
	must(t, err)
	for _, lane := range lanes {
		if diffs := b.Differs(lane); len(diffs) > 0 {
			t.Errorf("a worker that runs leaves lane %s alone: %v", lane.Name, diffs)
		}
	}
}

func TestEightStartersAtOnceConverge(t *testing.T) {
	t.Parallel()
	url := startChild(t)
	const starters = 8
	brokers := make([]*stream.Broker, starters)
	failed := make([]error, starters)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var all sync.WaitGroup
	for i := range starters {
		js := dial(t, url)
		all.Go(func() {
			brokers[i], failed[i] = stream.Open(ctx, js, stream.Config{Queues: []string{"shared", fmt.Sprintf("own-%d", i)}})
			if failed[i] == nil {
				failed[i] = brokers[i].Declare(ctx, fmt.Sprintf("more-%d", i))
			}
		})
	}
	all.Wait()
	must(t, errors.Join(failed...))
	want := map[string]int{"shared/default": 1, "shared/free": -1, "shared/system": -1}
	for i := range starters {
		for _, queue := range []string{fmt.Sprintf("own-%d", i), fmt.Sprintf("more-%d", i)} {
			want[queue+"/default"], want[queue+"/free"], want[queue+"/system"] = 1, -1, -1
		}
		if brokers[i].Installation() != brokers[0].Installation() {
			t.Errorf("two installations: %q and %q", brokers[i].Installation(), brokers[0].Installation())
		}
	}
	if diff := cmp.Diff(want, laneSizes(t, brokers[0])); diff != "" {
		t.Error(diff)
	}
	queues, err := brokers[0].Queues(t.Context())
	must(t, err)
	if len(queues) != 2*starters+1 {
		t.Errorf("queues are %v", queues)
	}
}

func TestWhatDiffersIsNamed(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		change func(*stream.Broker, *jetstream.StreamConfig)
		says   []string
	}{
		{"age of jobs", func(b *stream.Broker, c *jetstream.StreamConfig) { c.MaxAge = time.Hour }, []string{"NATSASYNC_JOBS", "max_age has 1h0m0s, wants no limit"}},
		{"replaced jobs", func(b *stream.Broker, c *jetstream.StreamConfig) {
			c.DiscardNewPerSubject, c.Discard = false, jetstream.DiscardOld
		}, []string{"discard has DiscardOld, wants DiscardNew", "discard_new_per_subject has false, wants true"}},
		{"roll-ups", func(b *stream.Broker, c *jetstream.StreamConfig) { c.AllowRollup = true }, []string{"allow_rollup_hdrs has true, wants false"}},
		{"no batches", func(b *stream.Broker, c *jetstream.StreamConfig) { c.AllowAtomicPublish = false }, []string{"allow_atomic has false, wants true"}},
		{"a catch-all", func(b *stream.Broker, c *jetstream.StreamConfig) { c.Subjects = []string{"natsasync.job.>", b.Keel()} }, []string{`subjects has "natsasync.job.>", wants natsasync.job.<queue>.>`}},
		{"a limit of jobs", func(b *stream.Broker, c *jetstream.StreamConfig) { c.MaxMsgs = 5 }, []string{"max_msgs has 5, wants no limit"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := newBroker(t)
			edit(t, b, b.Jobs(), func(c *jetstream.StreamConfig) { test.change(b, c) })
			_, err := stream.Open(t.Context(), b.JetStream(), stream.Config{})
			if !errors.Is(err, stream.ErrDiffers) {
				t.Fatalf("got %v, want ErrDiffers", err)
			}
			for _, says := range test.says {
				if !strings.Contains(err.Error(), says) {
					t.Errorf("got %v, want it to say %s", err, says)
				}
			}
		})
	}
}

func edit(t *testing.T, b *stream.Broker, name string, change func(*jetstream.StreamConfig)) {
	t.Helper()
	s, err := b.JetStream().Stream(t.Context(), name)
	must(t, err)
	cfg := s.CachedInfo().Config
	change(&cfg)
	_, err = b.JetStream().UpdateStream(t.Context(), cfg)
	must(t, err)
}

func TestWhatAnOperatorMayChangeIsLeft(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	edit(t, b, b.Outcomes(), func(c *jetstream.StreamConfig) {
		c.MaxAge, c.Compression, c.Description = time.Hour, jetstream.S2Compression, "ours"
	})
	edit(t, b, b.Rejected(), func(c *jetstream.StreamConfig) { c.MaxMsgs = 10 })
	before := configs(t, b)
	open(t, b.JetStream(), stream.Config{})
	if diff := cmp.Diff(before, configs(t, b)); diff != "" {
		t.Error(diff)
	}
}

func TestMissingRepublishIsNamed(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	edit(t, b, b.Outcomes(), func(c *jetstream.StreamConfig) { c.RePublish = nil })
	_, err := stream.Open(t.Context(), b.JetStream(), stream.Config{})
	if err == nil || !strings.Contains(err.Error(), "republish has none, wants natsasync.outcome.> to natsasync.record.>") {
		t.Error(err)
	}
}

func TestTheLeaseBelongsToTheNamespace(t *testing.T) {
	t.Parallel()
	js := connect(t, startServer(t))
	b := open(t, js, stream.Config{Lease: 2 * time.Second, Queues: []string{"default"}})
	if got := open(t, js, stream.Config{}).Lease(); got != 2*time.Second {
		t.Errorf("without a lease of one's own it is %s", got)
	}
	_, err := stream.Open(t.Context(), js, stream.Config{Lease: time.Minute})
	if err == nil || !strings.Contains(err.Error(), `lease "1m0s": the namespace "natsasync" has 2s`) {
		t.Errorf("another lease: %v", err)
	}
	lane, err := b.Lane(t.Context(), "default", stream.LaneFree)
	must(t, err)
	if lane.Info.Config.AckWait != 2*time.Second {
		t.Errorf("the lane's AckWait is %s", lane.Info.Config.AckWait)
	}
	for _, lease := range []time.Duration{-1, time.Millisecond} {
		if _, err := stream.Open(t.Context(), js, stream.Config{Lease: lease}); err == nil || !strings.Contains(err.Error(), "at least 100ms") {
			t.Errorf("lease %s: %v", lease, err)
		}
	}
}

func TestNamespacesShareAServer(t *testing.T) {
	t.Parallel()
	js := connect(t, startServer(t))
	one := open(t, js, stream.Config{Queues: []string{"default"}})
	two := open(t, js, stream.Config{Namespace: "two", Queues: []string{"other"}})
	if one.Installation() == two.Installation() {
		t.Error("both are the same installation")
	}
	queues, err := two.Queues(t.Context())
	must(t, err)
	if diff := cmp.Diff([]string{"other"}, queues); diff != "" {
		t.Error(diff)
	}
}

func TestTheKeelIsPutBack(t *testing.T) {
	t.Parallel()
	b := newBroker(t, "default")
	s, err := b.JetStream().Stream(t.Context(), b.Jobs())
	must(t, err)
	must(t, s.Purge(t.Context()))
	open(t, b.JetStream(), stream.Config{BindOnly: true})
	keel, err := b.Last(t.Context(), b.Jobs(), b.Keel())
	must(t, err)
	if keel == nil {
		t.Fatal("the keel is missing after a start")
	}
	must(t, b.PutKeel(t.Context()))
	if n, err := b.Count(t.Context(), b.Jobs(), b.Keel()); err != nil || n != 1 {
		t.Errorf("%d keels, %v", n, err)
	}
}

func TestBindOnlyMakesNothing(t *testing.T) {
	t.Parallel()
	js := connect(t, startServer(t))
	_, err := stream.Open(t.Context(), js, stream.Config{BindOnly: true})
	if !errors.Is(err, jetstream.ErrStreamNotFound) || !strings.Contains(err.Error(), `"NATSASYNC_JOBS"`) || !strings.Contains(err.Error(), "natsasync init") {
		t.Errorf("without streams: %v", err)
	}
	if names := streamNames(t, js); len(names) != 0 {
		t.Errorf("it made %v", names)
	}
	b := open(t, js, stream.Config{Queues: []string{"docs", "mail"}})
	must(t, js.DeleteStream(t.Context(), b.Outcomes()))
	_, err = stream.Open(t.Context(), js, stream.Config{BindOnly: true})
	if !errors.Is(err, jetstream.ErrStreamNotFound) || !strings.Contains(err.Error(), `"NATSASYNC_OUTCOMES"`) {
		t.Errorf("without outcomes: %v", err)
	}
	open(t, js, stream.Config{})
	bound := open(t, js, stream.Config{BindOnly: true, Queues: []string{"docs"}})
	if bound.Installation() != b.Installation() || bound.Lease() != b.Lease() {
		t.Errorf("bound to %q, %s", bound.Installation(), bound.Lease())
	}
	err = bound.Declare(t.Context(), "docs", "maill")
	if !errors.Is(err, stream.ErrNoSuchQueue) || !strings.Contains(err.Error(), `queue "maill": no such queue (there are "docs", "mail")`) {
		t.Errorf("a queue that is missing: %v", err)
	}
}

func streamNames(t *testing.T, js jetstream.JetStream) []string {
	t.Helper()
	var names []string
	lister := js.StreamNames(t.Context())
	for name := range lister.Name() {
		names = append(names, name)
	}
	must(t, lister.Err())
	return names
}

func TestWithoutTheRightToMakeStreamsTheErrorSaysSo(t *testing.T) {
	t.Parallel()
	srv := startServer(t, func(o *server.Options) {
		o.Users = []*server.User{
			{Username: "admin", Password: "x"},
			{Username: "app", Password: "x", Permissions: &server.Permissions{
				Publish:   &server.SubjectPermission{Allow: []string{"natsasync.job.>", "$JS.API.STREAM.INFO.>"}},
				Subscribe: &server.SubjectPermission{Allow: []string{"_INBOX.>"}},
			}},
		}
	})
	app := connect(t, srv, nats.UserInfo("app", "x"))
	_, err := stream.Open(t.Context(), app, stream.Config{})
	if !errors.Is(err, nats.ErrPermissionViolation) || !strings.Contains(err.Error(), `"$JS.API.STREAM.CREATE.NATSASYNC_JOBS"`) || !strings.Contains(err.Error(), "BindOnly") {
		t.Errorf("got %v", err)
	}
	admin := open(t, connect(t, srv, nats.UserInfo("admin", "x")), stream.Config{Queues: []string{"default"}})
	bound := open(t, app, stream.Config{BindOnly: true, Queues: []string{"default"}})
	if bound.Installation() != admin.Installation() {
		t.Errorf("installation %q is not %q", bound.Installation(), admin.Installation())
	}
	if _, err := bound.Lanes(t.Context(), "default"); !errors.Is(err, nats.ErrPermissionViolation) || strings.Contains(err.Error(), "BindOnly") {
		t.Errorf("lanes without the right to list them: %v", err)
	}
}

func TestAServerWithoutJetStreamIsNamed(t *testing.T) {
	t.Parallel()
	js := connect(t, startServer(t, func(o *server.Options) { o.JetStream = false }))
	_, err := stream.Open(t.Context(), js, stream.Config{})
	if err == nil || !strings.Contains(err.Error(), "enable JetStream") {
		t.Errorf("got %v", err)
	}
}

func TestAClosedConnectionIsNamed(t *testing.T) {
	t.Parallel()
	js := connect(t, startServer(t))
	js.Conn().Close()
	_, err := stream.Open(t.Context(), js, stream.Config{})
	if !errors.Is(err, nats.ErrConnectionClosed) {
		t.Errorf("got %v", err)
	}
}

func TestNoServerIsAnErrorWithinTheContext(t *testing.T) {
	t.Parallel()
	nc, err := nats.Connect("nats://127.0.0.1:1", nats.RetryOnFailedConnect(true), nats.MaxReconnects(-1))
	must(t, err)
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	must(t, err)
	_, err = stream.Open(short(t), js, stream.Config{})
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "no server at") {
		t.Errorf("got %v", err)
	}
}

func TestABadQueueNameSaysWhatToDo(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	err := b.Declare(t.Context(), "fine", "mail.out")
	if err == nil || !strings.Contains(err.Error(), `queue "mail.out"`) || !strings.Contains(err.Error(), `(try "mail-out")`) {
		t.Errorf("got %v", err)
	}
	if queues, err := b.Queues(t.Context()); err != nil || len(queues) != 0 {
		t.Errorf("half of it was done: %v, %v", queues, err)
	}
}
