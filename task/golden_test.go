package task_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/natsasync/natsasync/task"
)

var (
	alice = task.User{Realm: "/plone/acl_users", ID: "alice"}
	add   = task.Define[addArgs, int]("math.add")
	tell  = task.Define[int, task.None]("mail.sum")
	alert = task.Define[task.Failure, task.None]("mail.alert")
	audit = task.Define[task.Outcome, task.None]("audit.log")
	ping  = task.Define[task.None, task.None]("ping")
)

type addArgs struct{ A, B int }

const folder = task.Object("/plone/folder")

// batchOf stands for package batch, which imports this one.
func batchOf(mode task.Mode, calls ...task.Callable) task.Spec {
	name := map[task.Mode]string{task.Serial: task.SerialBatch, task.Parallel: task.ParallelBatch}[mode]
	s := task.Spec{Task: name, Mode: mode}
	for _, c := range calls {
		s.Members = append(s.Members, c.Spec())
	}
	return s
}

func sealed(s task.Callable, u task.User) *task.Envelope {
	e, err := s.Spec().Seal(task.Sealing{Installation: "BNTQXHK3WZ7D4LQ5", ID: "01KARNNN3VSTX2Q0YZ5R9M8E4B", User: u, Now: monday})
	if err != nil {
		panic(err)
	}
	return e
}

func envelopes() map[string]*task.Envelope {
	plain := add.On(folder, addArgs{A: 40, B: 2})
	return map[string]*task.Envelope{
		"plain":     sealed(plain, alice),
		"smallest":  sealed(ping.On("", task.None{}), task.User{}),
		"callbacks": sealed(plain.OnSuccess(tell).OnFailure(alert.At("/plone/other", task.Timeout(time.Minute))).OnDone(audit).Then(plain), alice),
		"options": sealed(plain.With(
			task.InQueue("docs"), task.WithQuota("smtp"), task.Delay(90*time.Second), task.StartWithin(time.Hour),
			task.Timeout(30*time.Second), task.Keep(time.Hour),
			task.Retry(task.Policy{Attempts: 7, Delay: time.Second, MaxDelay: time.Minute, Aside: true}),
		), alice),
		"batch": sealed(batchOf(task.Serial, plain, batchOf(task.Parallel, plain.OnSuccess(tell), ping.On("", task.None{}))), alice),
		"continuation": func() *task.Envelope {
			e, err := plain.Spec().Seal(task.Sealing{ID: "01KARNNN3VSTX2Q0YZ5R9M8E4C", Parent: "01KARNNN3VSTX2Q0YZ5R9M8E4B", Queue: "docs", User: alice, Now: monday})
			if err != nil {
				panic(err)
			}
			return e
		}(),
	}
}

var deepFailure = &task.Failure{
	Code: "timeout", Message: "resize: the attempt took too long", Stack: "goroutine 7 [running]:", Task: "img.resize", ID: "job", Attempt: 2,
	Cause: &task.Failure{Code: "timeout", Message: "the attempt took too long"},
}

func outcome(end task.End) task.Outcome {
	return task.Outcome{
		ID: "01KARNNN3VSTX2Q0YZ5R9M8E4B", Task: "math.add", Queue: "default", Object: folder, User: alice, End: end, Attempt: 1,
		Queued: monday, Started: monday.Add(time.Second), Ended: monday.Add(2 * time.Second), Worker: "host-1",
	}
}

func records() map[string]*task.Record {
	succeeded, failed, cancelled, batch := outcome(task.Succeeded), outcome(task.Failed), outcome(task.Cancelled), outcome(task.Succeeded)
	succeeded.Value = []byte{42}
	failed.Failure, failed.Attempt = deepFailure, 2
	batch.Task = task.SerialBatch
	plain := envelopes()["plain"].Encode()
	return map[string]*task.Record{
		"succeeded": {Outcome: succeeded, Callbacks: true, Queues: [][]byte{envelopes()["smallest"].Encode()}},
		"failed":    {Outcome: failed, Envelope: plain},
		"cancelled": {Outcome: cancelled},
		"batch":     {Outcome: batch, Mode: task.Serial, Members: []string{"01KARNNN3VSTX2Q0YZ5R9M8E4B.1", "01KARNNN3VSTX2Q0YZ5R9M8E4B.2"}},
	}
}

func claims() map[string]*task.Claim {
	const id = "01KARNNN3VSTX2Q0YZ5R9M8E4B"
	return map[string]*task.Claim{
		"running":  {ID: id, Worker: "host-1", State: task.ClaimRunning, Created: monday, Delivery: 70_000, Started: monday.Add(time.Minute)},
		"retrying": {ID: id, Worker: "host-1", State: task.ClaimRetrying, Created: monday, Delivery: 3, Attempts: 2, Interruptions: 1, Failure: deepFailure, NotBefore: monday.Add(time.Hour), Due: monday},
		"parked":   {ID: id, Worker: "host-1", State: task.ClaimParked, Created: monday, Delivery: 3, Parked: []string{id + ".1", id + ".2"}, Continued: envelopes()["continuation"].Encode()},
		"unknown":  {ID: id, Worker: "host-1", State: task.ClaimUnknown, Created: monday, Delivery: 1, Seen: monday},
	}
}

func TestEnvelopesStayAsTheyWereOnceWritten(t *testing.T) {
	t.Parallel()
	for name, e := range envelopes() {
		b := e.Encode()
		golden(t, "envelope-"+name, b)
		got, err := task.DecodeEnvelope(b)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if diff := cmp.Diff(e, got, asWire); diff != "" {
			t.Errorf("%s: decoded (-want +got):\n%s", name, diff)
		}
	}
}

func TestRecordsStayAsTheyWereOnceWritten(t *testing.T) {
	t.Parallel()
	for name, r := range records() {
		b := r.Encode()
		golden(t, "record-"+name, b)
		got, err := task.DecodeRecord(b)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if diff := cmp.Diff(r, got, asWire); diff != "" {
			t.Errorf("%s: decoded (-want +got):\n%s", name, diff)
		}
	}
}

func TestClaimsStayAsTheyWereOnceWritten(t *testing.T) {
	t.Parallel()
	for name, c := range claims() {
		b := c.Encode()
		golden(t, "claim-"+name, b)
		got, err := task.DecodeClaim(b)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if diff := cmp.Diff(c, got, asWire); diff != "" {
			t.Errorf("%s: decoded (-want +got):\n%s", name, diff)
		}
	}
}

func TestNotesAndEventsStayAsTheyWereOnceWritten(t *testing.T) {
	t.Parallel()
	notes := &task.Notes{Progress: 0.4, Text: "resizing", Values: map[string][]byte{"b": {2}, "a": {1}, "c": {0xa1, 'x'}}}
	for range 10 { // the keys of a map must not come in Go's random order
		b, err := notes.Encode()
		if err != nil {
			t.Fatal(err)
		}
		golden(t, "notes", b)
		got, err := task.DecodeNotes(b)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(notes, got); diff != "" {
			t.Errorf("decoded (-want +got):\n%s", diff)
		}
	}
	event := &task.Event{Task: "math.add", Worker: "host-1", Attempt: 2, At: monday, Progress: 0.4, Text: "resizing"}
	b := event.Encode()
	golden(t, "event", b)
	got, err := task.DecodeEvent(b)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(event, got); diff != "" {
		t.Errorf("decoded (-want +got):\n%s", diff)
	}
}

// golden compares b with testdata/name.hex; name.json beside it is its decoded view.
func golden(t *testing.T, name string, b []byte) {
	t.Helper()
	path := filepath.Join("testdata", name+".hex")
	if *update {
		var view bytes.Buffer
		enc := json.NewEncoder(&view)
		enc.SetIndent("", "  ")
		if err := enc.Encode(viewOf(t, b)); err != nil {
			t.Fatal(err)
		}
		write(t, path, inLines(hex.EncodeToString(b)))
		write(t, filepath.Join("testdata", name+".json"), view.String())
		return
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want, err := hex.DecodeString(strings.Join(strings.Fields(string(text)), ""))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(want, b) {
		t.Errorf("%s: the bytes have changed: others could not read them\nwant %x\ngot  %x", name, want, b)
	}
}

// viewOf shows bytes that are msgpack themselves as what they hold.
func viewOf(t *testing.T, b []byte) any {
	t.Helper()
	var v any
	if err := task.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	return opened(t, v)
}

func opened(t *testing.T, v any) any {
	t.Helper()
	switch v := v.(type) {
	case []byte:
		return map[string]any{"msgpack": viewOf(t, v)}
	case []any:
		for i := range v {
			v[i] = opened(t, v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = opened(t, v[k])
		}
	}
	return v
}

func inLines(s string) string {
	var b strings.Builder
	for len(s) > 64 {
		b.WriteString(s[:64] + "\n")
		s = s[64:]
	}
	return b.String() + s + "\n"
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
