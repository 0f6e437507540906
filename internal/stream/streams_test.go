package stream_test

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/natsasync/natsasync/internal/stream"
)

func TestAScheduleFiresForTheDueConsumer(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	msg := nats.NewMsg(b.LaterJob("q", "anon", "1"))
	msg.Header.Set("Nats-Schedule", "@at "+time.Now().UTC().Format(time.RFC3339Nano))
	msg.Header.Set("Nats-Schedule-Target", b.DueJob("q", "anon", "1"))
	_, err := b.JetStream().PublishMsg(t.Context(), msg)
	must(t, err)
	due, err := b.JetStream().Consumer(t.Context(), b.Later(), stream.DueConsumer)
	must(t, err)
	got, err := due.Next(jetstream.FetchMaxWait(patience))
	must(t, err)
	if s, ok := b.ParseLater(got.Subject()); !ok || s.ID != "1" || s.Queue != "q" {
		t.Errorf("fired on %s", got.Subject())
	}
	must(t, got.DoubleAck(t.Context()))
}

func TestRecordsAreRepeatedAndNotesAreNot(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	sub, err := b.Conn().SubscribeSync(b.Record("*", "*", "*", ">"))
	must(t, err)
	_, err = b.JetStream().Publish(t.Context(), b.Note("anon", "1"), nil)
	must(t, err)
	record(t, b, stream.KindSucceeded, "1", []byte("42"))
	msg, err := sub.NextMsg(patience)
	must(t, err)
	if msg.Subject != b.Record("q", stream.KindSucceeded, "anon", "1") || string(msg.Data) != "42" {
		t.Errorf("repeated is %s %q", msg.Subject, msg.Data)
	}
}

func TestOneHeaderCannotEmptyTheQueues(t *testing.T) {
	t.Parallel()
	b := newBroker(t, "q")
	for _, header := range []nats.Header{{"Nats-Rollup": {"all"}}, {"Nats-Schedule": {"@at 2020-01-01T00:00:00Z"}}, {"Nats-TTL": {"1s"}}} {
		msg := &nats.Msg{Subject: b.Job("q", "free", "anon", "1"), Header: header}
		if _, err := b.JetStream().PublishMsg(t.Context(), msg); err == nil {
			t.Errorf("%v is accepted", header)
		}
	}
	if keel, err := b.Last(t.Context(), b.Jobs(), ">"); err != nil || keel == nil || keel.Subject != b.Keel() {
		t.Errorf("the stream holds %+v, %v", keel, err)
	}
}

func TestTheSameJobTwiceIsThere(t *testing.T) {
	t.Parallel()
	b := newBroker(t, "q")
	msg := &nats.Msg{Subject: b.Job("q", "free", "anon", "1")}
	_, err := b.Publish(t.Context(), msg)
	must(t, err)
	if _, err := b.Publish(t.Context(), msg); !errors.Is(err, stream.ErrExists) {
		t.Errorf("got %v, want ErrExists", err)
	}
	if _, err := b.Publish(t.Context(), &nats.Msg{Subject: b.Job("undeclared", "free", "anon", "1")}); !errors.Is(err, stream.ErrNoStream) {
		t.Errorf("a queue that nobody declared: %v", err)
	}
}

func TestAClusterHoldsThreeCopiesAndItsLeaderIsUpToDate(t *testing.T) {
	t.Parallel()
	servers := startCluster(t)
	writer := open(t, connect(t, servers[0]), stream.Config{Queues: []string{"q"}})
	reader := open(t, connect(t, servers[1]), stream.Config{BindOnly: true, Queues: []string{"q"}})
	for _, cfg := range configs(t, writer) {
		if cfg.Replicas != 3 {
			t.Errorf("%s has %d replicas", cfg.Name, cfg.Replicas)
		}
	}
	for i := range 100 {
		id := fmt.Sprint(i)
		seq := record(t, writer, stream.KindSucceeded, id, nil)
		got, err := reader.Last(t.Context(), reader.Outcomes(), reader.Fence("q", "anon", id))
		must(t, err)
		if got == nil || got.Seq != seq {
			t.Fatalf("the leader does not know record %s: %+v", id, got)
		}
	}
	must(t, reader.SetQuota(t.Context(), "q", "smtp", 3))
	first, err := reader.PublishBatch(t.Context(), jobs(reader, 10, ""), stream.RequestTimeout)
	must(t, err)
	n, err := writer.Count(t.Context(), writer.Jobs(), writer.QueueFilter("q"))
	must(t, err)
	if n != 10 || first != 2 {
		t.Errorf("%d jobs from sequence %d, want 10 behind the keel", n, first)
	}
}

func startCluster(t *testing.T) []*server.Server {
	t.Helper()
	const nodes = 3
	ports := freePorts(t, nodes)
	var routes []*url.URL
	for _, port := range ports {
		routes = append(routes, &url.URL{Scheme: "nats-route", Host: fmt.Sprintf("127.0.0.1:%d", port)})
	}
	servers := make([]*server.Server, nodes)
	for i := range nodes {
		servers[i] = startServer(t, func(o *server.Options) {
			o.DontListen, o.Host, o.Port = false, "127.0.0.1", server.RANDOM_PORT
			o.ServerName = fmt.Sprintf("n%d", i)
			o.Cluster = server.ClusterOpts{Name: "c", Host: "127.0.0.1", Port: ports[i]}
			o.Routes = routes
		})
	}
	waitFor(t, func() bool {
		leaders := 0
		for _, srv := range servers {
			if srv.JetStreamIsLeader() && len(srv.JetStreamClusterPeers()) == nodes {
				leaders++
			}
			if !srv.JetStreamIsCurrent() {
				return false
			}
		}
		return leaders == 1
	})
	return servers
}

func freePorts(t *testing.T, n int) []int {
	t.Helper()
	ports := make([]int, n)
	for i := range ports {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		must(t, err)
		defer func() { _ = listener.Close() }()
		ports[i] = listener.Addr().(*net.TCPAddr).Port
	}
	return ports
}

func waitFor(t *testing.T, there func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(30 * time.Second)
	for !there() {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatal("the cluster finds no leader")
		}
	}
}
