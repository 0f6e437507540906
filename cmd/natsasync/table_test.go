package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAnEmptyCellHasNoColour(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	term := &terminal{out: &out, colours: true}
	if err := term.table([]string{"paused"}, [][]cell{{{"", yellow}}, {{"until resumed", yellow}}}); err != nil {
		t.Fatal(err)
	}
	want := bold + "PAUSED" + reset + "\n-\n" + yellow + "until resumed" + reset + "\n"
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Error(diff)
	}
}
