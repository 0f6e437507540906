package natsasync_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"

	"github.com/natsasync/natsasync/consumer"
	"github.com/natsasync/natsasync/embedded"
	"github.com/natsasync/natsasync/internal/access"
	"github.com/natsasync/natsasync/internal/stream"
	"github.com/natsasync/natsasync/producer"
	"github.com/natsasync/natsasync/registry"
	"github.com/natsasync/natsasync/task"
)

// A worker and a producer, each with the login that natsasync auth setup makes for it.
func Example_logins() {
	if err := withLogins(context.Background()); err != nil {
		fmt.Println(err)
	}
	// Output: 42
}

func withLogins(ctx context.Context) (err error) {
	dir, err := os.MkdirTemp("", "natsasync-example-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := makeLogins(dir); err != nil {
		return err
	}
	options, err := server.ProcessConfigFile(filepath.Join(dir, "accounts.conf"))
	if err != nil {
		return err
	}
	srv, err := embedded.Start(embedded.Config{Port: -1, Logger: quietLog, Options: func(o *server.Options) { *o = *options.Clone() }})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, srv.Shutdown(context.WithoutCancel(ctx))) }()
	admin, err := loginOf(dir, "admin", srv.URL(), "$JS.API")
	if err != nil {
		return err
	}
	defer admin.Conn().Close()
	if _, err := producer.New(ctx, admin, producer.Config{Queues: []string{"docs"}, Logger: quietLog}); err != nil {
		return err
	}
	working, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- workDocs(working, dir, srv.URL()) }()
	defer func() { stop(); err = errors.Join(err, <-ended) }()
	return queueAsWeb(ctx, dir, srv.URL())
}

func workDocs(ctx context.Context, dir, url string) error {
	reg := registry.New()
	registry.Handle(reg, Add, func(_ context.Context, _ task.Object, in AddArgs) (int, error) { return in.A + in.B, nil })
	nkey, err := nats.NkeyOptionFromSeed(filepath.Join(dir, "docs.nk"))
	if err != nil {
		return err
	}
	nc, err := nats.Connect(url, nkey, nats.CustomInboxPrefix("_INBOX_docs"), nats.MaxReconnects(-1))
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.NewWithAPIPrefix(nc, "NATSASYNC.API")
	if err != nil {
		return err
	}
	signer, err := task.SignerFromFile(filepath.Join(dir, "docs.nk"))
	if err != nil {
		return err
	}
	w, err := consumer.New(ctx, js, reg, consumer.Config{
		Queues: []string{"docs"}, BindOnly: true, Signer: signer, Trust: task.TrustFile(filepath.Join(dir, "keys.json")), Logger: quietLog,
	})
	if err != nil {
		return err
	}
	return w.Run(ctx)
}

func queueAsWeb(ctx context.Context, dir, url string) error {
	js, err := loginOf(dir, "web", url, "NATSASYNC.API")
	if err != nil {
		return err
	}
	defer js.Conn().Close()
	signer, err := task.SignerFromFile(filepath.Join(dir, "web.nk"))
	if err != nil {
		return err
	}
	c, err := producer.New(ctx, js, producer.Config{
		BindOnly: true, Signer: signer, Trust: task.TrustFile(filepath.Join(dir, "keys.json")), Logger: quietLog,
	})
	if err != nil {
		return err
	}
	sum, err := producer.Enqueue(task.WithUser(ctx, alice), c, Add.On("/plone", AddArgs{A: 40, B: 2}, task.InQueue("docs")))
	if err != nil {
		return err
	}
	n, err := sum.Wait(ctx)
	if err != nil {
		return err
	}
	fmt.Println(n)
	return nil
}

func loginOf(dir, name, url, api string) (jetstream.JetStream, error) {
	nkey, err := nats.NkeyOptionFromSeed(filepath.Join(dir, name+".nk"))
	if err != nil {
		return nil, err
	}
	nc, err := nats.Connect(url, nkey, nats.CustomInboxPrefix("_INBOX_"+name))
	if err != nil {
		return nil, err
	}
	return jetstream.NewWithAPIPrefix(nc, api)
}

// makeLogins does what this command does:
//
//	natsasync auth setup DIR --worker docs=docs --producer web --waiter web --realm /plone/acl_users
func makeLogins(dir string) error {
	names, err := stream.NewNames("")
	if err != nil {
		return err
	}
	var logins []access.Login
	var keys []string
	for _, name := range []string{"admin", "docs", "web"} {
		scope := access.Scope{Names: names, Queues: []string{"docs"}, Inbox: "_INBOX_" + name}
		l := access.Login{Name: name, Inside: name == "admin"}
		if l.Public, err = writeKey(dir, name); err != nil {
			return err
		}
		switch name {
		case "admin":
			l.Rights = access.Of(access.Admin, scope)
		case "docs":
			l.Rights = access.Of(access.Worker, scope)
			keys = append(keys, fmt.Sprintf(`{"key": %q, "works": ["docs"]}`, l.Public))
		case "web":
			l.Rights = access.Of(access.Producer, scope)
			l.Rights.Add(access.Of(access.Waiter, scope))
			keys = append(keys, fmt.Sprintf(`{"key": %q, "realms": [%q]}`, l.Public, alice.Realm))
		}
		logins = append(logins, l)
	}
	text := `{"keys": [` + strings.Join(keys, ", ") + `]}`
	if err := os.WriteFile(filepath.Join(dir, "keys.json"), []byte(text), 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "accounts.conf"), []byte(access.NewSetup(logins...).Config()), 0o644)
}

func writeKey(dir, name string) (public string, err error) {
	pair, err := nkeys.CreateUser()
	if err != nil {
		return "", err
	}
	seed, err := pair.Seed()
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(filepath.Join(dir, name+".nk"), seed, 0o600); err != nil {
		return "", err
	}
	return pair.PublicKey()
}
