package natsasync_test

import (
	"context"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/natsasync/natsasync/consumer"
	"github.com/natsasync/natsasync/embedded"
	"github.com/natsasync/natsasync/hooks"
	"github.com/natsasync/natsasync/producer"
	"github.com/natsasync/natsasync/task"
)

// guarded is a server with the logins that a page shows.
func guarded(t *testing.T, page, part string) (login func(user string, opts ...nats.Option) jetstream.JetStream) {
	t.Helper()
	shown := &server.Options{}
	found := false
	for _, b := range blocks(t, page) {
		if b.language != "conf" || !strings.HasPrefix(b.text, part) {
			continue
		}
		found = true
		if err := shown.ProcessConfigString(b.text); err != nil {
			t.Fatalf("%s:%d: %v", page, b.line, err)
		}
	}
	if !found {
		t.Fatalf("%s shows no %s", page, part)
	}
	srv, err := embedded.Start(embedded.Config{Options: func(o *server.Options) {
		o.Users, o.Accounts = shown.Users, shown.Accounts
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := srv.Shutdown(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	return func(user string, opts ...nats.Option) jetstream.JetStream {
		t.Helper()
		nc, err := srv.Connect(append(opts, nats.UserInfo(user, "change-me"), nats.CustomInboxPrefix("_INBOX_"+user))...)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(nc.Close)
		js, err := jetstream.New(nc)
		if err != nil {
			t.Fatal(err)
		}
		return js
	}
}

// Each role of docs/operating.md can do its work with the rights shown there.
func TestTheLoginsShownAreEnough(t *testing.T) {
	t.Parallel()
	in := guarded(t, "docs/operating.md", "authorization")
	login := func(user string) jetstream.JetStream {
		return in(user, nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			if user == "web" && strings.Contains(err.Error(), `"$JS.API.STREAM.INFO.`) {
				return // it may see the stream of jobs alone, and New only looks at the others
			}
			t.Errorf("%s: %v", user, err)
		}))
	}
	quiet := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	ctx := task.WithUser(t.Context(), alice)
	must := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	admin, err := producer.New(ctx, login("admin"), producer.Config{Queues: []string{"mail"}, Logger: quiet})
	must("init", err)
	must("make a quota", admin.Queue("mail").SetQuota(ctx, "smtp", 4))

	w, err := consumer.New(ctx, login("worker"), siteRegistry(), consumer.Config{Trust: task.TrustBroker, BindOnly: true, Logger: quiet})
	must("worker", err)
	working, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- w.Run(working) }()
	defer func() { stop(); must("work", <-ended) }()

	handled := make(chan string, 16)
	success := hooks.Handlers{Success: func(_ context.Context, o task.Outcome) error { handled <- o.Task; return nil }}
	first, err := hooks.Subscribe(ctx, login("admin"), success, hooks.Config{Durable: "mailer", Logger: quiet})
	must("make the durable name", err)
	first.Stop()
	success.Started = func(context.Context, task.Event) {}
	sub, err := hooks.Subscribe(ctx, login("mailer"), success, hooks.Config{Durable: "mailer", BindOnly: true, Logger: quiet})
	must("handlers", err)
	defer sub.Stop()

	web, err := producer.New(ctx, login("web"), producer.Config{BindOnly: true, Logger: quiet})
	must("bind the queueing login", err)
	sum, err := producer.Enqueue(ctx, web, Add.On("/plone/folder", AddArgs{A: 40, B: 2}).OnDone(Log))
	must("queue", err)
	_, err = producer.Enqueue(ctx, web, Add.On("/plone/folder", AddArgs{A: 1, B: 2}).With(task.Delay(time.Second/2)))
	must("queue for later", err)

	waiter, err := producer.New(ctx, login("waiter"), producer.Config{BindOnly: true, Logger: quiet})
	must("bind the waiting login", err)
	if n, err := producer.Find[int](waiter, sum.ID()).Wait(ctx); err != nil || n != 42 {
		t.Fatalf("wait: %d, %v", n, err)
	}
	select {
	case <-handled:
	case <-time.After(time.Minute):
		t.Fatal("the handler heard of nothing")
	}
	watcher, err := producer.New(ctx, login("operator"), producer.Config{BindOnly: true, Logger: quiet})
	must("bind the operator's login", err)
	q := watcher.Queue("mail")
	must("pause", q.Pause(ctx, time.Now().Add(time.Hour)))
	job, err := producer.Enqueue(ctx, web, Add.On("/plone/folder", AddArgs{A: 1, B: 2}).With(task.InQueue("mail")))
	must("queue", err)
	must("cancel", watcher.Cancel(ctx, job.ID()))
	_, err = q.Purge(ctx)
	must("purge", err)
	must("resume", q.Resume(ctx))
	workers, err := watcher.Workers(ctx)
	if err != nil || len(workers) != 1 {
		t.Fatalf("workers: %v, %v", workers, err)
	}
	for _, err := range watcher.Outcomes(ctx, producer.OutcomeFilter{}) {
		must("list outcomes", err)
	}
	for _, err := range q.Jobs(ctx, producer.JobFilter{}) {
		must("list jobs", err)
	}
}

// A producer in an account of its own can queue, also a Tx, and reach nothing else.
func TestTheAccountsShownKeepProducersApart(t *testing.T) {
	t.Parallel()
	login := guarded(t, "docs/security.md", "accounts")
	quiet := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	ctx := task.WithUser(t.Context(), alice)
	inside := login("worker")
	admin, err := producer.New(ctx, inside, producer.Config{Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	outside, err := jetstream.NewWithAPIPrefix(login("web").Conn(), "JOBS.API")
	if err != nil {
		t.Fatal(err)
	}
	web, err := producer.New(ctx, outside, producer.Config{BindOnly: true, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	tx := web.Begin()
	for range 2 {
		if _, err := producer.Enqueue(ctx, tx, Add.On("/plone/folder", AddArgs{A: 40, B: 2})); err != nil {
			t.Fatal(err)
		}
	}
	if err := tx.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	forged := nats.NewMsg("natsasync.job.default.default.anon.forged")
	forged.Reply = "natsasync.outcome.default.succeeded.anon.forged"
	if err := outside.Conn().PublishMsg(forged); err != nil {
		t.Fatal(err)
	}
	if _, err := producer.Enqueue(ctx, web, Add.On("/plone/folder", AddArgs{A: 40, B: 2})); err != nil {
		t.Fatal(err) // its answer comes after that of the forged one
	}
	if n, err := admin.Queue("default").Len(ctx); err != nil || n != 4 {
		t.Errorf("%d jobs are queued, %v", n, err)
	}
	outcomes, err := inside.Stream(ctx, "NATSASYNC_OUTCOMES")
	if err != nil {
		t.Fatal(err)
	}
	if n := outcomes.CachedInfo().State.Msgs; n != 0 {
		t.Errorf("%d records were written from outside", n)
	}
}
