package hooks_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/natsasync/natsasync/hooks"
	"github.com/natsasync/natsasync/internal/stream"
)

// Who may cancel their own jobs can write records that nobody believes, as many as they like.
func TestAFloodOfRecordsThatDoNotCountIsOneLineASecond(t *testing.T) {
	t.Parallel()
	o, d := newOffice(t), newDesk()
	var log journal
	began := time.Now()
	o.subscribe(t, hooks.Handlers{Success: d.note("done ")}, hooks.Config{Durable: "mailer", Logger: log.logger()})
	for i := range 500 {
		_, err := o.js.PublishAsync(o.b.Names.Outcome("default", stream.KindCancelled, alice.Owner(), fmt.Sprint("junk-", i)), []byte("x"))
		must(t, err)
	}
	next(t, o.js.PublishAsyncComplete())
	o.succeed(t, "J1")
	d.holds(t, "done J1")
	lines := log.lines("WARN", "passed over")
	if most := 1 + int(time.Since(began)/time.Second); len(lines) == 0 || len(lines) > most {
		t.Errorf("%d lines tell of them, want 1 to %d", len(lines), most)
	}
}
