package main

import (
	"bytes"
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/natsasync/natsasync/task"
)

// anyJSON draws what JSON can say: integers of 64 bits, floats, texts, lists, objects.
func anyJSON(depth int) *rapid.Generator[any] {
	leaves := []*rapid.Generator[any]{
		rapid.Just[any](nil), rapid.Bool().AsAny(), rapid.Int64().AsAny(), rapid.Uint64().AsAny(),
		rapid.Float64Range(-1e300, 1e300).Filter(noHugeInteger).AsAny(), rapid.String().AsAny(),
	}
	if depth == 0 {
		return rapid.OneOf(leaves...)
	}
	inner := anyJSON(depth - 1)
	return rapid.OneOf(append(leaves, rapid.SliceOfN(inner, 0, 20).AsAny(), rapid.MapOfN(rapid.String(), inner, 0, 20).AsAny())...)
}

// noHugeInteger leaves out floats that JSON writes like integers of more than 64 bits: those are refused.
func noHugeInteger(f float64) bool { return math.Abs(f) < 1<<62 || math.Abs(f) >= 1e21 }

func TestInputComesBackAsTheSameJSON(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text, err := json.Marshal(anyJSON(3).Draw(t, "value"))
		if err != nil {
			t.Skip(err)
		}
		b, err := readInput(string(text), nil)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		back, err := valueJSON(b)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(decoded(t, text), decoded(t, back)); diff != "" {
			t.Fatalf("%s\nbecame %s\n%s", text, back, diff)
		}
	})
}

// decoded reads JSON with numbers as float64, but integers to the last digit.
func decoded(t *rapid.T, text []byte) any {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return exact(v)
}

func exact(v any) any {
	switch v := v.(type) {
	case json.Number:
		if strings.ContainsAny(v.String(), ".eE") || v == "-0" {
			f, _ := v.Float64()
			return f
		}
		f, _ := v.Float64()
		if f < 1<<53 && f > -(1<<53) {
			return f
		}
		return v.String()
	case []any:
		for i := range v {
			v[i] = exact(v[i])
		}
	case map[string]any:
		for key := range v {
			v[key] = exact(v[key])
		}
	}
	return v
}

func TestIntegersStayIntegers(t *testing.T) {
	t.Parallel()
	b, err := readInput(`{"A": 40, "B": -2}`, nil)
	if err != nil {
		t.Fatal(err)
	}
	var got struct{ A, B int }
	if err := task.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	if got.A != 40 || got.B != -2 {
		t.Fatalf("got %+v", got)
	}
}

func TestValuesThatJSONDoesNotKnow(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 25, 2, 3, 4, 5000, time.UTC)
	for name, c := range map[string]struct {
		value any
		want  string
	}{
		"bytes":        {[]byte{1, 2}, `"base64:AQI="`},
		"time":         {at, `"2026-11-25T02:03:04.000005Z"`},
		"early time":   {time.Date(1901, 1, 1, 0, 0, 0, 0, time.UTC), `"1901-01-01T00:00:00Z"`},
		"integer keys": {map[int]string{7: "x"}, `{"7":"x"}`},
		"escapes":      {"a\x1b[31m\u202e\u009b\n", `"a\u001b[31m\u202e\u009b\n"`},
		"long text":    {strings.Repeat("x", 300), `"` + strings.Repeat("x", 300) + `"`},
		"float32":      {float32(0.1), `0.1`},
		"smallest":     {int64(-1 << 63), `-9223372036854775808`},
		"int8":         {int8(-100), `-100`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, err := task.Marshal(c.value)
			if err != nil {
				t.Fatal(err)
			}
			got, err := valueJSON(b)
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != c.want {
				t.Fatalf("got %s, want %s", got, c.want)
			}
		})
	}
}

func TestNothingReachesTheTerminalUnescaped(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := string(rapid.SliceOf(rapid.Byte()).Draw(t, "bytes")) + rapid.String().Draw(t, "text")
		if got := printable(text); !utf8.ValidString(got) || strings.ContainsFunc(got, func(r rune) bool { return !unicode.IsPrint(r) }) {
			t.Fatalf("%q became %q", text, got)
		}
		got, err := formatJSON(map[string]string{text: text}, "")
		if err != nil {
			t.Fatal(err)
		}
		if line := strings.TrimSuffix(string(got), "\n"); strings.ContainsFunc(line, func(r rune) bool { return !unicode.IsPrint(r) }) {
			t.Fatalf("%q became %q", text, line)
		}
		if !json.Valid(got) {
			t.Fatalf("%q became %q, which is no JSON", text, got)
		}
	})
}

func FuzzDecodeBody(f *testing.F) {
	f.Add([]byte{0x81, 0xa1, 'v', 0x01})
	f.Add([]byte("plain text"))
	f.Fuzz(func(t *testing.T, body []byte) {
		view, err := decodeBody(body)
		if err != nil {
			return
		}
		text, err := formatJSON(view, "  ")
		if err != nil {
			t.Fatal(err)
		}
		if !json.Valid(text) {
			t.Fatalf("%x became %s, which is no JSON", body, text)
		}
	})
}
