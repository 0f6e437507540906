package trust_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/natsasync/natsasync/consumer"
	"github.com/natsasync/natsasync/task"
)

// A worker puts jobs off, then its key is rolled over: they are due under another.
func TestADelayedJobOutlivesTheKeyOfTheWorkerThatPutItOff(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	next := newSigner(t)
	s.keys = append(s.keys, task.Key{Public: next.Public(), Name: "next", Works: []string{"default", "docs"}})
	path := filepath.Join(t.TempDir(), "keys.json")
	write := func() {
		t.Helper()
		if err := os.WriteFile(path, mustKeys(t, s.keys...), 0o600); err != nil {
			t.Fatal(err)
		}
		s.trust = task.TrustFile(path) // read anew
	}
	write()
	w, err := consumer.New(soon(t), s.dial(), s.registry(), consumer.Config{
		Queues: []string{"default", "docs"}, Trust: s.trust, Signer: s.docs, Logger: quiet, ShutdownTimeout: time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	c := s.producer(s.web)
	delayed := queue(s, c, alice, say.On("", "delayed", task.Delay(2*time.Second)))
	aside := queue(s, c, alice, retry.On("", "aside", task.WithoutQuota(), task.Retry(task.Policy{Attempts: 3, Delay: 2 * time.Second, Aside: true})))
	for _, job := range []string{delayed.ID(), aside.ID()} {
		for {
			m, err := s.broker.Last(t.Context(), s.broker.Later(), s.broker.LaterJob("default", alice.Owner(), job))
			if err == nil && m != nil {
				break
			}
			time.Sleep(5 * time.Millisecond)
		}
	}
	stop()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	s.keys[1].Retired = time.Now().Add(-task.MaxSkew) // nothing that is stored from now on
	write()
	s.work(func(c *consumer.Config) { c.Signer = next })
	succeeds(s, delayed)
	if n := succeeds(s, aside); n != 3 {
		t.Errorf("the job that was put off for another attempt ended with the %d.", n)
	}
	for subject, m := range s.aside() {
		t.Errorf("%s was put aside: %v", subject, m.Header)
	}
}
