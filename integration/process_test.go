package integration_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/natsasync/natsasync/consumer"
	"github.com/natsasync/natsasync/embedded"
	"github.com/natsasync/natsasync/internal/clock"
	"github.com/natsasync/natsasync/producer"
	"github.com/natsasync/natsasync/registry"
	"github.com/natsasync/natsasync/task"
)

// roleVariable holds, as JSON, what a process of this binary is to be.
const roleVariable = "NATSASYNC_INTEGRATION_ROLE"

// role is what a process does instead of running tests.
type role struct {
	Part        string // worker, server, producer or handler
	Network     string // the namespace it runs in, "" for that of the test
	Name        string
	URL         string
	Dir         string // of the story
	History     string
	Queues      []string
	Concurrency int
	Store       string // of a server
	Sync        bool   // it syncs every write
	Host        string // where it listens
	Port        int
	Route       string   // of a node of a cluster: where the others reach it
	Routes      []string // of all nodes
	Jobs        int      // that a producer commits
	Delay       time.Duration
	Within      time.Duration
	Lease       time.Duration // of a worker that makes the streams
	Patience    time.Duration // its ShutdownTimeout
	Clock       time.Duration // how far the wall clock is off, and
	Jump        time.Duration // how far once there is the file jump.<name>
	Ignorant    bool          // of the story's main task
	One         bool          // a producer queues one by one and tells before and after
	IDs         []string      // what it queues one by one, once there is the file gate
}

func (r role) play() int {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	told := make(chan os.Signal, 1)
	signal.Notify(told, os.Interrupt, syscall.SIGTERM) // to the end: a second one must not kill what is ending
	go func() {
		<-told
		stop()
	}()
	go func() { // the test holds the other end: a process does not outlive it
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(3)
	}()
	clock.Shift(r.Clock)
	go r.jump()
	parts := map[string]func(context.Context) error{"worker": r.work, "server": r.serve, "producer": r.produce, "handler": r.handle}
	if err := parts[r.Part](ctx); err != nil {
		fmt.Fprintln(os.Stderr, r.Part+":", err)
		return 1
	}
	return 0
}

func (r role) jump() {
	for r.Jump != 0 {
		if _, err := os.Stat(filepath.Join(r.Dir, "jump."+r.Name)); err == nil {
			clock.Shift(r.Jump)
			(&history{path: r.History}).add(entry{Event: "jump", Name: r.Name})
			return
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func (r role) connect(ctx context.Context) (jetstream.JetStream, func(), error) {
	nc, err := dial(ctx, r.URL)
	if err != nil {
		return nil, nil, err
	}
	js, err := jetstream.New(nc)
	return js, nc.Close, err
}

func (r role) work(ctx context.Context) error {
	js, done, err := r.connect(ctx)
	if err != nil {
		return err
	}
	defer done()
	h := &history{path: r.History}
	reg := newStory(h, r.Dir, r.Name).registry()
	if r.Ignorant {
		reg = registry.New()
		registry.Handle(reg, hear, func(context.Context, task.Object, string) (task.None, error) { return task.None{}, nil })
	}
	opening, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	w, err := consumer.New(opening, js, reg, consumer.Config{
		Queues: r.Queues, Concurrency: r.Concurrency, Trust: task.TrustBroker, Name: r.Name, Lease: r.Lease, ShutdownTimeout: r.Patience,
		Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelInfo})),
	})
	if err != nil {
		return err
	}
	go func() {
		<-w.Ready()
		h.add(entry{Event: "ready", Name: r.Name, PID: os.Getpid()})
	}()
	return w.Run(ctx)
}

func (r role) serve(ctx context.Context) error {
	srv, err := embedded.Start(embedded.Config{Name: r.Name, StoreDir: r.Store, NoSync: !r.Sync, Host: r.Host, Port: r.Port, Options: r.join})
	if err != nil {
		return err
	}
	(&history{path: r.History}).add(entry{Event: "ready", Name: srv.URL(), PID: os.Getpid()})
	<-ctx.Done()
	return srv.Shutdown(context.WithoutCancel(ctx))
}

// join makes a server a node of a cluster.
func (r role) join(o *server.Options) {
	if r.Route == "" {
		return
	}
	host, port, _ := net.SplitHostPort(r.Route)
	o.Cluster = server.ClusterOpts{Name: "fleet", Host: host}
	o.Cluster.Port, _ = strconv.Atoi(port)
	for _, route := range r.Routes {
		o.Routes = append(o.Routes, &url.URL{Scheme: "nats", Host: route})
	}
}

func (r role) produce(ctx context.Context) error {
	js, done, err := r.connect(ctx)
	if err != nil {
		return err
	}
	defer done()
	c, err := producer.New(ctx, js, producer.Config{BindOnly: true})
	if err != nil {
		return err
	}
	var opts []task.Option
	if r.Delay > 0 {
		opts = append(opts, task.Delay(r.Delay))
	}
	if r.Within > 0 {
		opts = append(opts, task.StartWithin(r.Within))
	}
	if r.One {
		return r.oneByOne(ctx, c)
	}
	tx := c.Begin()
	var staged []entry
	for i := range r.Jobs {
		name := fmt.Sprint("staged ", i)
		job, err := producer.Enqueue(task.WithUser(ctx, jane), tx, do(name).With(opts...))
		if err != nil {
			return err
		}
		staged = append(staged, entry{Event: "committed", Name: name, ID: job.ID()})
	}
	if err := tx.Commit(ctx); err != nil {
		return err
	}
	for _, e := range staged {
		if r.History != "" {
			(&history{path: r.History}).add(e)
		}
	}
	return nil
}

func (r role) oneByOne(ctx context.Context, c *producer.Client) error {
	h := &history{path: r.History}
	if len(r.IDs) > 0 {
		return r.race(ctx, c, h)
	}
	for i := range r.Jobs {
		name, id := fmt.Sprintf("%s job %d", r.Name, i), task.NewID()
		h.add(entry{Event: "call", Name: name, ID: id, Worker: r.Name})
		if _, err := producer.Enqueue(task.WithUser(ctx, jane), c, do(name).With(task.WithID(id))); err != nil {
			return err
		}
		h.add(entry{Event: "accepted", Name: name, ID: id, Worker: r.Name})
	}
	return nil
}

// race queues jobs that other producers queue too.
func (r role) race(ctx context.Context, c *producer.Client, h *history) error {
	h.add(entry{Event: "ready", Name: r.Name, PID: os.Getpid()})
	if err := newStory(h, r.Dir, r.Name).pass(ctx, ctx.Done(), "gate"); err != nil {
		return err
	}
	for _, id := range r.IDs {
		job, err := producer.Enqueue(task.WithUser(ctx, jane), c, do("job "+id).With(task.WithID(id)))
		if err != nil {
			return err
		}
		h.add(entry{Event: "accepted", Name: "job " + id, ID: job.ID(), Worker: r.Name})
	}
	return nil
}

// process is one that a test has started.
type process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed once it has ended

	mu     sync.Mutex
	stderr bytes.Buffer
}

// Write takes what the process says on its standard error.
func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stderr.Write(b)
}

func (p *process) said() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stderr.String()
}

// spawn starts a process that ends with the test at the latest.
func spawn(t *testing.T, r role) *process {
	t.Helper()
	body, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	p := &process{cmd: exec.Command(os.Args[0]), done: make(chan struct{})}
	if r.Network != "" {
		p.cmd = exec.Command("ip", "netns", "exec", r.Network, os.Args[0])
	}
	p.cmd.Env = append(os.Environ(), roleVariable+"="+string(body))
	p.cmd.Stderr = p
	stdin, err := p.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-p.done
		_ = stdin.Close()
		said := p.said()
		if strings.Contains(said, "DATA RACE") || strings.Contains(said, "panic:") {
			t.Errorf("the %s %s said:\n%s", r.Part, r.Name, said)
		} else if t.Failed() && said != "" {
			t.Logf("the %s %s said:\n%s", r.Part, r.Name, said)
		}
	})
	return p
}

// kill is kill -9. It does not wait.
func (p *process) kill() { _ = p.cmd.Process.Kill() }

// gone waits until the process has ended.
func (p *process) gone(t *testing.T) {
	t.Helper()
	select {
	case <-p.done:
	case <-time.After(patience):
		t.Fatalf("the process does not end:\n%s", p.said())
	}
}

// employ starts a worker as a process and waits until it takes jobs.
func (c *cell) employ(name, url string, change ...func(*role)) *process {
	c.t.Helper()
	r := role{Part: "worker", Name: name, URL: url, Dir: c.dir, History: c.history.path}
	for _, f := range change {
		f(&r)
	}
	before := len(c.history.find(c.t, "ready", name))
	p := spawn(c.t, r)
	c.awaitReady(p, name, before+1)
	return p
}

func (c *cell) awaitReady(p *process, name string, n int) {
	c.t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(3 * time.Millisecond) {
		if len(c.history.find(c.t, "ready", name)) >= n {
			return
		}
		select {
		case <-p.done:
			c.t.Fatalf("%s ended before it was ready:\n%s", name, p.said())
		default:
		}
	}
	c.t.Fatalf("%s did not become ready:\n%s", name, p.said())
}

// awaitSaid waits until the process has said something on its standard error.
func (p *process) awaitSaid(t *testing.T, what string) {
	t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(3 * time.Millisecond) {
		if strings.Contains(p.said(), what) {
			return
		}
	}
	t.Errorf("the process did not say %q:\n%s", what, p.said())
}
