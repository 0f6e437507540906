package integration_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/natsasync/natsasync/hooks"
	"github.com/natsasync/natsasync/task"
)

func TestADurableHandlerThatIsKilledSeesEveryOutcome(t *testing.T) {
	t.Parallel()
	c := newCell(t)
	c.hire("worker").begin()
	first := spawn(t, role{Part: "handler", Name: "first", URL: c.url, Dir: c.dir, History: c.history.path})
	c.awaitReady(first, "first", 1)
	c.shorten("teller")
	for i := range 10 {
		succeeds(c, queue(c, do(fmt.Sprint("job ", i))))
		if i == 4 {
			c.history.await(t, "start", "handle 3", 1)
			first.kill()
			first.gone(t)
		}
	}
	second := spawn(t, role{Part: "handler", Name: "second", URL: c.url, Dir: c.dir, History: c.history.path})
	c.awaitReady(second, "second", 1)
	for i := range 10 {
		c.history.await(t, "start", fmt.Sprint("handle ", i), 1)
		c.starts(fmt.Sprint("handle ", i), 1, 2)
	}
}

// shorten makes the time short after which a handler's outcome comes again.
func (c *cell) shorten(durable string) {
	c.t.Helper()
	handler, err := c.js.Consumer(c.t.Context(), c.broker.Outcomes(), durable)
	if err != nil {
		c.t.Fatal(err)
	}
	cfg := handler.CachedInfo().Config
	cfg.AckWait = shortLease
	if _, err := c.js.UpdateConsumer(c.t.Context(), c.broker.Outcomes(), cfg); err != nil {
		c.t.Fatal(err)
	}
}

// handle tells of the outcomes that it sees. It stays with the fourth until it is killed.
func (r role) handle(ctx context.Context) error {
	js, done, err := r.connect(ctx)
	if err != nil {
		return err
	}
	defer done()
	h := &history{path: r.History}
	sub, err := hooks.Subscribe(ctx, js, hooks.Handlers{Success: func(ctx context.Context, o task.Outcome) error {
		name, err := task.Result[string](o)
		if err != nil {
			return err
		}
		var n int
		if _, err := fmt.Sscanf(name, "job %d", &n); err != nil {
			return err
		}
		h.add(entry{Event: "start", Name: fmt.Sprint("handle ", n), Worker: r.Name})
		if r.Name == "first" && n == 3 {
			<-ctx.Done()
			return ctx.Err()
		}
		return nil
	}}, hooks.Config{Durable: "teller", Logger: quiet})
	if err != nil {
		return err
	}
	defer sub.Stop()
	h.add(entry{Event: "ready", Name: r.Name})
	<-ctx.Done()
	return nil
}
