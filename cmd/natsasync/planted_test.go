//go:build planted

package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/natsasync/natsasync/internal/planted"
	"github.com/natsasync/natsasync/internal/torture/check"
)

// A torture that passes a program with one of these bugs proves nothing about one without.
func TestEachPlantedBugIsFound(t *testing.T) {
	t.Parallel()
	program := filepath.Join(t.TempDir(), "natsasync")
	if said, err := exec.Command("go", "build", "-tags", "planted", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	for bug, breaches := range map[string][]string{
		planted.AckFirst:      {"lost"},
		planted.NoFence:       {"second outcomes", "late outcomes taken"},
		planted.MaxDeliver:    {"lost"},
		planted.LateCallbacks: {"callbacks missed"},
		planted.UserNotSet:    {"identity"},
		planted.OwnClock:      {"wrong times"},
	} {
		t.Run(bug, func(t *testing.T) {
			cmd := exec.Command(program, "torture", "--json", "--for", "25s")
			cmd.Env = append(os.Environ(), "NATSASYNC_PLANTED="+bug)
			cmd.Stderr = os.Stderr
			said, err := cmd.Output()
			if err == nil {
				t.Fatalf("the run held: %s", said)
			}
			var r check.Report
			if err := json.Unmarshal(said, &r); err != nil {
				t.Fatalf("%v: %s", err, said)
			}
			found := 0
			for _, name := range breaches {
				found += r.Breaches[name]
			}
			if found == 0 {
				t.Errorf("none of %q was found, but %v", breaches, r.Breaches)
			}
		})
	}
}
