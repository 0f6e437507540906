package task_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/natsasync/natsasync/task"
)

// The page is all that writers of other clients have.
func TestThePageOfTheWireFormatSaysWhatTheCodeDoes(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join("..", "docs", "wire-format.md"))
	if err != nil {
		t.Fatal(err)
	}
	page := string(text)
	example, err := os.ReadFile(filepath.Join("testdata", "envelope-plain.hex"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(page, string(example)) {
		t.Error("the worked example is not the golden vector envelope-plain")
	}
	for _, u := range []task.User{{}, alice, {Realm: alice.Realm, ID: "bob"}, {ID: "alice"}, {ID: "Zoë"}} {
		if !strings.Contains(page, "`"+u.Owner()+"`") {
			t.Errorf("the owner token of %v is missing", u)
		}
	}
	known := map[string]bool{}
	for _, e := range envelopes() {
		keysOf(t, known, e.Encode())
	}
	for _, r := range records() {
		keysOf(t, known, r.Encode())
	}
	for _, c := range claims() {
		keysOf(t, known, c.Encode())
	}
	if len(known) < 35 {
		t.Errorf("only %d keys were looked for", len(known))
	}
	for key := range known {
		if !strings.Contains(page, "`"+key+"`") {
			t.Errorf("the field %q is missing", key)
		}
	}
}

func keysOf(t *testing.T, known map[string]bool, b []byte) {
	t.Helper()
	var fields map[string]any
	if err := task.Unmarshal(b, &fields); err != nil {
		t.Fatal(err)
	}
	for key := range fields {
		known[key] = true
	}
}
