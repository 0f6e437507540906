package embedded_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/natsasync/natsasync/embedded"
)

func startCluster(t *testing.T, n int, cfg embedded.Config) *embedded.Cluster {
	t.Helper()
	c, err := embedded.StartCluster(n, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { shutdown(t, c) })
	return c
}

// quickly reconnects without the two seconds between rounds over all nodes.
func quickly() nats.Option { return nats.ReconnectWait(20 * time.Millisecond) }

func TestAClusterKeepsThreeReplicasAndWritesWithoutOneNode(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3, embedded.Config{})
	js := connect(t, c, quickly())
	stream := makeStream(t, js, 3)
	publish(t, js, "things.a", "with three")
	if info := stream.CachedInfo(); len(info.Cluster.Replicas) != 2 {
		t.Errorf("%d followers, want 2", len(info.Cluster.Replicas))
	}

	shutdown(t, leader(t, c))
	publishSoon(t, js, "things.b", "with two")
	publishSoon(t, js, "things.c", "and again")
	if got := lastBody(t, js, "things.c"); got != "and again" {
		t.Errorf("stored %q, want %q", got, "and again")
	}
}

func leader(t *testing.T, c *embedded.Cluster) *embedded.Server {
	t.Helper()
	for _, s := range c.Servers() {
		if s.Server().JetStreamIsStreamLeader("$G", "THINGS") {
			return s
		}
	}
	t.Fatal("no node leads the stream")
	return nil
}

// publishSoon repeats a publish until the cluster has a leader for it.
func publishSoon(t *testing.T, js jetstream.JetStream, subject, body string) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		_, err := js.Publish(ctx, subject, []byte(body))
		cancel()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("nothing stored within 20 s of losing a node: %v", err)
		}
	}
}

func TestAClustersStoreDirSurvivesARestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first := startCluster(t, 3, embedded.Config{StoreDir: dir, NoSync: true})
	js := connect(t, first)
	makeStream(t, js, 3)
	publish(t, js, "things.a", "still here")
	js.Conn().Close()
	shutdown(t, first)

	second := startCluster(t, 3, embedded.Config{StoreDir: dir, NoSync: true})
	js = connect(t, second)
	publishSoon(t, js, "things.b", "new")
	if got := lastBody(t, js, "things.a"); got != "still here" {
		t.Errorf("after the restart %q, want %q", got, "still here")
	}
}

func TestANodesDirectoryIsLocked(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	startCluster(t, 3, embedded.Config{StoreDir: dir, NoSync: true})
	second := filepath.Join(dir, "node-2")
	if _, err := embedded.Start(embedded.Config{StoreDir: second}); err == nil || !strings.Contains(err.Error(), second) {
		t.Errorf("a server on a node's directory: %v, want an error that names %s", err, second)
	}
	first := filepath.Join(dir, "node-1")
	if _, err := embedded.StartCluster(3, embedded.Config{StoreDir: dir}); err == nil || !strings.Contains(err.Error(), first) {
		t.Errorf("a second cluster: %v, want an error that names %s", err, first)
	}
}

func TestAStoreDirStaysWhatItWas(t *testing.T) {
	t.Parallel()
	single, cluster := t.TempDir(), t.TempDir()
	shutdown(t, start(t, embedded.Config{StoreDir: single}))
	shutdown(t, startCluster(t, 1, embedded.Config{StoreDir: cluster}))

	_, err := embedded.StartCluster(3, embedded.Config{StoreDir: single})
	wantText(t, err, single, "holds a single server")
	_, err = embedded.StartCluster(3, embedded.Config{StoreDir: cluster})
	wantText(t, err, cluster, "holds a cluster of 1, not of 3")
	_, err = embedded.Start(embedded.Config{StoreDir: cluster})
	wantText(t, err, cluster, "StartCluster(1, …)")
}

func wantText(t *testing.T, err error, texts ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want one that says %q", texts)
	}
	for _, text := range texts {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("error %q does not say %q", err, text)
		}
	}
}

func TestAClusterIsOddAndSmall(t *testing.T) {
	t.Parallel()
	for _, n := range []int{-1, 0, 2, 4, 6, 7} {
		_, err := embedded.StartCluster(n, embedded.Config{})
		wantText(t, err, strconv.Quote(strconv.Itoa(n)), "1, 3 or 5")
	}
	_, err := embedded.StartCluster(3, embedded.Config{Port: 65534})
	wantText(t, err, `"65534"`)
}

func TestAClusterOfOneIsAPlainServerThatListens(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 1, embedded.Config{Name: "solo"})
	js := connect(t, c)
	makeStream(t, js, 1)
	publish(t, js, "things.a", "alone")
	if got := js.Conn().ConnectedServerName(); got != "solo-1" {
		t.Errorf("connected to %q, want solo-1", got)
	}
}

func TestANodeThatCannotStartStopsTheOthers(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	dir := t.TempDir()
	port := l.Addr().(*net.TCPAddr).Port
	_, err = embedded.StartCluster(3, embedded.Config{StoreDir: dir, NoSync: true, Port: port - 1})
	if !errors.Is(err, syscall.EADDRINUSE) {
		t.Fatalf("got %v, want %v", err, syscall.EADDRINUSE)
	}

	startCluster(t, 3, embedded.Config{StoreDir: dir, NoSync: true}) // all directories are free again
}

func TestTwoClustersAtOnceStayApart(t *testing.T) {
	t.Parallel()
	a := startCluster(t, 3, embedded.Config{})
	b := startCluster(t, 3, embedded.Config{})
	makeStream(t, connect(t, a), 3)
	if names := connect(t, b).StreamNames(t.Context()); len(drain(names.Name())) != 0 {
		t.Error("the second cluster has the first one's stream")
	}
}

func TestAHealthyClusterStartsWithoutAComplaint(t *testing.T) {
	t.Parallel()
	var out buffer
	log := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
	c, err := embedded.StartCluster(3, embedded.Config{Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	said := out.String()
	shutdown(t, c)
	for line := range strings.Lines(said) {
		if strings.Contains(line, "level=WARN") || strings.Contains(line, "level=ERROR") {
			t.Errorf("at the start: %s", line)
		}
	}
	if !strings.Contains(said, "has not established contact") {
		t.Error("the notices of the start are not in the log at Debug")
	}
}

func drain(names <-chan string) []string {
	var all []string
	for name := range names {
		all = append(all, name)
	}
	return all
}
