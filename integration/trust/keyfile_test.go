package trust_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/natsasync/natsasync/batch"
	"github.com/natsasync/natsasync/consumer"
	"github.com/natsasync/natsasync/task"
)

// Without its keys a worker believes nobody: what waits stays where it is, and goes on by itself.
func TestAWorkerWithoutItsKeysStartsNoJob(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	path := filepath.Join(t.TempDir(), "keys.json")
	text := mustKeys(t, s.keys...)
	put := func(text []byte) { putKeys(t, path, text) }
	put(text)
	s.trust = task.TrustFile(path)
	log := &lines{}
	w := s.work(func(c *consumer.Config) { c.Logger = log.logger() })
	web := s.producer(s.web)
	succeeds(s, queue(s, web, alice, say.On("", "before")))

	for what, spoil := range map[string]func(){
		"gone":  func() { _ = os.Remove(path) },
		"empty": func() { put(nil) },
		"wrong": func() { put([]byte(`{"keys": [{"key": "U", "anyone": true}]}`)) },
	} {
		spoil()
		for s.trust.(*task.Keys).Check() == nil { // the worker's own: it is looked at once a second
			time.Sleep(20 * time.Millisecond)
		}
		job := queue(s, web, alice, say.On("", what))
		for w.Health(t.Context()) == nil {
			time.Sleep(20 * time.Millisecond)
		}
		if s.count("say "+what+" alice") != 0 {
			t.Errorf("%s: the job ran although nobody could be believed", what)
		}
		put(text)
		succeeds(s, job)
		if err := w.Health(t.Context()); err != nil {
			t.Errorf("%s: the worker is not well again: %v", what, err)
		}
	}
	if !strings.Contains(log.String(), "nobody is believed and no job is started") {
		t.Errorf("the log does not say so:\n%s", log)
	}
	if n := len(s.aside()); n != 0 {
		t.Errorf("%d honest jobs were put aside", n)
	}

	// A new key counts without a restart, and a key that is gone counts no more.
	script := newSigner(t)
	put(mustKeys(t, append(s.keys, task.Key{Public: script.Public(), Name: "script", Users: []task.User{bob}})...))
	for s.trust.(*task.Keys).CheckWorker(script, nil) != nil {
		time.Sleep(20 * time.Millisecond)
	}
	succeeds(s, queue(s, s.producer(script), bob, say.On("", "with a new key")))
	put(text)
	for s.trust.(*task.Keys).CheckWorker(script, nil) == nil {
		time.Sleep(20 * time.Millisecond)
	}
	_, m := s.sealed(bob, "too-late")
	s.sign(m, script, "", 0)
	if _, err := s.js.PublishMsg(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	if code := s.refused(m.Subject); code != "key" {
		t.Errorf("a job signed with a key that is gone is put aside as %q", code)
	}
}

// Who cannot read the keys believes nobody, and needs to believe nobody to go on with what
// is its own: a job that nothing was recorded of, and one whose last record is its own claim.
func TestAWorkerGoesOnWithWhatRunsWhileItHasNoKeys(t *testing.T) {
	t.Parallel()
	const lease = 6 * time.Second
	s := newSiteOf(t, lease)
	path := filepath.Join(t.TempDir(), "keys.json")
	text := mustKeys(t, s.keys...)
	putKeys(t, path, text)
	keys := task.TrustFile(path)
	s.trust = keys
	log := &lines{}
	s.work(func(c *consumer.Config) { c.Logger = log.logger() })
	web := s.producer(s.web)
	claimed := queue(s, web, alice, batch.Serial(linger.On("", "claimed"), say.On("", "next")))
	plain := queue(s, web, alice, linger.On("", "plain").With(task.WithoutQuota()))
	for s.count("linger claimed alice") == 0 || s.count("linger plain alice") == 0 {
		time.Sleep(5 * time.Millisecond)
	}

	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	for keys.Check() == nil {
		time.Sleep(20 * time.Millisecond)
	}
	// A lease that is not confirmed is lost after two thirds of it.
	for until := time.Now().Add(lease * 3 / 2); time.Now().Before(until) && !strings.Contains(log.String(), "reassigned"); {
		time.Sleep(20 * time.Millisecond)
	}
	putKeys(t, path, text)
	for keys.Check() != nil {
		time.Sleep(20 * time.Millisecond)
	}
	close(s.gate)
	succeeds(s, claimed)
	succeeds(s, plain)
	for _, name := range []string{"linger claimed alice", "linger plain alice", "say next alice"} {
		if n := s.count(name); n != 1 {
			t.Errorf("%q ran %d times", name, n)
		}
	}
	if strings.Contains(log.String(), "reassigned") {
		t.Errorf("a lease was lost:\n%s", log)
	}
}

func putKeys(t *testing.T, path string, text []byte) {
	t.Helper()
	if err := os.WriteFile(path+".new", text, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

func mustKeys(t *testing.T, keys ...task.Key) []byte {
	t.Helper()
	text, err := json.Marshal(map[string]any{"keys": keys})
	if err != nil {
		t.Fatal(err)
	}
	return text
}
