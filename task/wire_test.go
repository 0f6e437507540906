package task_test

import (
	"bytes"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/natsasync/natsasync/task"
)

// fieldsOf is a valid envelope as keys and values.
func fieldsOf() []any {
	return []any{
		"v", 1, "id", "job", "q", "default", "l", "free", "u",
		[]string{"realm", "alice"},
		"t", "math.add", "o", "/a",
		"i",
		[]any{0, []byte{0x2a}},
		"at", int64(1_795_426_200_123_456),
	}
}

func with(key string, value any) []byte {
	pairs := fieldsOf()
	if !slices.Contains(pairs, any(key)) {
		return mapOf(append(pairs, key, value)...)
	}
	return mapOf(without(pairs, key, key, value)...)
}

func codeOf(err error) string {
	w, ok := errors.AsType[*task.WireError](err)
	if !ok {
		return fmt.Sprintf("%T: %v", err, err)
	}
	return w.Code
}

func TestTheFieldsOfTheTestsAreAnEnvelope(t *testing.T) {
	t.Parallel()
	if _, err := task.DecodeEnvelope(mapOf(fieldsOf()...)); err != nil {
		t.Fatal(err)
	}
	if _, err := task.DecodeEnvelope(with("x_trace", map[string]any{"deep": []int{1, 2}})); err != nil {
		t.Errorf("an extension field is refused: %v", err)
	}
}

func TestBadEnvelopesAreRefusedWithACode(t *testing.T) {
	t.Parallel()
	valid := mapOf(fieldsOf()...)
	for _, test := range []struct {
		name string
		body []byte
		code string
	}{
		{"no bytes", []byte{}, "empty"},
		{"nil", nil, "empty"},
		{"JSON", []byte(`{"func":"x"}`), "format"},
		{"a pickle", []byte("\x80\x04K\x01."), "trailing"},
		{"gzip", []byte("\x1f\x8b\x08\x00"), "trailing"},
		{"zstd", []byte("\x28\xb5\x2f\xfd"), "trailing"},
		{"one byte more", append(bytes.Clone(valid), 0), "trailing"},
		{"two envelopes", append(bytes.Clone(valid), valid...), "trailing"},
		{"a reserved byte", raw("c1"), "format"},
		{"a reserved byte inside", mapOf("v", raw("c1")), "format"},
		{"array of 4 Gi", raw("ddffffffff"), "truncated"},
		{"map of 4 Gi", raw("dfffffffff"), "truncated"},
		{"bytes of 4 Gi", raw("c6ffffffff"), "truncated"},
		{"string of 4 Gi", raw("dbffffffff"), "truncated"},
		{"input of 100 M values", mapOf("i", raw("dd05f5e100")), "truncated"},
		{"an extension", with("x_e", raw("d42a00")), "ext"},
		{"a timestamp as a time", with("at", monday), "type"},
		{"a short timestamp", with("x_e", raw("d4ff00")), "ext"},
		{"array", raw("93010203"), "type"},
		{"int", raw("2a"), "type"},
		{"string", raw("a16a"), "type"},
		{"nil value", raw("c0"), "type"},
		{"integer key", mapOf(1, 1), "key"},
		{"bytes key", mapOf([]byte("v"), 1), "key"},
		{"nil key", mapOf(nil, 1), "key"},
		{"array key", raw("819001"), "key"},
		{"map key", raw("818001"), "key"},
		{"bool key", mapOf(true, 1), "key"},
		{"float key", mapOf(1.5, 1), "key"},
		{"two users", mapOf(append(fieldsOf(), "u", []string{"realm", "admin"})...), "duplicate"},
		{"unknown field", with("root", true), "unknown"},
		{"long unknown field", with(strings.Repeat("k", 1000), true), "unknown"},
		{"x_ alone", with("x_", true), "unknown"},
		{"user nil", with("u", nil), "type"},
		{"user empty", with("u", ""), "type"},
		{"user int", with("u", 1), "type"},
		{"user bytes", with("u", []byte("alice")), "type"},
		{"user of no parts", with("u", []string{}), "type"},
		{"user of three parts", with("u", []string{"a", "b", "c"}), "type"},
		{"user without ID", with("u", []string{"realm", ""}), "name"},
		{"long user", with("u", []string{"", strings.Repeat("a", 257)}), "name"},
		{"user not UTF-8", with("u", []any{"realm", raw("a2fffe")}), "format"},
		{"task not UTF-8", with("t", raw("a2fffe")), "format"},
		{"id not UTF-8", with("id", raw("a2fffe")), "format"},
		{"object not UTF-8", with("o", raw("a32ffffe")), "format"},
		{"version 0", with("v", 0), "version"},
		{"version 2", with("v", 2), "version"},
		{"version -1", with("v", -1), "type"},
		{"version in quotes", with("v", "1"), "type"},
		{"version 1.0", with("v", 1.0), "type"},
		{"ID empty", with("id", ""), "missing"},
		{"ID of 1 MiB", with("id", strings.Repeat("a", 1<<20)), "too_large"},
		{"ID of 65 bytes", with("id", strings.Repeat("a", 65)), "name"},
		{"ID with a dot", with("id", "a.b"), "name"},
		{"ID with a star", with("id", "*"), "name"},
		{"ID with a tail", with("id", ">"), "name"},
		{"ID with a space", with("id", "a b"), "name"},
		{"parent with a star", with("p", "*"), "name"},
		{"after with a tail", with("a", ">"), "name"},
		{"queue with a dot", with("q", "a.b"), "name"},
		{"lane with a star", with("l", "*"), "name"},
		{"mode of another version", with("m", 3), "range"},
		{"single with members", with("ms", [][]byte{{0x80}}), "name"},
		{"task with the name of a batch", with("t", "batch.serial"), "name"},
		{"batch with the name of a task", with("m", 1), "name"},
		{"when of another version", with("w", 4), "range"},
		{"take of another version", with("k", 4), "range"},
		{"33 callbacks", with("cb", slices.Repeat([][]byte{{0x80}}, 33)), "range"},
		{"input of an unknown kind", with("i", []any{1, []byte{1}}), "version"},
		{"input without bytes", with("i", []any{0, []byte{}}), "empty"},
		{"input as text", with("i", []any{0, "x"}), "type"},
		{"time before 1970", with("at", -5), "type"},
		{"time without end", with("at", uint64(1)<<60), "range"},
		{"no time", with("at", 0), "missing"},
		{"delay of 292 years", with("sw", uint64(1)<<53), "range"},
		{"negative timeout", with("to", -1), "type"},
		{"timeout of a microsecond", with("to", 1), "range"},
		{"kept for a second", with("kp", 1_000_000), "range"},
		{"kept for a year", with("kp", int64(365*24*3600*1_000_000)), "range"},
		{"retry without end", with("r", []any{10_001, 0, 0, false}), "range"},
		{"retry with a delay above its bound", with("r", []any{5, 2, 1, false}), "range"},
		{"retry of three parts", with("r", []any{5, 0, 0}), "type"},
		{"a true array of nils", with("x_n", raw("dd000f4240"+strings.Repeat("c0", 1_000_000))), "too_large"},
	} {
		e, err := task.DecodeEnvelope(test.body)
		if err == nil {
			t.Errorf("%s: decoded to %+v", test.name, e)
			continue
		}
		if got := codeOf(err); got != test.code {
			t.Errorf("%s: code %q (%v), want %q", test.name, got, err, test.code)
		}
		if strings.ContainsAny(err.Error(), "\n\r\x1b") || len(err.Error()) > 400 {
			t.Errorf("%s: the error does not fit a log line: %q", test.name, err)
		}
	}
}

func TestOnlyWhatALaterVersionMadeIsLater(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		body  []byte
		later bool
	}{
		{"version 2", with("v", 2), true},
		{"the last version", with("v", uint64(1)<<63), true},
		{"an input of another kind", with("i", []any{1, []byte{1}}), true},
		{"version 0", with("v", 0), false},
		{"version -1", with("v", -1), false},
		{"no version", mapOf(without(fieldsOf(), "v")...), false},
		{"no job", raw("c0"), false},
	} {
		if _, err := task.DecodeEnvelope(test.body); err == nil || task.Later(err) != test.later {
			t.Errorf("%s: %v, later: %v", test.name, err, task.Later(err))
		}
	}
}

func TestEachRequiredFieldIsMissedByName(t *testing.T) {
	t.Parallel()
	for _, field := range []string{"v", "id", "q", "l", "t", "at"} {
		_, err := task.DecodeEnvelope(mapOf(without(fieldsOf(), field)...))
		if codeOf(err) != "missing" || !strings.Contains(err.Error(), `"`+field+`"`) {
			t.Errorf("without %q: %v", field, err)
		}
	}
	for _, field := range []string{"u", "o", "i"} {
		if _, err := task.DecodeEnvelope(mapOf(without(fieldsOf(), field)...)); err != nil {
			t.Errorf("without %q: %v", field, err)
		}
	}
}

func TestInvisibleCharactersAreInNoName(t *testing.T) {
	t.Parallel()
	for _, r := range []rune{0, '\r', '\n', 0x1b, 0x7f, 0x85, '\u202E', '\u200B', '\uFEFF'} {
		bad := "/a" + string(r) + "b"
		for _, field := range []string{"id", "q", "l", "t", "o", "p", "a"} {
			if _, err := task.DecodeEnvelope(with(field, bad)); codeOf(err) != "name" {
				t.Errorf("%U in %q: %v", r, field, err)
			}
		}
		for _, user := range [][]string{{bad, "alice"}, {"realm", bad}} {
			if _, err := task.DecodeEnvelope(with("u", user)); codeOf(err) != "name" {
				t.Errorf("%U in user %q: %v", r, user, err)
			}
		}
	}
}

func TestEveryCutIsRefused(t *testing.T) {
	t.Parallel()
	for name, e := range envelopes() {
		b := e.Encode()
		for n := range b {
			if _, err := task.DecodeEnvelope(b[:n]); n == 0 && codeOf(err) != "empty" || n > 0 && codeOf(err) != "truncated" {
				t.Fatalf("%s cut at %d of %d: %v", name, n, len(b), err)
			}
		}
	}
	for name, r := range records() {
		b := r.Encode()
		for n := range b {
			if _, err := task.DecodeRecord(b[:n]); err == nil {
				t.Fatalf("%s cut at %d of %d is taken", name, n, len(b))
			}
		}
	}
	for name, c := range claims() {
		b := c.Encode()
		for n := range b {
			if _, err := task.DecodeClaim(b[:n]); err == nil {
				t.Fatalf("%s cut at %d of %d is taken", name, n, len(b))
			}
		}
	}
}

func TestBadRecordsClaimsNotesAndEventsAreRefused(t *testing.T) {
	t.Parallel()
	record := func(b []byte) error { _, err := task.DecodeRecord(b); return err }
	claim := func(b []byte) error { _, err := task.DecodeClaim(b); return err }
	notes := func(b []byte) error { _, err := task.DecodeNotes(b); return err }
	event := func(b []byte) error { _, err := task.DecodeEvent(b); return err }
	chain := msgpack.RawMessage{0x80}
	for range 17 {
		chain = mapOf("x", chain)
	}
	for _, test := range []struct {
		name   string
		decode func([]byte) error
		body   []byte
		code   string
	}{
		{"record without version", record, mapOf("id", "a", "e", "failed"), "missing"},
		{"record without ID", record, mapOf("v", 1, "e", "failed"), "missing"},
		{"record without end", record, mapOf("v", 1, "id", "a"), "range"},
		{"record with an end of its own", record, mapOf("v", 1, "id", "a", "e", "exploded"), "range"},
		{"record of version 2", record, mapOf("v", 2), "version"},
		{"record with the field of an envelope", record, mapOf("v", 1, "at", 1), "unknown"},
		{"record with a field twice", record, mapOf("v", 1, "v", 1), "duplicate"},
		{"record with a failure that is none", record, mapOf("v", 1, "f", "x"), "type"},
		{"record with an unknown field in its failure", record, mapOf("v", 1, "f", msgpack.RawMessage(mapOf("z", 1))), "unknown"},
		{"record with 18 causes", record, mapOf("v", 1, "id", "a", "e", "failed", "f", chain), "depth"},
		{"record of 1 MiB", record, make([]byte, 1<<20), "too_large"},
		{"claim without version", claim, mapOf("id", "a", "s", "running"), "missing"},
		{"claim without ID", claim, mapOf("v", 1, "s", "running"), "missing"},
		{"claim without state", claim, mapOf("v", 1, "id", "a"), "range"},
		{"claim with a state of its own", claim, mapOf("v", 1, "id", "a", "s", "asleep"), "range"},
		{"claim of version 2", claim, mapOf("v", 2), "version"},
		{"claim of nothing", claim, nil, "empty"},
		{"notes of version 2", notes, mapOf("v", 2, "pr", 0.5, "tx", "", "no", nil), "version"},
		{"notes of nothing", notes, nil, "empty"},
		{"notes of 9 KiB", notes, make([]byte, 9<<10), "too_large"},
		{"notes as a bomb", notes, raw("dfffffffff"), "truncated"},
		{"event of version 2", event, mapOf("v", 2), "version"},
		{"event of 300 KiB", event, make([]byte, 300<<10), "too_large"},
		{"event as a bomb", event, raw("ddffffffff"), "truncated"},
	} {
		if err := test.decode(test.body); codeOf(err) != test.code {
			t.Errorf("%s: %v, want %q", test.name, err, test.code)
		}
	}
}

func TestBombsCostNothing(t *testing.T) { // not parallel: it counts allocations
	var deepMap, wide []byte
	for range 330_000 {
		deepMap = append(deepMap, 0x81, 0xa1, 'a')
	}
	for range 24_000 {
		wide = append(wide, 0xdc, 0xff, 0xff)
	}
	for _, test := range []struct {
		name string
		body []byte
		code string
	}{
		{"array of 4 Gi", raw("ddffffffff"), "truncated"},
		{"map of 4 Gi", raw("dfffffffff"), "truncated"},
		{"bytes of 4 Gi", raw("c6ffffffff"), "truncated"},
		{"string of 4 Gi", raw("dbffffffff"), "truncated"},
		{"extension of 4 Gi", raw("c9ffffffffff"), "truncated"},
		{"11 bytes with an array of 100 M", raw("81a461726773dd05f5e100"), "truncated"},
		{"1 MiB of arrays", bytes.Repeat([]byte{0x91}, 1<<20), "depth"},
		{"maps in maps", deepMap, "depth"},
		{"72 KB of wide arrays", wide, "depth"},
	} {
		var err error
		refuse := func() { err = task.Unmarshal(test.body, new(any)) }
		refuse()
		if codeOf(err) != test.code {
			t.Errorf("%s: %v, want %q", test.name, err, test.code)
		}
		// An error with its path takes eight; the runtime may add some of its own meanwhile.
		if n := testing.AllocsPerRun(10, refuse); n > 16 {
			t.Errorf("%s: %v allocations, more than an error needs", test.name, n)
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		took := time.Hour
		for range 10 { // the best of ten: the machine may be busy
			start := time.Now()
			refuse()
			took = min(took, time.Since(start))
		}
		runtime.ReadMemStats(&after)
		if n := (after.TotalAlloc - before.TotalAlloc) / 10; n > 4<<10 {
			t.Errorf("%s: %d bytes to say no", test.name, n)
		}
		if took > time.Millisecond {
			t.Errorf("%s: took %v", test.name, took)
		}
	}
	ok := mapOf("v", 1, "list", []int{1, 2, 3}, "when", monday)
	if n := testing.AllocsPerRun(100, func() { _ = task.Scan(ok) }); n != 0 {
		t.Errorf("Scan of a good value: %v allocations", n)
	}
}

func TestScanBoundsDepthAtTheLimit(t *testing.T) {
	t.Parallel()
	at := append(bytes.Repeat([]byte{0x91}, task.MaxDepth), 0xc0)
	if err := task.Scan(at); err != nil {
		t.Errorf("%d levels: %v", task.MaxDepth, err)
	}
	if err := task.Scan(append([]byte{0x91}, at...)); codeOf(err) != "depth" {
		t.Errorf("%d levels: %v", task.MaxDepth+1, err)
	}
}

func TestUnmarshalTakesNothingThatItsTargetDoesNotKnow(t *testing.T) {
	t.Parallel()
	var in addArgs
	if err := task.Unmarshal(mapOf("A", 1, "B", 2, "C", 3), &in); err == nil {
		t.Error("an unknown field is dropped silently")
	}
	if err := task.Unmarshal(mapOf("A", 1, "B", "two"), &in); err == nil {
		t.Error("a text is taken for a number")
	}
	if err := task.Unmarshal(append(mapOf("A", 1), 0), &in); codeOf(err) != "trailing" {
		t.Errorf("a trailing byte: %v", err)
	}
}

func TestWireCodeOfOtherErrorsIsFormat(t *testing.T) {
	t.Parallel()
	if got := task.WireCode(fmt.Errorf("read: %w", task.Scan(nil))); got != "empty" {
		t.Errorf("WireCode of a wrapped error is %q", got)
	}
	if got := task.WireCode(errors.New("other")); got != "format" {
		t.Errorf("WireCode of another error is %q", got)
	}
}
