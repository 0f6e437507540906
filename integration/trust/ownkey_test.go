package trust_test

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/natsasync/natsasync/batch"
	"github.com/natsasync/natsasync/consumer"
	"github.com/natsasync/natsasync/producer"
	"github.com/natsasync/natsasync/registry"
	"github.com/natsasync/natsasync/task"
)

// keyFile makes the site trust a file. put writes keys into it, or removes it, and returns once that counts.
func (s *site) keyFile() (put func(keys []task.Key)) {
	s.t.Helper()
	path := filepath.Join(s.t.TempDir(), "keys.json")
	write := func(keys []task.Key) {
		s.t.Helper()
		text, err := json.Marshal(map[string]any{"keys": keys})
		if err == nil {
			err = os.WriteFile(path+".new", text, 0o644)
		}
		if err == nil {
			err = os.Rename(path+".new", path)
		}
		if err != nil {
			s.t.Fatal(err)
		}
	}
	write(s.keys)
	trust := task.TrustFile(path)
	s.trust = trust
	return func(keys []task.Key) {
		s.t.Helper()
		if keys == nil {
			if err := os.Remove(path); err != nil {
				s.t.Fatal(err)
			}
			for trust.Check() == nil {
				time.Sleep(20 * time.Millisecond)
			}
			return
		}
		mark := newSigner(s.t) // by which it is seen that the file was read
		write(append(keys[:len(keys):len(keys)], task.Key{Public: mark.Public(), Works: []string{"mark"}}))
		for trust.CheckWorker(mark, nil) != nil {
			time.Sleep(20 * time.Millisecond)
		}
	}
}

// A worker whose key is taken away while it runs takes no job any more: nobody would believe what became of it.
func TestAWorkerWhoseKeyIsGoneLeavesJobsToOthers(t *testing.T) {
	t.Parallel()
	for name, gone := range map[string]func(k []task.Key) []task.Key{
		"removed": func(k []task.Key) []task.Key { return []task.Key{k[0], k[2]} },
		"retired": func(k []task.Key) []task.Key {
			k[1].Retired = time.Now().Add(-time.Second)
			return k
		},
		"of another queue": func(k []task.Key) []task.Key {
			k[1].Works = []string{"docs"}
			return k
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			next := newSigner(t)
			s.keys = append(s.keys, task.Key{Public: next.Public(), Name: "next", Works: []string{"default", "docs"}})
			put := s.keyFile()
			w := s.work()
			c := s.producer(s.web)
			succeeds(s, queue(s, c, alice, say.On("", "before")))
			running := queue(s, c, alice, linger.On("", "meanwhile", task.WithoutQuota()))
			for s.count("linger meanwhile alice") == 0 {
				time.Sleep(5 * time.Millisecond)
			}
			put(gone(slices.Clone(s.keys)))
			job := queue(s, c, alice, say.On("", "after"))
			for w.Health(t.Context()) == nil {
				time.Sleep(20 * time.Millisecond)
			}
			close(s.gate)
			s.work(func(c *consumer.Config) { c.Signer = next })
			succeeds(s, job)
			succeeds(s, running)
			if n := s.count("say after alice"); n != 1 {
				t.Errorf("the job ran %d times", n)
			}
		})
	}
}

// While the file of keys is away nothing that has begun fails for it: neither a job that queues another, nor a wait.
func TestNothingFailsWhileTheKeysAreAway(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	put := s.keyFile()
	reg := s.registry()
	within := task.Define[string, string]("doc.within")
	began := make(chan struct{}, 1)
	registry.Handle(reg, within, func(ctx context.Context, _ task.Object, in string) (string, error) {
		began <- struct{}{}
		<-s.gate
		_, err := producer.Enqueue(ctx, producer.Within(ctx), say.On("", in))
		return in, err
	})
	s.workWith(reg)
	c := s.producer(s.web)
	job := queue(s, c, alice, within.On("", "queued meanwhile"))
	<-began
	waited := make(chan error, 1)
	go func() {
		_, err := result(s, job)
		waited <- err
	}()
	put(nil)
	close(s.gate)
	for {
		m, err := s.broker.Last(t.Context(), s.broker.Outcomes(), s.broker.Fence("default", alice.Owner(), job.ID()))
		if err != nil {
			t.Fatal(err)
		}
		if m != nil {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	put(s.keys)
	if err := <-waited; err != nil {
		t.Errorf("the wait: %v", err)
	}
	for s.count("say queued meanwhile alice") == 0 {
		time.Sleep(10 * time.Millisecond)
	}
}

// The key of a producer is removed while a batch of it waits: its members are put aside, so the batch is too, and its
// lane goes on.
func TestABatchWhoseKeyIsRemovedHoldsItsLaneNoLonger(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	other := newSigner(t)
	s.keys = append(s.keys, task.Key{Public: other.Public(), Name: "other", Realms: []string{realm}})
	put := s.keyFile()
	s.work(func(c *consumer.Config) { c.Concurrency = 1 })
	stolen, c := s.producer(s.web), s.producer(other)
	pair, err := producer.Enqueue(as(t.Context(), alice), stolen, batch.Parallel(linger.On("", "one"), linger.On("", "two")))
	if err != nil {
		t.Fatal(err)
	}
	for s.count("linger one alice")+s.count("linger two alice") == 0 {
		time.Sleep(5 * time.Millisecond)
	}
	put(s.keys[1:])
	close(s.gate)
	succeeds(s, queue(s, c, bob, say.On("", "behind")))
	if code := s.refused(s.broker.Job("default", "default", alice.Owner(), pair.ID())); code != "key" {
		t.Errorf("the batch was put aside as %q", code)
	}
}
