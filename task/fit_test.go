package task_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/vmihailenco/msgpack/v5"

	"github.com/natsasync/natsasync/task"
)

type base struct {
	ID   string
	Note string `msgpack:"note"`
}

type line struct {
	Name  string
	Count uint8
	Price float32
	Ready bool
	Data  []byte
	Hash  [4]byte
	Both  [2]int
}

type shelf struct {
	base
	Lines []line
	Index map[string]*line `msgpack:",omitempty"`
	More  map[int]line
	Why   error
	Old   string `msgpack:"new,alias:old"`
	Skip  string `msgpack:"-"`
}

type basket struct {
	shelf
	Say  fmt.Stringer
	None chan int
}

// Rows 45 to 48 of the bad inputs: whoever sent it learns where it is wrong, and what it was.
func TestWhatDoesNotFitIsToldWithItsPlaceAndValue(t *testing.T) {
	t.Parallel()
	type m = map[string]any
	lines := func(fields m) m { return m{"Lines": []any{m{}, fields}} }
	for _, c := range []struct {
		v                any
		code, path, says string
	}{
		{lines(m{"Count": "three"}), "type", ".Lines[1].Count", "a text of 5 bytes is no uint8"},
		{lines(m{"Count": 300}), "range", ".Lines[1].Count", "the number 300 does not fit a uint8"},
		{lines(m{"Count": -1}), "range", ".Lines[1].Count", "-1"},
		{lines(m{"Count": 1.5}), "range", ".Lines[1].Count", "1.5 is no integer"},
		{lines(m{"Price": 1<<24 + 1}), "range", ".Lines[1].Price", "16777217 does not fit a float32 exactly"},
		{lines(m{"Price": 0.1}), "type", ".Lines[1].Price", "0.1"},
		{lines(m{"Ready": 1}), "type", ".Lines[1].Ready", "the number 1 is no bool"},
		{lines(m{"Name": 7}), "type", ".Lines[1].Name", "the number 7 is no string"},
		{lines(m{"Name": []byte{0xff}}), "format", ".Lines[1].Name", "UTF-8"},
		{lines(m{"Data": []any{}}), "type", ".Lines[1].Data", "a list of 0 is no []uint8"},
		{lines(m{"Hash": "12345"}), "range", ".Lines[1].Hash", "5 bytes"},
		{lines(m{"Both": []int{1, 2, 3}}), "range", ".Lines[1].Both", "a list of 3"},
		{lines(m{"Both": []any{1, monday}}), "type", ".Lines[1].Both[1]", "a time is no int"},
		{lines(m{"Cuont": 1}), "unknown", ".Lines[1].Cuont", "no such field"},
		{m{"Lines": m{}}, "type", ".Lines", "a map of 0"},
		{m{"Lines": []any{1}}, "type", ".Lines[0]", "the number 1 is no task_test.line"},
		{m{"Lines": []any{[]any{1, 2}}}, "type", ".Lines[0]", "has 7 fields"},
		{m{"Index": m{"a b": m{"Count": 300}}}, "range", `.Index["a b"].Count`, "300"},
		{m{"Index": map[int]any{7: m{}}}, "type", ".Index[7]", "the number 7 is no string"},
		{m{"More": map[int]any{7: m{"Count": true}}}, "type", ".More[7].Count", "true is no uint8"},
		{m{"More": m{"x": m{}}}, "type", ".More.x", "a text of 1 bytes is no int"},
		{m{"Why": 1}, "type", ".Why", "the number 1 is no error"},
		{m{"Say": "x"}, "type", ".Say", "is no fmt.Stringer"},
		{m{"None": 1}, "type", ".None", "is no chan int"},
		{m{"Skip": "x"}, "unknown", ".Skip", "no such field"},
		{m{"ID": nil, "note": 5}, "type", ".note", "the number 5"},
		{map[int]string{1: "x"}, "key", "", "the number 1 is no name of a field"},
		{"basket", "type", "", "a text of 6 bytes is no task_test.basket"},
	} {
		b, err := task.Marshal(c.v)
		if err != nil {
			t.Fatal(err)
		}
		err = task.Unmarshal(b, new(basket))
		wire, ok := errors.AsType[*task.WireError](err)
		if !ok || wire.Code != c.code || wire.Path != c.path || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%v: %v; want %s at %s, %s", c.v, err, c.code, c.path, c.says)
		}
	}
}

// plain decodes itself without being a pointer, as few do.
type plain struct{}

func (plain) DecodeMsgpack(d *msgpack.Decoder) error { return d.Skip() }

func TestNilWhereNothingCanBeNilIsNoPanic(t *testing.T) {
	t.Parallel()
	type dated struct {
		At    time.Time
		Maybe *time.Time
		Plain plain
	}
	for _, c := range []struct {
		field string
		v     any
		fits  bool
	}{
		{"At", nil, false},
		{"At", 5, false},
		{"At", "2026-11-23T09:30:00Z", false},
		{"At", monday, true},
		{"Maybe", nil, true},
		{"Maybe", []int{1, 2}, false},
		{"Maybe", monday, true},
		{"Plain", nil, false},
		{"Plain", 1, true},
	} {
		b, err := task.Marshal(map[string]any{c.field: c.v})
		if err != nil {
			t.Fatal(err)
		}
		err = task.Unmarshal(b, new(dated))
		if wire, ok := errors.AsType[*task.WireError](err); c.fits != (err == nil) || !c.fits && (!ok || wire.Code != "type" || wire.Path != "."+c.field) {
			t.Errorf("%s: %v: %v", c.field, c.v, err)
		}
	}
	if err := task.Unmarshal([]byte{0xc0}, new(time.Time)); err == nil {
		t.Error("nil is a time")
	}
}

// Row 44: what is not there is zero, as for a reader that is newer than the writer.
func TestWhatIsMissingIsZero(t *testing.T) {
	t.Parallel()
	zero := line{}
	for name, v := range map[string]any{"no fields": map[string]any{}, "no items": []any{}, "nil": nil, "nil in a field": map[string]any{"Name": nil, "Count": nil}} {
		b, err := task.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		var got line
		if err := task.Unmarshal(b, &got); err != nil || cmp.Diff(zero, got) != "" {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	b, err := task.Marshal([]any{"a", 1, nil, true, "x", "1234", []int{7}})
	if err != nil {
		t.Fatal(err)
	}
	var got line
	want := line{"a", 1, 0, true, []byte("x"), [4]byte{'1', '2', '3', '4'}, [2]int{7}}
	if err := task.Unmarshal(b, &got); err != nil || cmp.Diff(want, got) != "" {
		t.Errorf("all fields in a list: %+v, %v", got, err)
	}
}

func TestEveryFieldIsKnownByTheNamesOfItsTag(t *testing.T) {
	t.Parallel()
	type m = map[string]any
	b, err := task.Marshal(m{"ID": "1", "note": "n", "old": "o", "Why": "because", "Lines": nil, "Index": m{"a": m{"Name": "x"}}})
	if err != nil {
		t.Fatal(err)
	}
	var got shelf
	if err := task.Unmarshal(b, &got); err != nil || got.ID != "1" || got.Note != "n" || got.Old != "o" || got.Why == nil || got.Index["a"].Name != "x" {
		t.Errorf("%+v, %v", got, err)
	}
}

type large struct {
	A [1024]byte
	B string
	C map[string]string
}

// Rows 13 and 17: a byte of the wire may be a kilobyte in memory.
func TestValuesThatTakeTooMuchMemoryAreRefused(t *testing.T) {
	t.Parallel()
	nils, err := task.Marshal(make([]any, 250_000))
	if err != nil {
		t.Fatal(err)
	}
	for _, into := range []any{new([]large), new([]task.Outcome), new([][2]line), new([]basket)} {
		if err := task.Unmarshal(nils, into); codeOf(err) != "too_large" || !strings.Contains(err.Error(), "32 MiB") {
			t.Errorf("%T: %v", into, err)
		}
	}
	for _, into := range []any{new([]any), new([]int), new([]string), new([]*large), new([]bool)} {
		if err := task.Unmarshal(nils, into); err != nil {
			t.Errorf("%T: %v", into, err)
		}
	}
	honest := make([]line, 2500)
	for i := range honest {
		honest[i] = line{Name: "something", Data: []byte("some bytes")}
	}
	b, err := task.MarshalWithin(honest, task.MaxEnvelope)
	if err != nil {
		t.Fatal(err)
	}
	if err := task.Unmarshal(b, new([]line)); err != nil {
		t.Errorf("an ordinary list of %d bytes: %v", len(b), err)
	}
}

func TestTypesThatContainThemselvesAreNoTargets(t *testing.T) {
	t.Parallel()
	for _, into := range []any{new(pointLoop), new(embedLoop), new(embedOther), new(hiddenLoop), new([]hiddenLoop)} {
		b := []byte("\x80")
		if _, list := into.(*[]hiddenLoop); list {
			b = []byte("\x91\x80")
		}
		if err := task.Unmarshal(b, into); codeOf(err) != "type" {
			t.Errorf("%T: %v", into, err)
		}
	}
}
