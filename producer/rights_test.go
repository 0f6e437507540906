package producer_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/natsasync/natsasync/embedded"
	"github.com/natsasync/natsasync/producer"
	"github.com/natsasync/natsasync/task"
)

// A login that may publish jobs, and look at their stream to bind to it, and no more.
func TestALoginThatMayOnlyQueue(t *testing.T) {
	t.Parallel()
	srv, err := embedded.Start(embedded.Config{Logger: quiet, Options: func(o *server.Options) {
		o.Users = []*server.User{
			{Username: "admin", Password: "a"},
			{Username: "web", Password: "w", Permissions: &server.Permissions{
				Publish:   &server.SubjectPermission{Allow: []string{"natsasync.job.>", "$JS.API.STREAM.INFO.NATSASYNC_JOBS"}},
				Subscribe: &server.SubjectPermission{Allow: []string{"_INBOX.>"}},
			}},
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := srv.Shutdown(ctx); err != nil {
			t.Error(err)
		}
	})
	login := func(user, password string) jetstream.JetStream {
		nc, err := srv.Connect(nats.UserInfo(user, password), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
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
	admin, err := producer.New(t.Context(), login("admin", "a"), producer.Config{Queues: []string{"docs"}, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	web, err := producer.New(t.Context(), login("web", "w"), producer.Config{BindOnly: true, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	enqueue(t, web, create.On("", "x"))
	enqueue(t, web, create.On("", "x", task.WithoutQuota()))
	tx := web.Begin()
	enqueue(t, tx, create.On("", "x"))
	enqueue(t, tx, create.On("", "y", task.Delay(time.Hour)))
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantLen(t, admin.Queue("docs"), 4)

	_, err = producer.Enqueue(t.Context(), web, create.On("", "x", task.WithQuota("smtp")))
	wantErr(t, err, producer.ErrNoSuchQuota)
	if !strings.Contains(err.Error(), "default quota") {
		t.Errorf("error is %v", err)
	}
	_, err = producer.Enqueue(t.Context(), web, create.On("", "x", task.InQueue("nowhere")))
	wantErr(t, err, producer.ErrNoSuchQueue)
	_, err = web.Queue("docs").Len(t.Context())
	wantErr(t, err, nats.ErrPermissionViolation)
}
