package task_test

import (
	"math"
	"math/big"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/natsasync/natsasync/task"
)

type pair struct{ A, B int8 }

type nested struct {
	pair
	Deep  map[string][]pair
	Wide  int64
	Share float64
	Any   any
	When  time.Duration
	At    time.Time
	Bytes []byte
	Maybe *uint16
}

// Row 46 and 47 of the bad inputs: a number that does not fit is an error, never another
// number.
func TestNumbersThatDoNotFitAreRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		sent any
		into any
	}{
		{"300 into int8", 300, new(int8)},
		{"-129 into int8", -129, new(int8)},
		{"-1 into uint", -1, new(uint)},
		{"-1 into uint16", -1, new(uint16)},
		{"70000 into uint16", 70000, new(uint16)},
		{"the largest uint64 into int64", uint64(math.MaxUint64), new(int64)},
		{"1<<63 into int", uint64(1 << 63), new(int)},
		{"a field", struct{ A, B int }{1, 300}, new(pair)},
		{"a field of an element of a map", map[string]any{"Deep": map[string]any{"x": []any{map[string]int{"A": 1}, map[string]int{"B": -200}}}}, new(nested)},
		{"an element of an array", [2]int{1, 1000}, new([2]int8)},
		{"a pointer", map[string]any{"Maybe": 1 << 16}, new(nested)},
		{"a key", map[int]string{300: "x"}, new(map[int8]string)},
		{"the largest uint64 into float64", uint64(math.MaxUint64), new(float64)},
		{"1<<63 into float64", uint64(1 << 63), new(float64)},
		{"1<<53+1 into float64", 1<<53 + 1, new(float64)},
		{"-1<<53-1 into float64", -1<<53 - 1, new(float64)},
		{"the largest int64 into float64", math.MaxInt64, new(float64)},
		{"the largest uint64 into float32", uint64(math.MaxUint64), new(float32)},
		{"1<<24+1 into float32", 1<<24 + 1, new(float32)},
		{"a float in a list", []any{map[string]any{"Share": 1<<53 + 1}}, new([]nested)},
	} {
		b, err := task.Marshal(c.sent)
		if err != nil {
			t.Fatal(err)
		}
		if err := task.Unmarshal(b, c.into); err == nil {
			t.Errorf("%s: it became %v", c.name, reflect.ValueOf(c.into).Elem())
		} else if code := task.WireCode(err); code != "range" {
			t.Errorf("%s: code %q of %v, want range", c.name, code, err)
		}
	}
}

func TestFractionsAreNoIntegers(t *testing.T) {
	t.Parallel()
	for _, sent := range []any{1.5, 2.0, float32(0.5), math.NaN(), math.Inf(1)} {
		b, err := task.Marshal(sent)
		if err != nil {
			t.Fatal(err)
		}
		var n int
		if err := task.Unmarshal(b, &n); err == nil {
			t.Errorf("%v became %d", sent, n)
		}
	}
}

func TestNumbersThatFitAreTaken(t *testing.T) {
	t.Parallel()
	fits := uint16(math.MaxUint16)
	want := nested{
		pair: pair{-128, 127}, Deep: map[string][]pair{"x": {{1, 2}, {-3, -4}}}, Wide: math.MinInt64, Share: 0.25,
		Any: uint64(math.MaxUint64), When: time.Hour, At: time.UnixMilli(1).UTC(), Bytes: []byte{255, 254}, Maybe: &fits,
	}
	for _, c := range []struct{ sent, into any }{
		{want, new(nested)},
		{uint64(math.MaxUint64), new(uint64)},
		{int64(math.MinInt64), new(int64)},
		{map[int]string{-128: "low", 127: "high"}, new(map[int8]string)},
		{struct{ A any }{nil}, new(pair)},
		{[]any{1000, 1.5, "x"}, new([]any)},
		{1 << 60, new(float64)},
		{1 << 53, new(float64)},
		{-1 << 63, new(float64)},
		{1<<62 + 1<<10, new(float64)},
		{0, new(float32)},
		{1 << 24, new(float32)},
		{math.NaN(), new(float64)},
		{math.Inf(-1), new(float64)},
		{math.Copysign(0, -1), new(float64)},
		{float32(1.5), new(float64)},
		{float32(1.5), new(float32)},
	} {
		b, err := task.Marshal(c.sent)
		if err != nil {
			t.Fatal(err)
		}
		if err := task.Unmarshal(b, c.into); err != nil {
			t.Errorf("%#v into %T: %v", c.sent, c.into, err)
		}
	}
	b, err := task.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var got nested
	if err := task.Unmarshal(b, &got); err != nil || got.pair != want.pair || got.Wide != want.Wide || *got.Maybe != fits || !got.At.Equal(want.At) {
		t.Errorf("%+v, %v", got, err)
	}
}

// Whatever number comes, it is taken as it is or refused.
func TestNumbersAreNeverCut(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		sent := rapid.Int64().Draw(t, "sent")
		b, err := task.Marshal([]int64{sent})
		if err != nil {
			t.Fatal(err)
		}
		var narrow []int16
		var unsigned []uint32
		var float []float64
		errNarrow, errUnsigned := task.Unmarshal(b, &narrow), task.Unmarshal(b, &unsigned)
		exact, _ := new(big.Float).SetInt64(sent).Float64()
		same, _ := new(big.Float).SetFloat64(exact).Int(nil)
		if err := task.Unmarshal(b, &float); (err == nil) != (same.IsInt64() && same.Int64() == sent) || err == nil && float[0] != exact {
			t.Errorf("%d into float64: %v, %v", sent, float, err)
		}
		if fits := sent == int64(int16(sent)); fits != (errNarrow == nil) || fits && int64(narrow[0]) != sent {
			t.Errorf("%d into int16: %v, %v", sent, narrow, errNarrow)
		}
		if fits := sent == int64(uint32(sent)); fits != (errUnsigned == nil) || fits && int64(unsigned[0]) != sent {
			t.Errorf("%d into uint32: %v, %v", sent, unsigned, errUnsigned)
		}
	})
}
