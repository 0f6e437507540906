package integration_test

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/natsasync/natsasync/producer"
)

// What an operator gives up with NATS's default sync, and that it is said.
func TestF17APowerCutWithoutSyncedWritesIsNoticed(t *testing.T) {
	t.Parallel()
	if !soaking() {
		t.Skip("make soak tries this: it shows what is not promised")
	}
	for range rounds(0, 3) {
		d := newDisk(t, 256)
		h := newHostOn(t, d, false)
		c := cellOn(t, h.url(), shortLease)
		worker := c.employ("worker", c.url)
		early, _, _ := c.load(20, func(int) {})
		succeeds(c, producer.Find[string](c.client, early[len(early)-1]))
		syscall.Sync()
		late, _, free := c.load(40, func(int) {})
		h.losePower(d)
		h.again()

		lost := 0
		for _, id := range append(late, free...) {
			if len(c.outcomes("default", id)) == 0 {
				lost++
			}
		}
		if lost == 0 {
			t.Log("nothing was lost")
			continue
		}
		t.Logf("%d jobs that were accepted are gone", lost)
		for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
			said := worker.said()
			if strings.Contains(said, "takes no more jobs") || strings.Contains(said, "is gone with what was in it") {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("the worker did not notice:\n%s", said)
			}
		}
	}
}
