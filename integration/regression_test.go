package integration_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/natsasync/natsasync/consumer"
	"github.com/natsasync/natsasync/internal/stream"
	"github.com/natsasync/natsasync/task"
)

// spoil changes the block of a stream that was written last, in the store of a server that does not run.
func spoil(t *testing.T, store, name string, change func(body []byte) []byte) {
	t.Helper()
	blocks, err := filepath.Glob(filepath.Join(store, "jetstream", "*", "streams", name, "msgs", "*.blk"))
	if err != nil || len(blocks) == 0 {
		t.Fatalf("the blocks of %s: %v, %v", name, blocks, err)
	}
	last := slices.Max(blocks)
	body, err := os.ReadFile(last)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(last, change(body), 0o600); err != nil {
		t.Fatal(err)
	}
}

func half(body []byte) []byte { return body[:len(body)/2] }

func flipped(body []byte) []byte {
	body[len(body)/2] ^= 1
	return body
}

// A worker that was there and one that comes later both stop at a stream that has lost what it had.
func TestF21AStreamThatHasLostMessagesStopsItsWorkers(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func([]byte) []byte{"cut in half": half, "a bit flipped": flipped} {
		for _, of := range []string{"NATSASYNC_JOBS", "NATSASYNC_OUTCOMES"} {
			t.Run(of+" "+name, func(t *testing.T) {
				t.Parallel()
				h := newHost(t)
				c := cellOn(t, h.url(), shortLease)
				w := c.hire("first")
				stopped := make(chan error, 1)
				ctx, cancel := context.WithCancel(context.Background())
				t.Cleanup(cancel)
				go func() { stopped <- w.worker.Run(ctx) }()
				<-w.worker.Ready()
				for i := range 20 {
					succeeds(c, queue(c, do(fmt.Sprint("before ", i))))
				}
				if err := c.broker.Mark(t.Context()); err != nil {
					t.Fatal(err)
				}
				h.process.kill()
				h.process.gone(t)
				spoil(t, h.role.Store, of, change)
				h.again()

				select {
				case err := <-stopped:
					if !errors.Is(err, stream.ErrRegressed) {
						t.Errorf("the worker that was there returned %v, want %v", err, stream.ErrRegressed)
					}
				case <-time.After(patience):
					t.Error("the worker that was there goes on")
				}
				again := func() error {
					_, err := consumer.New(t.Context(), c.js, newStory(c.history, c.dir, "second").registry(), consumer.Config{Trust: task.TrustBroker, Logger: quiet})
					return err
				}
				if err := again(); !errors.Is(err, stream.ErrRegressed) {
					t.Errorf("a new worker: %v, want %v", err, stream.ErrRegressed)
				}
				if err := c.broker.Mark(t.Context()); err != nil {
					t.Fatal(err)
				}
				if err := again(); err != nil {
					t.Errorf("a new worker after the loss was accepted: %v", err)
				}
			})
		}
	}
}
