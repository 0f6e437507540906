package task_test

import (
	"context"
	"errors"
	"math"
	"runtime"
	"strings"
	"testing"

	"github.com/natsasync/natsasync/task"
)

type (
	listLoop   []listLoop
	pointLoop  *pointLoop
	tableLoop  map[string]tableLoop
	nextLoop   struct{ Next *nextLoop }
	anyLoop    struct{ Any any }
	embedLoop  struct{ *embedLoop }
	embedOther struct{ EmbedBack }
	EmbedBack  struct{ *embedOther }
	hiddenLoop struct{ P pointLoop }
	twin       struct{ Left, Right any }
)

// endless are values that have no end, or none that anybody would wait for.
func endless() map[string]any {
	list, table, next, loose := listLoop{nil}, tableLoop{}, &nextLoop{}, &anyLoop{}
	list[0], table["a"], next.Next, loose.Any = list, table, next, loose
	var point pointLoop
	point = &point
	var any1 any
	any1 = &any1
	items := []any{nil}
	items[0] = items
	fields := map[string]any{}
	fields["a b"] = fields
	var wide any
	for range task.MaxDepth - 1 {
		wide = twin{wide, wide}
	}
	return map[string]any{
		"list": list, "table": table, "next": next, "field": loose, "pointer": point, "interface": any1, "items": items, "fields": fields,
		"embedded": embedLoop{}, "embedded in what it embeds": embedOther{}, "pointer in a field": hiddenLoop{}, "all twice": wide,
	}
}

// Row 49 of the bad inputs: what contains itself is an error, not the end of the process.
func TestValuesThatContainThemselvesAreRefused(t *testing.T) {
	t.Parallel()
	for name, v := range endless() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := task.Define[any, int]("x").On("", v).Spec().Seal(task.Sealing{Now: monday})
			code := codeOf(err)
			if code != "depth" && code != "type" && !errors.Is(err, task.ErrTooLarge) {
				t.Errorf("as an input: %v", err)
			}
			if err := task.Note(context.Background(), "note", v); err == nil {
				t.Error("it is taken for a note")
			}
		})
	}
	_, err := task.Marshal(endless()["next"])
	if wire, ok := errors.AsType[*task.WireError](err); !ok || !strings.HasPrefix(wire.Path, ".Next.Next.Next") || !strings.Contains(wire.Message, "32") {
		t.Errorf("%v, want the path and the limit", err)
	}
	if _, err := task.Marshal(endless()["fields"]); err == nil || !strings.Contains(err.Error(), `["a b"]["a b"]`) {
		t.Errorf("%v, want the path", err)
	}
}

func TestTypesThatContainThemselvesAreFineUpToTheLimit(t *testing.T) {
	t.Parallel()
	chain := &nextLoop{}
	for range task.MaxDepth - 1 {
		chain = &nextLoop{chain}
	}
	b, err := task.Marshal(chain)
	if err != nil {
		t.Fatal(err)
	}
	if err := task.Unmarshal(b, new(nextLoop)); err != nil {
		t.Error(err)
	}
	if _, err := task.Marshal(&nextLoop{chain}); codeOf(err) != "depth" {
		t.Errorf("one level more: %v", err)
	}
}

// What is taken here can be read there: whoever records a value promises that.
func TestNothingIsEncodedThatNobodyReads(t *testing.T) {
	t.Parallel()
	type order struct{ Parts []any }
	var deep any = 1
	for range task.MaxDepth + 1 {
		deep = []any{deep}
	}
	for _, c := range []struct {
		name, code, path string
		v                any
	}{
		{"too deep", "depth", "[0][0][0]", deep},
		{"keys that are fractions", "key", "", map[float64]int{1.5: 1}},
		{"keys that are no numbers", "key", "", map[float64]int{math.NaN(): 1}},
		{"keys that are lists", "key", ".a", map[string]any{"a": map[[2]int]int{{1, 2}: 1}}},
		{"a key twice", "duplicate", "[1]", []any{0, map[any]int{1: 1, int64(1): 2}}},
		{"a text that is not UTF-8", "format", ".Parts[1]", order{Parts: []any{"ä", "\xff\xfe"}}},
		{"a surrogate", "format", "[0]", []string{"\xed\xa0\x80"}},
		{"a key that is not UTF-8", "format", ".a", map[string]any{"a": map[string]int{"\xc3": 1}}},
		{"a channel", "type", ".Parts[2].c", order{Parts: []any{1, 2, map[string]any{"c": make(chan int)}}}},
		{"a function", "type", ".Parts[0]", order{Parts: []any{func() {}}}},
		{"a complex number", "type", "[7]", map[int]complex64{7: 1}},
		{"an address", "type", "", uintptr(1)},
	} {
		_, err := task.Marshal(c.v)
		wire, ok := errors.AsType[*task.WireError](err)
		if !ok || wire.Code != c.code || !strings.HasPrefix(wire.Path, c.path) {
			t.Errorf("%s: %v; want code %s at %s", c.name, err, c.code, c.path)
		}
	}
}

func TestALargeValueIsRefusedBeforeItIsEncoded(t *testing.T) { //nolint:paralleltest // others would allocate meanwhile
	large := make([]byte, 64<<20)
	for name, v := range map[string]any{"bytes": large, "text": string(large), "inside": []any{large}, "parts": make([]struct{ A, B any }, 1<<20)} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := task.MarshalWithin(v, task.MaxResult)
		runtime.ReadMemStats(&after)
		if !errors.Is(err, task.ErrTooLarge) || !strings.Contains(err.Error(), "262144") {
			t.Errorf("%s: %v", name, err)
		}
		if n := after.TotalAlloc - before.TotalAlloc; n > 4*task.MaxResult {
			t.Errorf("%s: it took %d bytes to refuse it", name, n)
		}
	}
}

func TestBytesAreFreeAndTextsAreUTF8(t *testing.T) {
	t.Parallel()
	for _, v := range []any{[]byte{0xff, 0xfe}, [2]byte{0xff, 0xfe}, map[string][]byte{"a": {0xc3}}, "\u2028\u0000 \U0010ffff"} {
		if _, err := task.Marshal(v); err != nil {
			t.Errorf("%q: %v", v, err)
		}
	}
	_, err := task.Define[[]string, int]("x").On("", []string{"a", "\xff"}).Spec().Seal(task.Sealing{Now: monday})
	if codeOf(err) != "format" || !strings.Contains(err.Error(), "input of x") || !strings.Contains(err.Error(), "[1]") {
		t.Errorf("an input: %v", err)
	}
	h := newHost()
	ctx := task.WithAttempt(t.Context(), &task.Attempt{Host: h})
	task.Progress(ctx, 0.5, "half \xff")
	if err := task.Note(ctx, "note", "\xff"); codeOf(err) != "format" {
		t.Errorf("a note: %v", err)
	}
	if _, err := (&task.Notes{Text: h.text, Values: h.notes}).Encode(); err != nil || h.text != "half \uFFFD" {
		t.Errorf("a progress: %q, %v", h.text, err)
	}
}
