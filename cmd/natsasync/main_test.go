package main

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rogpeppe/go-internal/testscript"
	"go.uber.org/goleak"

	"github.com/natsasync/natsasync/batch"
	"github.com/natsasync/natsasync/consumer"
	"github.com/natsasync/natsasync/embedded"
	"github.com/natsasync/natsasync/producer"
	"github.com/natsasync/natsasync/registry"
	"github.com/natsasync/natsasync/task"
)

func TestMain(m *testing.M) { testscript.Main(leakChecked{m}, map[string]func(){"natsasync": main}) }

// leakChecked fails tests that leave goroutines behind.
type leakChecked struct{ m *testing.M }

func (l leakChecked) Run() int {
	code := l.m.Run()
	if code != 0 {
		return code
	}
	if err := goleak.Find(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// TestScripts runs every script against a server of its own, which NATS_URL names.
func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script", Setup: setup, RequireExplicitExec: true, RequireUniqueNames: true,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"await": await, "unhex": unhex, "worker": work, "batch": queueBatch, "guarded": guarded, "fortified": fortified, "pauselane": pauseLane,
			"resizelane": resizeLane, "limitoutcomes": limitOutcomes, "putaside": putAside, "overmark": overmark, "misplace": misplace,
		},
	})
}

// patience is how long a script waits for what must come, on a busy machine.
const patience = time.Minute

type serverKey struct{}

func setup(env *testscript.Env) error {
	env.Setenv("XDG_CONFIG_HOME", env.WorkDir+"/config")
	env.Setenv("TZ", "UTC")
	env.Setenv("GORACE", "atexit_sleep_ms=0")
	wd, err := os.Getwd()
	if err != nil {
		return err
	}
	env.Setenv("GOLDEN", wd+"/../../task/testdata")
	srv, err := embedded.Start(embedded.Config{Port: -1, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	env.Values[serverKey{}] = srv
	env.Setenv("NATS_URL", srv.URL())
	env.Defer(func() { stop(env.T(), srv) })
	return nil
}

func stop(t testscript.T, srv *embedded.Server) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := srv.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
}

// await waits until a file, which something in the background writes, matches.
func await(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: await file pattern")
	}
	pattern := regexp.MustCompile("(?m)" + args[1])
	var text []byte
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if text, _ = os.ReadFile(ts.MkAbs(args[0])); pattern.Match(text) {
			return
		}
	}
	ts.Fatalf("%s does not match %q:\n%s", args[0], args[1], text)
}

// unhex makes bytes of a file of hex digits.
func unhex(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: unhex from to")
	}
	b, err := hex.DecodeString(strings.Join(strings.Fields(ts.ReadFile(args[0])), ""))
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), b, 0o600))
}

type addArgs struct{ A, B int }

var (
	add  = task.Define[addArgs, int]("math.add")
	fail = task.Define[string, int]("math.fail")
	tell = task.Define[int, task.None]("mail.sum")
	odd  = task.Define[int, task.None]("odd.one") // nobody knows it
)

// work runs a worker in this process until the script ends, with the login of WORKER_NKEY and WORKER_INBOX if they are set.
func work(ts *testscript.TestScript, neg bool, args []string) {
	var trust task.Trust = task.TrustBroker
	var signer *task.Signer
	if len(args) > 2 && strings.HasSuffix(args[0], ".json") {
		trust = task.TrustFile(ts.MkAbs(args[0]))
		var err error
		signer, err = task.SignerFromFile(ts.MkAbs(args[1]))
		ts.Check(err)
		args = args[2:]
	}
	if neg || len(args) == 0 {
		ts.Fatalf("usage: worker [keys.json seed] queue...")
	}
	js := connected(ts)
	reg := registry.New()
	registry.Handle(reg, add, func(ctx context.Context, _ task.Object, in addArgs) (int, error) {
		task.Progress(ctx, 0.5, "half")
		return in.A + in.B, task.Note(ctx, "carry", in.A > 9)
	})
	registry.Handle(reg, fail, func(_ context.Context, _ task.Object, why string) (int, error) {
		return 0, fmt.Errorf("give up: %w", task.Fail("out_of_stock", why))
	})
	registry.Handle(reg, tell, func(context.Context, task.Object, int) (task.None, error) { return task.None{}, nil })
	opening, opened := context.WithTimeout(context.Background(), patience)
	defer opened()
	w, err := consumer.New(opening, js, reg, consumer.Config{
		Queues: args, Trust: trust, Signer: signer, Name: "w1", BindOnly: ts.Getenv("WORKER_NKEY") != "", Logger: slog.New(slog.DiscardHandler),
	})
	ts.Check(err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	ts.Defer(func() {
		cancel()
		ts.Check(<-ended)
	})
	select {
	case <-w.Ready():
	case err := <-ended:
		ts.Fatalf("worker: %v", err)
	}
}

// queueBatch queues a batch of two members, one of which fails, with a callback; or, to a queue that is named, a
// parallel one with a member whose task no worker knows.
func queueBatch(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 && len(args) != 2 {
		ts.Fatalf("usage: batch id [queue]")
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c, err := producer.New(ctx, connected(ts), producer.Config{Logger: slog.New(slog.DiscardHandler)})
	ts.Check(err)
	call := batch.Serial(add.On("/a", addArgs{1, 2}), fail.On("/b", "no luck")).Then(tell.On("/c", 3)).With(task.WithID(args[0]))
	if len(args) == 2 {
		call = batch.Parallel(add.On("/a", addArgs{1, 2}), odd.On("/b", 3)).With(task.WithID(args[0]), task.InQueue(args[1]))
	}
	_, err = producer.Enqueue(task.WithUser(ctx, task.User{ID: "alice"}), c, call)
	ts.Check(err)
}

// pauseLane does what "nats consumer pause" does.
func pauseLane(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: pauselane consumer")
	}
	_, err := connected(ts).PauseConsumer(context.Background(), "NATSASYNC_JOBS", args[0], time.Now().Add(time.Hour))
	ts.Check(err)
}

// resizeLane changes how many jobs of a lane may be out, as an operator would with another tool.
func resizeLane(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: resizelane consumer size")
	}
	js := connected(ts)
	found, err := js.Consumer(context.Background(), "NATSASYNC_JOBS", args[0])
	ts.Check(err)
	cfg := found.CachedInfo().Config
	cfg.MaxAckPending, err = strconv.Atoi(args[1])
	ts.Check(err)
	_, err = js.UpdateConsumer(context.Background(), "NATSASYNC_JOBS", cfg)
	ts.Check(err)
}

// limitOutcomes bounds the stream of outcomes, as an operator would with another tool; -1 is no bound.
func limitOutcomes(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: limitoutcomes messages")
	}
	js := connected(ts)
	found, err := js.Stream(context.Background(), "NATSASYNC_OUTCOMES")
	ts.Check(err)
	cfg := found.CachedInfo().Config
	cfg.MaxMsgs, err = strconv.ParseInt(args[0], 10, 64)
	ts.Check(err)
	_, err = js.UpdateStream(context.Background(), cfg)
	ts.Check(err)
}

// putAside leaves a message among those that could not be read.
// misplace puts a job into a lane that does not exist.
func misplace(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: misplace queue lane")
	}
	_, err := connected(ts).Publish(context.Background(), "natsasync.job."+args[0]+"."+args[1]+".anonymous.one", nil)
	ts.Check(err)
}

func putAside(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: putaside")
	}
	_, err := connected(ts).Publish(context.Background(), "natsasync.rejected.format", nil)
	ts.Check(err)
}

// overmark notes that the stream of jobs has been further than it is.
func overmark(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: overmark")
	}
	js := connected(ts)
	found, err := js.Stream(context.Background(), "NATSASYNC_JOBS")
	ts.Check(err)
	info := found.CachedInfo()
	mark := fmt.Sprintf(`{"NATSASYNC_JOBS": {"created": %q, "seq": %d}}`, info.Created.Format(time.RFC3339Nano), info.State.LastSeq+7)
	_, err = js.Publish(context.Background(), "natsasync.note.mark", []byte(mark))
	ts.Check(err)
}

func connected(ts *testscript.TestScript) jetstream.JetStream {
	login, api := nats.UserInfo(ts.Getenv("NATS_USER"), ts.Getenv("NATS_PASSWORD")), "$JS.API"
	if seed := ts.Getenv("WORKER_NKEY"); seed != "" {
		var err error
		login, err = nats.NkeyOptionFromSeed(ts.MkAbs(seed))
		ts.Check(err)
		api = "NATSASYNC.API"
	}
	var nc *nats.Conn
	var err error
	for range 10 { // on a busy machine the 2 s are few that a connection may take
		nc, err = nats.Connect(ts.Getenv("NATS_URL"), login, nats.CustomInboxPrefix(cmp.Or(ts.Getenv("WORKER_INBOX"), "_INBOX")),
			nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
		if err == nil {
			break
		}
	}
	ts.Check(err)
	ts.Defer(nc.Close)
	js, err := jetstream.NewWithAPIPrefix(nc, api)
	ts.Check(err)
	return js
}

// fortified starts a server with the accounts that natsasync auth setup made, and names it in FORT_URL.
func fortified(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: fortified accounts.conf")
	}
	shown, err := server.ProcessConfigFile(ts.MkAbs(args[0]))
	ts.Check(err)
	srv, err := embedded.Start(embedded.Config{Port: -1, Logger: slog.New(slog.DiscardHandler), Options: func(o *server.Options) { *o = *shown.Clone() }})
	ts.Check(err)
	ts.Setenv("FORT_URL", srv.URL())
	ts.Defer(func() {
		if err := srv.Shutdown(context.Background()); err != nil {
			ts.Logf("shutdown: %v", err)
		}
	})
}

// guarded starts a server with a user that may do anything, one that may nearly, one that may only look at streams and
// one that may only queue jobs, and names it in GUARDED_URL. A name is that of the user that everybody is who has no login.
func guarded(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) > 1 {
		ts.Fatalf("usage: guarded [NOBODY]")
	}
	look := &server.Permissions{Publish: &server.SubjectPermission{Allow: []string{"$JS.API.STREAM.INFO.>", "$JS.API.INFO", "$JS.API.STREAM.MSG.GET.>"}}}
	web := &server.Permissions{
		Publish:   &server.SubjectPermission{Allow: []string{"natsasync.job.>", "$JS.API.STREAM.INFO.NATSASYNC_JOBS"}},
		Subscribe: &server.SubjectPermission{Allow: []string{"_INBOX_web.>"}},
	}
	nearly := &server.Permissions{Publish: &server.SubjectPermission{Deny: []string{"secret.>"}}}
	srv, err := embedded.Start(embedded.Config{Port: -1, Logger: slog.New(slog.DiscardHandler), Options: func(o *server.Options) {
		o.Users = []*server.User{{Username: "admin", Password: "s3cret"}, {Username: "helper", Password: "s3cret", Permissions: nearly}, {Username: "looker", Password: "s3cret", Permissions: look}, {Username: "web", Password: "s3cret", Permissions: web}}
		o.NoAuthUser = strings.Join(args, "")
	}})
	ts.Check(err)
	ts.Setenv("GUARDED_URL", srv.URL())
	ts.Defer(func() {
		if err := srv.Shutdown(context.Background()); err != nil && !errors.Is(err, context.Canceled) {
			ts.Logf("shutdown: %v", err)
		}
	})
}
