package task_test

import (
	"bytes"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vmihailenco/msgpack/v5"

	"github.com/natsasync/natsasync/task"
)

func seedBytes(f *testing.F) {
	for _, e := range envelopes() {
		f.Add(e.Encode())
	}
	for _, r := range records() {
		f.Add(r.Encode())
	}
	for _, c := range claims() {
		f.Add(c.Encode())
	}
	f.Add(mapOf(fieldsOf()...))
	for _, code := range []string{"", "c1", "ddffffffff", "dfffffffff", "c6ffffffff", "dbffffffff", "819001", "d42a00", "d6ff00000000", "9180", "81a16101"} {
		f.Add([]byte(raw(code)))
	}
	f.Add([]byte(`{"func":"x"}`))
	f.Add(bytes.Repeat([]byte{0x91}, 100))
	f.Add(bytes.Repeat([]byte{0xdc, 0xff, 0xff}, 100))
}

// refuzz checks that what was decoded is a value like any other: it encodes to bytes
// that decode to the same.
func refuzz[T any](t *testing.T, b []byte, decode func([]byte) (T, error), encode func(T) []byte) {
	v, err := decode(b)
	if err != nil {
		if codeOf(err) == "" || strings.ContainsAny(err.Error(), "\n\r\x1b") {
			t.Fatalf("the error is not fit for a log: %q", err)
		}
		return
	}
	again, err := decode(encode(v))
	if err != nil {
		t.Fatalf("%+v does not decode again: %v", v, err)
	}
	if diff := cmp.Diff(v, again, asWire); diff != "" {
		t.Fatalf("decoded again (-want +got):\n%s", diff)
	}
}

func FuzzDecodeEnvelope(f *testing.F) {
	seedBytes(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		refuzz(t, b, task.DecodeEnvelope, (*task.Envelope).Encode)
		u, err := task.UserOf(b)
		if e, wrong := task.DecodeEnvelope(b); wrong == nil && (err != nil || u != e.User) {
			t.Fatalf("it is %s's, %v; decoded it is %s's", u, err, e.User)
		}
	})
}

func FuzzDecodeRecord(f *testing.F) {
	seedBytes(f)
	f.Fuzz(func(t *testing.T, b []byte) { refuzz(t, b, task.DecodeRecord, (*task.Record).Encode) })
}

func FuzzDecodeClaim(f *testing.F) {
	seedBytes(f)
	f.Fuzz(func(t *testing.T, b []byte) { refuzz(t, b, task.DecodeClaim, (*task.Claim).Encode) })
}

// What a gateway does with bytes: a call that it takes can be sealed, and read by a worker.
func FuzzCall(f *testing.F) {
	seedBytes(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := task.DecodeEnvelope(b)
		if err != nil {
			return
		}
		call, err := e.Call()
		if err != nil {
			return
		}
		sealed, err := call.Seal(task.Sealing{Installation: "INST", User: alice, Now: monday})
		if err != nil {
			return
		}
		got, err := task.DecodeEnvelope(sealed.Encode())
		if err != nil || got.User != alice || got.Installation != "INST" {
			t.Fatalf("sealed as %+v: %v", got, err)
		}
		if got.ID != e.ID || got.Queue != e.Queue || got.Lane != e.Lane || got.StartWithin != e.StartWithin || got.Keep != e.Keep {
			t.Fatalf("%+v is sealed as %+v", e, got)
		}
	})
}

func FuzzUnmarshal(f *testing.F) {
	seedBytes(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		var v any
		if err := task.Unmarshal(b, &v); err == nil {
			if _, err := task.Marshal(v); err != nil {
				t.Fatalf("%#v does not encode again: %v", v, err)
			}
		}
		_ = task.Unmarshal(b, new(addArgs))
		_ = task.Unmarshal(b, new(map[string]task.Outcome))
		_ = task.Unmarshal(b, new([]task.Failure))
		for _, into := range []any{new(shelf), new([]line), new(map[int8]float32), new([][2]line), new(nextLoop)} {
			if task.Unmarshal(b, into) != nil {
				continue
			}
			again, err := task.Marshal(into)
			if err != nil {
				t.Fatalf("%T %x does not encode again: %v", into, b, err)
			}
			if err := task.Unmarshal(again, reflect.New(reflect.TypeOf(into).Elem()).Interface()); err != nil {
				t.Fatalf("%T %x became %x, which does not decode again: %v", into, b, again, err)
			}
		}
		_, _ = task.DecodeNotes(b)
		_, _ = task.DecodeEvent(b)
	})
}

func FuzzScan(f *testing.F) {
	seedBytes(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		if task.Scan(b) != nil {
			return
		}
		dec := msgpack.NewDecoder(bytes.NewReader(b))
		if err := dec.Skip(); err != nil {
			t.Fatalf("the library cannot read %x: %v", b, err)
		}
		if err := task.Scan(append(bytes.Clone(b), 0)); codeOf(err) != "trailing" {
			t.Fatalf("%x with a byte more: %v", b, err)
		}
		if err := task.Scan(b[:len(b)-1]); err == nil {
			t.Fatalf("%x is taken without its last byte", b)
		}
	})
}

func FuzzParseObject(f *testing.F) {
	for _, s := range append(badObjects(), "", "/", "/plone/folder", "/ä/b c", strings.Repeat("/a", 256)) {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		o, err := task.ParseObject(s)
		if err != nil {
			return
		}
		if o.String() != s {
			t.Fatalf("%q became %q", s, o)
		}
		if s != "" && (s[0] != '/' || len(s) > task.MaxObject || strings.Contains(s, "//") || strings.Contains(s+"/", "/../") || strings.ContainsAny(s, "\\%\x00\n\r\x1b")) {
			t.Fatalf("%q is a path that can be read in two ways", s)
		}
	})
}

func FuzzCheckName(f *testing.F) {
	for _, s := range append(badNames(), "math.add", "a", "_", "a-b.c_d") {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if task.CheckName(s) == nil && (len(s) > task.MaxName || !wanted.MatchString(s)) {
			t.Fatalf("%q is taken", s)
		}
		if task.CheckName(s) != nil && len(s) <= task.MaxName && wanted.MatchString(s) {
			t.Fatalf("%q is refused", s)
		}
		if task.CheckToken("queue", s) == nil && strings.ContainsAny(s, ".*> _") {
			t.Fatalf("%q is taken for one token", s)
		}
	})
}
