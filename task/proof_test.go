package task_test

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nkeys"
	"pgregory.net/rapid"

	"github.com/natsasync/natsasync/task"
)

func newSigner(t testing.TB) *task.Signer {
	t.Helper()
	return signerOf(t, newSeed(t))
}

func newSeed(t testing.TB) []byte {
	t.Helper()
	pair, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	seed, err := pair.Seed()
	if err != nil {
		t.Fatal(err)
	}
	return seed
}

func signerOf(t testing.TB, seed []byte) *task.Signer {
	t.Helper()
	s, err := task.NewSigner(seed)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

var (
	bob  = task.User{Realm: alice.Realm, ID: "bob"}
	noon = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
)

// letter is a signed job.
func letter(t testing.TB, by *task.Signer, u task.User, queue string) (task.Signed, *task.Envelope) {
	t.Helper()
	e := &task.Envelope{Installation: "INST", ID: "ID", Queue: queue, Lane: "default", User: u, Task: "doc.say", Issued: noon}
	m := task.Signed{
		Installation: "INST", Subject: "natsasync.job." + queue + ".default." + u.Owner() + ".ID",
		Body: e.Encode(), Stored: noon.Add(time.Second), Late: task.MaxLate,
	}
	m.Signature = []string{by.Sign(m.Installation, m.Subject, "", m.Body, noon)}
	return m, e
}

func code(err error) string {
	if err == nil {
		return ""
	}
	return task.WireCode(err)
}

func TestASignatureCoversEveryBit(t *testing.T) {
	t.Parallel()
	by := newSigner(t)
	keys := task.TrustKeys(task.Key{Public: by.Public(), Anyone: true})
	m, _ := letter(t, by, alice, "default")
	if _, err := keys.Prove(m); err != nil {
		t.Fatal(err)
	}
	for i := range len(m.Body) * 8 {
		other := m
		other.Body = append([]byte(nil), m.Body...)
		other.Body[i/8] ^= 1 << (i % 8)
		if _, err := keys.Prove(other); code(err) != "signature" {
			t.Fatalf("bit %d of the body is changed: %v", i, err)
		}
	}
	for what, change := range map[string]func(*task.Signed){
		"installation": func(m *task.Signed) { m.Installation = "OTHER" },
		"subject":      func(m *task.Signed) { m.Subject += "x" },
		"origin":       func(m *task.Signed) { m.Origin = []string{task.OriginOf(m.Signature, nil, m.Subject, m.Body)} },
		"time": func(m *task.Signed) {
			m.Signature = []string{strings.Replace(m.Signature[0], fmt.Sprint(noon.UnixMicro()), fmt.Sprint(noon.UnixMicro()+1), 1)}
		},
	} {
		other := m
		change(&other)
		if _, err := keys.Prove(other); code(err) != "signature" {
			t.Errorf("another %s: %v", what, err)
		}
	}
}

func TestProveTakesNoOtherHeader(t *testing.T) {
	t.Parallel()
	by := newSigner(t)
	keys := task.TrustKeys(task.Key{Public: by.Public(), Anyone: true})
	m, _ := letter(t, by, alice, "default")
	good := m.Signature[0]
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(
			rapid.String(),
			rapid.Custom(func(t *rapid.T) string { // nearly right
				b := []byte(good)
				b[rapid.IntRange(0, len(b)-1).Draw(t, "at")] = rapid.Byte().Draw(t, "byte")
				return string(b)
			}),
		).Draw(t, "header")
		other := m
		other.Signature = []string{text}
		if _, err := keys.Prove(other); text != good && err == nil {
			t.Fatalf("%q is taken", text)
		}
		other.Signature, other.Origin = m.Signature, []string{text}
		if _, err := keys.Prove(other); text != "" && err == nil {
			t.Fatalf("origin %q is taken", text)
		}
	})
}

func TestHowLateAMessageMayBe(t *testing.T) {
	t.Parallel()
	by := newSigner(t)
	retired := task.Key{Public: by.Public(), Anyone: true, Retired: noon}
	for _, c := range []struct {
		name   string
		key    task.Key
		stored time.Duration
		keep   time.Duration
		code   string
	}{
		{"at once", task.Key{Public: by.Public(), Anyone: true}, 0, 0, ""},
		{"by a clock that is behind", task.Key{Public: by.Public(), Anyone: true}, -task.MaxSkew, 0, ""},
		{"by one that is far behind", task.Key{Public: by.Public(), Anyone: true}, -task.MaxSkew - time.Second, 0, "stale"},
		{"after an outage", task.Key{Public: by.Public(), Anyone: true}, task.MaxLate, 0, ""},
		{"too late", task.Key{Public: by.Public(), Anyone: true}, task.MaxLate + time.Second, 0, "stale"},
		{"kept shortly", task.Key{Public: by.Public(), Anyone: true}, 10 * time.Minute, 20 * time.Minute, ""},
		{"kept shortly and late", task.Key{Public: by.Public(), Anyone: true}, 10*time.Minute + time.Second, 20 * time.Minute, "stale"},
		{"as the key retires", retired, task.MaxSkew, 0, ""},
		{"after the key has retired", retired, task.MaxSkew + time.Second, 0, "key"},
	} {
		m, e := letter(t, by, alice, "default")
		e.Keep = c.keep
		m.Stored = noon.Add(c.stored)
		p, err := task.TrustKeys(c.key).Prove(m)
		if err == nil {
			err = p.Job(e)
		}
		if code(err) != c.code {
			t.Errorf("%s: %v, want %q", c.name, err, c.code)
		}
	}
}

// A worker that moved a job may be gone, its key retired, when that job is due.
func TestHowLongAJobCountsThatARetiredWorkersKeyMoved(t *testing.T) {
	t.Parallel()
	by, worker := newSigner(t), newSigner(t)
	long := noon.Add(90 * 24 * time.Hour)
	for _, c := range []struct {
		name          string
		due           time.Time // zero for one that was tried before
		keep          time.Duration
		stored, taken time.Time // taken: when its producer signed it
		change        bool
		code          string
	}{
		{"when it is due", long, 0, long, noon, false, ""},
		{"a week later", long, 0, long.Add(task.MaxLate), noon, false, ""},
		{"after that", long, 0, long.Add(task.MaxLate + time.Second), noon, false, "key"},
		{"before it is due", long, 0, long.Add(-task.MaxSkew - time.Second), noon, false, "key"},
		{"kept shortly, when it is due", long, time.Hour, long.Add(time.Hour), noon, false, ""},
		{"tried before", time.Time{}, 0, noon.Add(task.MaxLate), noon, false, ""},
		{"tried before, a week ago", time.Time{}, 0, noon.Add(task.MaxLate + time.Second), noon, false, "key"},
		{"tried before and kept shortly", time.Time{}, time.Hour, noon.Add(30*time.Minute + time.Second), noon, false, "key"},
		{"that the worker made", long, 0, long, noon, true, "key"},
		{"whose producer's key was retired before", long, 0, long, noon.Add(2 * time.Hour), false, "key"},
	} {
		m, e := letter(t, by, alice, "docs")
		e.NotBefore, e.Keep = c.due, c.keep
		m.Body = e.Encode()
		was := by.Sign(m.Installation, m.Subject, "", m.Body, c.taken)
		m.Origin = []string{task.OriginOf([]string{was}, nil, m.Subject, m.Body)}
		if c.change {
			e.Task = "doc.other"
			m.Body = e.Encode()
		}
		m.Stored = c.stored
		m.Signature = []string{worker.Sign(m.Installation, m.Subject, m.Origin[0], m.Body, c.stored)}
		p, err := task.TrustKeys(
			task.Key{Public: by.Public(), Anyone: true, Retired: noon.Add(time.Hour)},
			task.Key{Public: worker.Public(), Works: []string{"docs"}, Retired: noon.Add(-time.Hour)},
		).Prove(m)
		if err == nil {
			err = p.Job(e)
		}
		if code(err) != c.code {
			t.Errorf("%s: %v, want %q", c.name, err, c.code)
		}
	}
}

func TestWhatAKeyMayDo(t *testing.T) {
	t.Parallel()
	by, worker := newSigner(t), newSigner(t)
	p := by.Public()
	producers := []struct {
		name  string
		key   task.Key
		user  task.User
		queue string
		code  string
	}{
		{"its user", task.Key{Public: p, Users: []task.User{alice}}, alice, "docs", ""},
		{"another user", task.Key{Public: p, Users: []task.User{alice}}, bob, "docs", "user"},
		{"nobody, with a user", task.Key{Public: p, Users: []task.User{alice}}, task.User{}, "docs", "user"},
		{"its realm", task.Key{Public: p, Realms: []string{alice.Realm}}, bob, "docs", ""},
		{"the beginning of its realm", task.Key{Public: p, Realms: []string{alice.Realm}}, task.User{Realm: alice.Realm + "2", ID: "bob"}, "docs", "user"},
		{"no realm", task.Key{Public: p, Realms: []string{alice.Realm}}, task.User{ID: "bob"}, "docs", "user"},
		{"nobody", task.Key{Public: p, Anonymous: true}, task.User{}, "docs", ""},
		{"somebody", task.Key{Public: p, Anonymous: true}, alice, "docs", "user"},
		{"anyone", task.Key{Public: p, Anyone: true}, alice, "docs", ""},
		{"anyone: nobody", task.Key{Public: p, Anyone: true}, task.User{}, "docs", ""},
		{"its queue", task.Key{Public: p, Anyone: true, Queues: []string{"docs"}}, alice, "docs", ""},
		{"another queue", task.Key{Public: p, Anyone: true, Queues: []string{"docs"}}, alice, "mail", "queue"},
		{"a worker's key alone", task.Key{Public: p, Works: []string{"*"}}, alice, "docs", "user"},
	}
	for _, c := range producers {
		m, e := letter(t, by, c.user, c.queue)
		proof, err := task.TrustKeys(c.key).Prove(m)
		if err == nil {
			err = proof.Job(e)
		}
		if code(err) != c.code {
			t.Errorf("%s: %v, want %q", c.name, err, c.code)
		}
	}
	workers := []struct {
		name, queue string
		key         task.Key
		code        string
	}{
		{"its own queue", "docs", task.Key{Works: []string{"docs"}}, ""},
		{"another", "mail", task.Key{Works: []string{"docs"}}, "queue"},
		{"another that it may queue into", "mail", task.Key{Works: []string{"docs"}, Into: []string{"mail"}}, ""},
		{"any", "mail", task.Key{Works: []string{"*"}}, ""},
	}
	for _, c := range workers {
		c.key.Public = worker.Public()
		keys := task.TrustKeys(task.Key{Public: p, Realms: []string{alice.Realm}}, c.key)
		first, _ := letter(t, by, alice, "docs")
		m, e := letter(t, worker, alice, c.queue)
		m.Origin = []string{task.OriginOf(first.Signature, nil, first.Subject, first.Body)}
		m.Signature = []string{worker.Sign(m.Installation, m.Subject, m.Origin[0], m.Body, noon)}
		proof, err := keys.Prove(m)
		if err == nil {
			err = proof.Job(e)
		}
		if code(err) != c.code {
			t.Errorf("a job of a job into %s: %v, want %q", c.name, err, c.code)
		}
		if err == nil && proof.Origin() != m.Origin[0] {
			t.Errorf("into %s: the origin is not handed on", c.name)
		}
	}
	records := []struct {
		name string
		key  task.Key
		rec  task.Record
		code string
	}{
		{"a success in its queue", task.Key{Works: []string{"docs"}}, task.Record{Outcome: task.Outcome{Queue: "docs", End: task.Succeeded}}, ""},
		{"a success elsewhere", task.Key{Works: []string{"docs"}, Into: []string{"mail"}}, task.Record{Outcome: task.Outcome{Queue: "mail", End: task.Succeeded}}, "queue"},
		{"a failure where it may queue", task.Key{Works: []string{"docs"}, Into: []string{"mail"}}, task.Record{Outcome: task.Outcome{Queue: "mail", End: task.Failed}}, "queue"},
		{"a success by a producer", task.Key{Anyone: true}, task.Record{Outcome: task.Outcome{Queue: "docs", End: task.Succeeded}}, "queue"},
		{"its user's cancellation", task.Key{Users: []task.User{alice}}, task.Record{Outcome: task.Outcome{Queue: "docs", End: task.Cancelled, User: alice}}, ""},
		{"a cancellation in its queue", task.Key{Anyone: true, Queues: []string{"docs"}}, task.Record{Outcome: task.Outcome{Queue: "docs", End: task.Cancelled, User: alice}}, ""},
		{"a cancellation elsewhere", task.Key{Anyone: true, Queues: []string{"docs"}}, task.Record{Outcome: task.Outcome{Queue: "mail", End: task.Cancelled, User: alice}}, "queue"},
		{"another user's cancellation", task.Key{Users: []task.User{alice}}, task.Record{Outcome: task.Outcome{Queue: "docs", End: task.Cancelled, User: bob}}, "user"},
	}
	for _, c := range records {
		c.key.Public = p
		m, _ := letter(t, by, alice, "docs")
		proof, err := task.TrustKeys(c.key).Prove(m)
		if err != nil {
			t.Fatal(err)
		}
		if err := proof.Record(&c.rec); code(err) != c.code {
			t.Errorf("%s: %v, want %q", c.name, err, c.code)
		}
	}
	follows := []struct {
		name  string
		user  task.User
		queue string
		code  string
	}{
		{"in its queue", alice, "docs", ""},
		{"in one that it may queue into", alice, "mail", ""},
		{"elsewhere", alice, "default", "queue"},
		{"for another", bob, "docs", "user"},
	}
	for _, c := range follows {
		m, _ := letter(t, by, alice, "docs")
		proof, err := task.TrustKeys(task.Key{Public: p, Works: []string{"docs"}, Into: []string{"mail"}}).Prove(m)
		if err != nil {
			t.Fatal(err)
		}
		_, e := letter(t, by, c.user, c.queue)
		if err := proof.Follows(alice.Owner(), e); code(err) != c.code {
			t.Errorf("what follows, %s: %v, want %q", c.name, err, c.code)
		}
	}
}

func TestKeysThatAreNone(t *testing.T) {
	t.Parallel()
	seed := newSeed(t)
	p := signerOf(t, seed).Public()
	for want, keys := range map[string][]task.Key{
		"there are no keys":     nil,
		"must not be empty":     {{Anyone: true}},
		"a private seed":        {{Public: string(seed), Anyone: true}},
		"no public nkey":        {{Public: "U123", Anyone: true}},
		"may do nothing":        {{Public: p}},
		"there twice":           {{Public: p, Anyone: true}, {Public: p, Works: []string{"*"}}},
		"only a worker's key":   {{Public: p, Anyone: true, Into: []string{"mail"}}},
		`try "mail-out"`:        {{Public: p, Works: []string{"mail.out"}}},
		"the anonymous user":    {{Public: p, Users: []task.User{{}}}},
		"needs an ID":           {{Public: p, Users: []task.User{{Realm: "/site"}}}},
		`realm "": it must not`: {{Public: p, Realms: []string{""}}},
	} {
		err := task.TrustKeys(keys...).Check()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: want %q", err, want)
		}
		if err != nil && strings.Contains(err.Error(), string(seed)) {
			t.Error("the error shows a seed")
		}
	}
}

func TestAKeyFileCountsAsItChanges(t *testing.T) {
	t.Parallel()
	by := newSigner(t)
	path := filepath.Join(t.TempDir(), "keys.json")
	put := func(keys ...task.Key) {
		t.Helper()
		text, err := json.Marshal(map[string]any{"keys": keys})
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path+".new", text, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	}
	becomes := func(keys *task.Keys, what string, ok func(error) bool) {
		t.Helper()
		m, _ := letter(t, by, alice, "docs")
		for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
			_, err := keys.Prove(m)
			if ok(err) {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s: %v", what, err)
			}
		}
	}
	gone := func(err error) bool { return errors.Is(err, task.ErrNoKeys) }
	keys := task.TrustFile(path)
	if err := keys.Check(); !gone(err) {
		t.Fatalf("a file that is not there: %v", err)
	}
	put(task.Key{Public: newSigner(t).Public(), Anyone: true})
	becomes(keys, "a stranger", func(err error) bool { return err != nil && code(err) == "key" })
	put(task.Key{Public: by.Public(), Realms: []string{alice.Realm}})
	becomes(keys, "a key that is added", func(err error) bool { return err == nil })
	for what, spoil := range map[string]func(){
		"cut short": func() { _ = os.WriteFile(path, []byte(`{"keys": [`), 0o644) },
		"empty":     func() { _ = os.WriteFile(path, nil, 0o644) },
		"no keys":   func() { _ = os.WriteFile(path, []byte(`{"keys": []}`), 0o644) },
		"a typo": func() {
			_ = os.WriteFile(path, []byte(`{"keys": [{"key": "`+by.Public()+`", "realm": "/site"}]}`), 0o644)
		},
		"two files": func() {
			_ = os.WriteFile(path, []byte(`{"keys": [{"key": "`+by.Public()+`", "anyone": true}]} {}`), 0o644)
		},
		"too large": func() {
			_ = os.WriteFile(path, append([]byte(`{"keys": [{"key": "`+by.Public()+`", "anyone": true}]}`), make([]byte, 1<<20)...), 0o644)
		},
		"a field twice": func() {
			_ = os.WriteFile(path, []byte(`{"keys": [{"key": "`+by.Public()+`", "users": [{"id": "x"}], "anyone": false, "Anyone": true}]}`), 0o644)
		},
		"keys twice": func() {
			_ = os.WriteFile(path, []byte(`{"keys": [], "keys": [{"key": "`+by.Public()+`", "anyone": true}]}`), 0o644)
		},
		"open": func() { _ = os.Chmod(path, 0o666) },
		"gone": func() { _ = os.Remove(path) },
		"no file": func() {
			_ = os.Remove(path)
			_ = os.Mkdir(path, 0o700)
		},
	} {
		put(task.Key{Public: by.Public(), Realms: []string{alice.Realm}})
		becomes(keys, "a file that is right again", func(err error) bool { return err == nil })
		spoil()
		becomes(keys, what, gone)
		if what == "no file" {
			_ = os.Remove(path)
		}
	}
}

// In an image or a store all files are of the same time, and keys are all as long.
func TestAKeyFileCountsThoughItsTimeAndSizeAreThoseOfBefore(t *testing.T) {
	t.Parallel()
	before, after := newSigner(t), newSigner(t)
	path := filepath.Join(t.TempDir(), "keys.json")
	put := func(by *task.Signer) {
		t.Helper()
		text := []byte(`{"keys": [{"key": "` + by.Public() + `", "anyone": true}]}`)
		if err := os.WriteFile(path+".new", text, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path+".new", time.Unix(1, 0), time.Unix(1, 0)); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	}
	put(before)
	keys := task.TrustFile(path)
	m, _ := letter(t, before, alice, "docs")
	if _, err := keys.Prove(m); err != nil {
		t.Fatal(err)
	}
	put(after)
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		if _, err := keys.Prove(m); code(err) == "key" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("a key that is gone from the file still counts")
		}
	}
}

// Whoever writes the file by hand is told where it is wrong, and how it is right.
func TestAKeyFileThatCannotBeReadSaysWhatToWrite(t *testing.T) {
	t.Parallel()
	key, seed := newSigner(t).Public(), newSeed(t)
	dir := t.TempDir()
	check := func(text string) error {
		path := filepath.Join(dir, "keys.json")
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return task.TrustFile(path).Check()
	}
	web := `{"key": "` + key + `", "name": "web", `
	for text, says := range map[string][]string{
		"":                    {"it is empty", `{"keys": [{"key": "UA…"`},
		" \n":                 {"it is empty"},
		"[]":                  {"it is no JSON object", `{"keys": [`},
		`{"keys": {}}`:        {`field "keys"`, `"keys": [{`},
		"{\n\"keys\": [\n,]}": {"line 3", "no file of trusted keys"},
		string(seed):          {"line 1", "no file of trusted keys", `{"keys": [`},
		`{"keys": [{"key": "` + key + `", "anyone": true}, ` + web + `"retired": "2026-11-28"}]}`: {
			`key 2, "web"`, `field "retired"`, `"retired": "2026-12-01T00:00:00Z"`,
		},
		`{"keys": [` + web + `"realms": "/site"}]}`:                      {`key 1, "web"`, `field "realms"`, `"realms": ["/site"]`},
		`{"keys": [` + web + `"realm": "/site"}]}`:                       {`key 1, "web"`, `field "realm": there is none`, "realms"},
		`{"keys": [` + web + `"Anyone": true}]}`:                         {`field "Anyone": there is none`, "anyone"},
		`{"keys": [` + web + `"anyone": true, "anyone": true}]}`:         {`field "anyone": it comes twice`},
		`{"keys": [` + web + `"queues": ["docs"], "queueſ": ["mail"]}]}`: {`field "queueſ": there is none`},
		`{"keys": [` + web + `"users": [{"id": "x"}, {"ID": "x"}]}]}`:    {`key 1, "web": user 2: field "ID"`, "id, realm"},
		`{"keys": [` + web + `"users": ["x"]}]}`:                         {"user 1", "no JSON object"},
		`{"keys": [null]}`:                                               {"key 1", "no JSON object"},
	} {
		err := check(text)
		for _, part := range append(says, "keys.json") {
			if err == nil || !strings.Contains(err.Error(), part) {
				t.Errorf("%s: error %v does not say %q", text, err, part)
			}
		}
		if err != nil && strings.Contains(err.Error(), string(seed)) {
			t.Error("the error shows a seed")
		}
	}
	every, err := json.Marshal(map[string]any{"keys": []task.Key{{
		Public: key, Name: "all", Users: []task.User{alice}, Realms: []string{"/site"}, Anonymous: true, Anyone: true,
		Queues: []string{"docs"}, Works: []string{"docs"}, Into: []string{"mail"}, Retired: time.Now(),
	}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := check(string(every)); err != nil {
		t.Errorf("a file with every field: %v", err)
	}
	path := filepath.Join(dir, "keys.json")
	_, err = task.SignerFromFile(path)
	if err == nil || !strings.Contains(err.Error(), `keys.json": `) || !strings.Contains(err.Error(), "natsasync auth key") || strings.Contains(err.Error(), "\n") {
		t.Errorf("a signer from the file of keys: %v", err)
	}
}

func TestASignersFileIsPrivate(t *testing.T) {
	t.Parallel()
	seed := newSeed(t)
	dir := t.TempDir()
	file := func(name string, text []byte, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	creds := []byte("-----BEGIN NATS USER JWT-----\neyJ0\n------END NATS USER JWT------\n\n-----BEGIN USER NKEY SEED-----\n" + string(seed) + "\n------END USER NKEY SEED------\n")
	for _, path := range []string{file("seed", append(seed, '\n'), 0o600), file("creds", creds, 0o400)} {
		s, err := task.SignerFromFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if s.Public() != signerOf(t, seed).Public() {
			t.Errorf("%s: another key", path)
		}
		for _, shown := range []string{fmt.Sprint(s), fmt.Sprintf("%+v", s), fmt.Sprintf("%#v", s)} {
			if !strings.Contains(shown, s.Public()) || strings.Contains(shown, "key:") {
				t.Errorf("a signer is shown as %s", shown)
			}
		}
	}
	junk := make([]byte, 100)
	_, _ = rand.Read(junk)
	for want, path := range map[string]string{
		"chmod 600":    file("open", seed, 0o640),
		"no nkey":      file("junk", junk, 0o600),
		"no such file": filepath.Join(dir, "none"),
	} {
		if _, err := task.SignerFromFile(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
	}
	if _, err := task.NewSigner([]byte("SUA")); err == nil {
		t.Error("a seed that is none is taken")
	}
}

func FuzzProve(f *testing.F) {
	by := newSigner(f)
	keys := task.TrustKeys(task.Key{Public: by.Public(), Anyone: true})
	m, _ := letter(f, by, alice, "default")
	origin := task.OriginOf(m.Signature, nil, m.Subject, m.Body)
	f.Add(m.Signature[0], "", m.Body)
	f.Add(m.Signature[0], origin, m.Body)
	f.Add(by.Sign(m.Installation, m.Subject, origin, m.Body, noon), origin, m.Body)
	f.Add("", "a b c d e", []byte{})
	f.Fuzz(func(t *testing.T, sig, origin string, body []byte) {
		m := m
		m.Signature, m.Body = []string{sig}, body
		if origin != "" {
			m.Origin = []string{origin}
		}
		if p, err := keys.Prove(m); err == nil && p.Origin() == "" {
			t.Error("a proof without an origin")
		}
	})
}
