package natsasync_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"

	"github.com/natsasync/natsasync/consumer"
	"github.com/natsasync/natsasync/producer"
	"github.com/natsasync/natsasync/registry"
	"github.com/natsasync/natsasync/task"
)

var quietLog = slog.New(slog.DiscardHandler)

// A worker that trusts keys runs what they signed, and puts everything else aside.
func Example_signed() {
	reg := registry.New()
	registry.Handle(reg, Add, func(_ context.Context, _ task.Object, in AddArgs) (int, error) { return in.A + in.B, nil })
	dir, err := os.MkdirTemp("", "natsasync-example-")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if err := writeKeys(dir); err != nil {
		fmt.Println(err)
		return
	}
	play(reg, func(ctx context.Context, js jetstream.JetStream, unsigned *producer.Client) error {
		trust := task.TrustFile(filepath.Join(dir, "keys.json"))
		signer, err := task.SignerFromFile(filepath.Join(dir, "site.nk")) // a seed or a creds file that only its owner may read
		if err != nil {
			return err
		}
		c, err := producer.New(ctx, js, producer.Config{Signer: signer, Trust: trust})
		if err != nil {
			return err
		}
		w, err := consumer.New(ctx, js, reg, consumer.Config{Signer: signer, Trust: trust, Logger: quietLog})
		if err != nil {
			return err
		}
		working, stop := context.WithCancel(ctx)
		ended := make(chan error, 1)
		go func() { ended <- w.Run(working) }()
		defer func() { stop(); <-ended }()

		if _, err := producer.Enqueue(ctx, unsigned, Add.On("/plone", AddArgs{A: 1, B: 1})); err != nil {
			return err
		}
		sum, err := producer.Enqueue(ctx, c, Add.On("/plone", AddArgs{A: 40, B: 2}))
		if err != nil {
			return err
		}
		n, err := sum.Wait(ctx)
		fmt.Println(n)
		aside, err2 := js.Stream(ctx, "NATSASYNC_REJECTED")
		if err2 != nil {
			return err2
		}
		m, err2 := aside.GetLastMsgForSubject(ctx, "natsasync.rejected.>")
		if err2 != nil {
			return err2
		}
		fmt.Println(m.Header.Get("Async-Code"))
		return err
	}, "other")
	// Output:
	// 42
	// unsigned
}

// writeKeys makes a key that speaks for the users of a realm and works the queue default.
func writeKeys(dir string) error {
	pair, err := nkeys.CreateUser()
	if err != nil {
		return err
	}
	seed, err := pair.Seed()
	if err != nil {
		return err
	}
	public, err := pair.PublicKey()
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "site.nk"), seed, 0o600); err != nil {
		return err
	}
	keys := fmt.Sprintf(`{"keys": [{"key": %q, "name": "site", "realms": [%q], "works": ["default"]}]}`, public, alice.Realm)
	return os.WriteFile(filepath.Join(dir, "keys.json"), []byte(keys), 0o644)
}
