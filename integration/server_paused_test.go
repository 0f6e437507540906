//go:build unix

package integration_test

import (
	"fmt"
	"testing"
	"time"
)

func TestF10AServerThatWasPausedLosesNothing(t *testing.T) {
	t.Parallel()
	for round := range rounds(3, 30) {
		t.Run(fmt.Sprint("round ", round), func(t *testing.T) {
			t.Parallel()
			h := newHost(t)
			c := cellOn(t, h.url(), shortLease)
			c.hire("first").begin()
			c.hire("second").begin()
			held := queue(c, gated("held", "gate"))
			c.history.await(t, "start", "held", 1)
			ids, names, free := c.load(40, func(accepted int) {
				if accepted == 20 {
					h.process.freeze(t)
					time.Sleep(3 * shortLease)
					h.process.thaw(t)
				}
			})
			c.open("gate")
			succeeds(c, held)
			c.survived(ids, names, free)
		})
	}
}
