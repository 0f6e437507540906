package task_test

import (
	"bytes"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/vmihailenco/msgpack/v5"
	"pgregory.net/rapid"

	"github.com/natsasync/natsasync/task"
)

var (
	ids     = shared(rapid.StringMatching(`[A-Za-z0-9_-]{1,64}(\.(cb|[1-9]|[1-9][0-9])){0,4}`))
	tokens  = shared(rapid.StringMatching(`[a-z0-9][a-z0-9-]{0,20}`))
	names   = shared(rapid.StringMatching(`[a-z0-9_-]{1,9}(\.[a-z0-9_-]{1,9}){0,3}`))
	objects = shared(rapid.Map(rapid.StringMatching(`(/[a-zA-Z0-9_äß-]{1,12}){0,5}`), func(s string) task.Object { return task.Object(s) }))
	texts   = shared(rapid.StringN(0, 40, -1))
	blobs   = shared(rapid.SliceOfN(rapid.Byte(), 1, 400))
	lists   = shared(rapid.SliceOfN(blobs, 0, 5))
	times   = shared(rapid.Custom(func(t *rapid.T) time.Time {
		if rapid.Bool().Draw(t, "unset") {
			return time.Time{}
		}
		return time.UnixMicro(rapid.Int64Range(1, 1<<53).Draw(t, "micros")).UTC()
	}))
	users = shared(rapid.Custom(func(t *rapid.T) task.User {
		if rapid.Bool().Draw(t, "anonymous") {
			return task.User{}
		}
		return task.User{Realm: rapid.StringMatching(`[ -~é]{0,60}`).Draw(t, "realm"), ID: rapid.StringMatching(`[ -~é]{1,60}`).Draw(t, "id")}
	}))
)

// shared names a generator before parallel tests draw from it: rapid does it at first
// use, and does not guard it.
func shared[T any](g *rapid.Generator[T]) *rapid.Generator[T] {
	_ = g.String()
	return g
}

func spanOf(t *rapid.T, label string, least, most time.Duration) time.Duration {
	if rapid.Bool().Draw(t, label+" unset") {
		return 0
	}
	return time.Duration(rapid.Int64Range(least.Microseconds(), most.Microseconds()).Draw(t, label)) * time.Microsecond
}

func anyEnvelope(t *rapid.T) *task.Envelope {
	e := &task.Envelope{
		Installation: texts.Draw(t, "installation"), ID: ids.Draw(t, "id"), Queue: tokens.Draw(t, "queue"), Lane: tokens.Draw(t, "lane"),
		User: users.Draw(t, "user"), Task: names.Draw(t, "task"), Object: objects.Draw(t, "object"),
		When: task.When(rapid.IntRange(0, 3).Draw(t, "when")), Take: task.Take(rapid.IntRange(0, 3).Draw(t, "take")),
		Callbacks: lists.Draw(t, "callbacks"), Issued: time.UnixMicro(rapid.Int64Range(1, 1<<53).Draw(t, "issued")).UTC(), NotBefore: times.Draw(t, "not before"),
		StartWithin: spanOf(t, "start within", time.Millisecond, task.MaxDuration), Timeout: spanOf(t, "timeout", time.Millisecond, task.MaxDuration),
		Keep: spanOf(t, "keep", task.MinKeep, task.MaxKeep),
	}
	if rapid.Bool().Draw(t, "has input") {
		e.Input = blobs.Draw(t, "input")
	}
	if rapid.Bool().Draw(t, "belongs") {
		e.Parent, e.After = ids.Draw(t, "parent"), ids.Draw(t, "after")
	}
	if rapid.Bool().Draw(t, "batch") {
		e.Mode, e.Task, e.Members = task.Parallel, task.ParallelBatch, lists.Draw(t, "members")
	}
	if rapid.Bool().Draw(t, "retries") {
		p := task.Policy{Attempts: rapid.IntRange(0, 10_000).Draw(t, "attempts"), Delay: spanOf(t, "delay", 0, time.Hour), Aside: rapid.Bool().Draw(t, "aside")}
		if p.MaxDelay = spanOf(t, "max delay", time.Hour, task.MaxDuration); p.MaxDelay != 0 {
			p.MaxDelay = max(p.MaxDelay, p.Delay)
		}
		e.Retry = &p
	}
	return e
}

func anyFailure(t *rapid.T, left int) *task.Failure {
	f := &task.Failure{
		Code: texts.Draw(t, "code"), Message: texts.Draw(t, "message"), Stack: texts.Draw(t, "stack"), Task: names.Draw(t, "task"),
		ID: ids.Draw(t, "id"), Attempt: rapid.IntRange(0, math.MaxInt32).Draw(t, "attempt"),
	}
	if left > 0 && rapid.Bool().Draw(t, "has cause") {
		f.Cause = anyFailure(t, left-1)
	}
	return f
}

func anyOutcome(t *rapid.T) task.Outcome {
	o := task.Outcome{
		ID: ids.Draw(t, "id"), Parent: texts.Draw(t, "parent"), Task: names.Draw(t, "task"), Queue: tokens.Draw(t, "queue"), Object: objects.Draw(t, "object"),
		User: users.Draw(t, "user"), End: rapid.SampledFrom([]task.End{task.Succeeded, task.Failed, task.Cancelled}).Draw(t, "end"),
		Attempt: rapid.IntRange(0, math.MaxInt32).Draw(t, "attempt"), Queued: times.Draw(t, "queued"), Started: times.Draw(t, "started"), Ended: times.Draw(t, "ended"),
		Worker: texts.Draw(t, "worker"),
	}
	if o.End == task.Succeeded {
		o.Value = blobs.Draw(t, "value")
	}
	if o.End == task.Failed {
		o.Failure = anyFailure(t, 16)
	}
	return o
}

// same checks that decode takes what encode gave, and that encoding it again gives the
// same bytes: there is one way to write a value.
func same[T any](t *rapid.T, want T, b []byte, decode func([]byte) (T, error), encode func(T) []byte) {
	got, err := decode(b)
	if err != nil {
		t.Fatalf("decode %x: %v", b, err)
	}
	if diff := cmp.Diff(want, got, asWire); diff != "" {
		t.Fatalf("decoded (-want +got):\n%s", diff)
	}
	if again := encode(got); !bytes.Equal(again, b) {
		t.Fatalf("encoded again:\nwant %x\ngot  %x", b, again)
	}
}

func TestAnyEnvelopeSurvivesTheWire(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		e := anyEnvelope(t)
		same(t, e, e.Encode(), task.DecodeEnvelope, (*task.Envelope).Encode)
	})
}

func TestAnyRecordSurvivesTheWire(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		outcome := anyOutcome(t)
		var members []string
		for n := range rapid.IntRange(0, 4).Draw(t, "members") {
			members = append(members, task.MemberID(outcome.ID, n+1))
		}
		r := &task.Record{
			Outcome: outcome, Mode: task.Mode(rapid.IntRange(0, 2).Draw(t, "mode")), Members: members,
			Callbacks: rapid.Bool().Draw(t, "callbacks"), Queues: lists.Draw(t, "queues"), Envelope: blobs.Draw(t, "envelope"),
		}
		same(t, r, r.Encode(), task.DecodeRecord, (*task.Record).Encode)
	})
}

func TestAnyClaimSurvivesTheWire(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		c := &task.Claim{
			ID: ids.Draw(t, "id"), Worker: texts.Draw(t, "worker"),
			State:   rapid.SampledFrom([]task.ClaimState{task.ClaimRunning, task.ClaimRetrying, task.ClaimParked, task.ClaimReturned, task.ClaimUnknown}).Draw(t, "state"),
			Created: times.Draw(t, "created"), Delivery: rapid.Uint64().Draw(t, "delivery"), Attempts: rapid.IntRange(0, math.MaxInt32).Draw(t, "attempts"),
			Interruptions: rapid.IntRange(0, 10).Draw(t, "interruptions"), NotBefore: times.Draw(t, "not before"), Due: times.Draw(t, "due"),
			Seen: times.Draw(t, "seen"), Started: times.Draw(t, "started"), Parked: rapid.SliceOfN(ids, 0, 4).Draw(t, "parked"),
		}
		if rapid.Bool().Draw(t, "failed") {
			c.Failure = anyFailure(t, 3)
		}
		if rapid.Bool().Draw(t, "continued") {
			c.Continued = blobs.Draw(t, "continued")
		}
		same(t, c, c.Encode(), task.DecodeClaim, (*task.Claim).Encode)
	})
}

func TestAnyNotesSurviveTheWire(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n := &task.Notes{Progress: rapid.Float64Range(0, 1).Draw(t, "progress"), Text: texts.Draw(t, "text"), Values: rapid.MapOfN(names, blobs, 0, 4).Draw(t, "values")}
		b, err := n.Encode()
		if err != nil {
			t.Fatal(err)
		}
		same(t, n, b, task.DecodeNotes, func(n *task.Notes) []byte { again, _ := n.Encode(); return again })
	})
}

func TestOutcomesAndFailuresTravelAsValues(t *testing.T) {
	t.Parallel()
	type holder struct {
		One  task.Outcome
		Some []task.Outcome
		Why  *task.Failure
		None *task.Failure
		Also task.Failure
	}
	rapid.Check(t, func(t *rapid.T) {
		want := holder{One: anyOutcome(t), Some: []task.Outcome{anyOutcome(t), anyOutcome(t)}, Why: anyFailure(t, 16), Also: *anyFailure(t, 2)}
		b, err := task.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		var got holder
		if err := task.Unmarshal(b, &got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, asWire); diff != "" {
			t.Fatalf("decoded (-want +got):\n%s", diff)
		}
	})
}

func TestAnOutcomeAsAValueLooksAsInItsRecord(t *testing.T) {
	t.Parallel()
	for name, r := range records() {
		b, err := task.Marshal(r.Outcome)
		if err != nil {
			t.Fatal(err)
		}
		var value, record map[string]any
		if err := task.Unmarshal(b, &value); err != nil {
			t.Fatal(err)
		}
		if err := task.Unmarshal(r.Encode(), &record); err != nil {
			t.Fatal(err)
		}
		for key, want := range value {
			if diff := cmp.Diff(want, record[key]); diff != "" {
				t.Errorf("%s: field %q (-value +record):\n%s", name, key, diff)
			}
		}
	}
}

func TestResultsOfABatchMayBeLargerThanAMessage(t *testing.T) {
	t.Parallel()
	big, err := task.Marshal(make([]byte, 200<<10))
	if err != nil {
		t.Fatal(err)
	}
	inner := make([]task.Outcome, 20)
	for i := range inner {
		inner[i] = outcome(task.Succeeded)
		inner[i].Value = big
	}
	outer := outcome(task.Succeeded)
	if outer.Value, err = task.Marshal(inner); err != nil {
		t.Fatal(err)
	}
	nested := outcome(task.Succeeded)
	if nested.Value, err = task.Marshal([]task.Outcome{outer}); err != nil {
		t.Fatal(err)
	}
	results, err := task.Result[[]task.Outcome](nested)
	if err != nil {
		t.Fatal(err)
	}
	if len(results) != 1 || !bytes.Equal(results[0].Value, outer.Value) {
		t.Error("the results of a batch in a batch are not what they were")
	}
}

// TestScanTakesWhatTheLibraryWrites draws values of every kind that msgpack has.
func TestScanTakesWhatTheLibraryWrites(t *testing.T) {
	t.Parallel()
	var value func(depth int) *rapid.Generator[any]
	value = func(depth int) *rapid.Generator[any] {
		kinds := []*rapid.Generator[any]{
			rapid.Just[any](nil), rapid.Bool().AsAny(), rapid.Int64().AsAny(), rapid.Uint64().AsAny(), rapid.Int8().AsAny(), rapid.Float64().AsAny(), rapid.Float32().AsAny(),
			rapid.StringN(0, 300, -1).AsAny(), rapid.SliceOfN(rapid.Byte(), 0, 300).AsAny(), times.AsAny(),
		}
		if depth > 0 {
			inner := rapid.Deferred(func() *rapid.Generator[any] { return value(depth - 1) })
			kinds = append(kinds, rapid.SliceOfN(inner, 0, 20).AsAny(), rapid.MapOfN(texts, inner, 0, 20).AsAny())
		}
		return rapid.OneOf(kinds...)
	}
	rapid.Check(t, func(t *rapid.T) {
		v := value(4).Draw(t, "value")
		b, err := task.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if err := task.Scan(b); err != nil {
			t.Fatalf("Scan(%x): %v", b, err)
		}
		var a, back any
		if err := msgpack.Unmarshal(b, &a); err != nil {
			t.Fatal(err)
		}
		if err := task.Unmarshal(b, &back); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(a, back, asWire); diff != "" {
			t.Fatalf("the library reads (-) what we do not (+):\n%s", diff)
		}
		if err := task.Scan(b[:len(b)-1]); err == nil {
			t.Fatalf("Scan takes %x without its last byte", b)
		}
	})
}
