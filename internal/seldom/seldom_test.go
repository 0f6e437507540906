package seldom_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/natsasync/natsasync/internal/seldom"
)

func TestALineASecondAndKindIsDueAndTheRestIsCounted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var lines seldom.Lines
		for i, want := range []struct {
			kind  string
			after time.Duration
			due   bool
			quiet int
		}{
			{"a", 0, true, 0},
			{"a", 0, false, 0},
			{"b", 0, true, 0},
			{"a", 900 * time.Millisecond, false, 0},
			{"a", 100 * time.Millisecond, true, 2},
			{"a", time.Hour, true, 0},
		} {
			time.Sleep(want.after)
			if due, quiet := lines.Due(want.kind); due != want.due || quiet != want.quiet {
				t.Errorf("line %d: due %v with %d quiet, want %v with %d", i, due, quiet, want.due, want.quiet)
			}
		}
	})
}
