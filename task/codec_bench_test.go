package task_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/natsasync/natsasync/task"
)

type benchPart struct {
	Name  string
	Count int
	Price float64
}

type benchOrder struct {
	ID    string
	At    time.Time
	Parts []benchPart
	Tags  map[string]string
}

// benchValues are what inputs and results look like: small, plain, without types, and as large as they may be.
func benchValues() map[string]any {
	parts := make([]benchPart, 20)
	loose := map[string]any{}
	for i := range parts {
		parts[i] = benchPart{fmt.Sprint("part ", i), i, 1.5}
		loose[parts[i].Name] = []any{i, 1.5, "text", map[string]any{"a": true}}
	}
	long := make([]int, 50_000)
	for i := range long {
		long[i] = i
	}
	return map[string]any{
		"int": 42, "args": addArgs{40, 2}, "order": benchOrder{"4711", monday, parts, map[string]string{"a": "b", "c": "d"}},
		"loose": loose, "long": long, "text": strings.Repeat("text ", 40_000),
	}
}

func BenchmarkMarshal(b *testing.B) {
	for name, v := range benchValues() {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := task.Marshal(v); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkUnmarshal(b *testing.B) {
	for name, v := range benchValues() {
		body, err := task.Marshal(v)
		if err != nil {
			b.Fatal(err)
		}
		into := map[string]func() any{
			"int": func() any { return new(int) }, "args": func() any { return new(addArgs) }, "order": func() any { return new(benchOrder) },
			"loose": func() any { return new(map[string]any) }, "long": func() any { return new([]int) }, "text": func() any { return new(string) },
		}[name]
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := task.Unmarshal(body, into()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkSeal(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := add.On("/plone/folder", addArgs{40, 2}).Spec().Seal(task.Sealing{User: alice, Now: monday}); err != nil {
			b.Fatal(err)
		}
	}
}
