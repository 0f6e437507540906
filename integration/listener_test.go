package integration_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/natsasync/natsasync/hooks"
	"github.com/natsasync/natsasync/task"
)

// deaf subscribes to all that workers tell and reads nothing of it.
func (c *cell) deaf() {
	c.t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(c.url, "nats://"))
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { _ = conn.Close() })
	if err := conn.(*net.TCPConn).SetReadBuffer(4 << 10); err != nil {
		c.t.Fatal(err)
	}
	if _, err := fmt.Fprint(conn, "CONNECT {\"verbose\":false}\r\nSUB natsasync.event.> 1\r\nSUB natsasync.record.> 2\r\nPING\r\n"); err != nil {
		c.t.Fatal(err)
	}
	for in := bufio.NewReader(conn); ; {
		line, err := in.ReadString('\n')
		if err != nil {
			c.t.Fatal(err)
		}
		if strings.HasPrefix(line, "PONG") { // it has subscribed
			return
		}
	}
}

// A hundred megabytes in make soak: more than the server holds back for one client.
func TestF34WhoListensAndIsSlowHoldsUpNobody(t *testing.T) {
	t.Parallel()
	const size = 200_000
	c := newCell(t)
	c.deaf()
	stuck := make(chan struct{})
	sub, err := hooks.Subscribe(t.Context(), c.js, hooks.Handlers{
		Started: func(context.Context, task.Event) { <-stuck },
		Success: func(ctx context.Context, _ task.Outcome) error {
			select {
			case <-stuck:
			case <-ctx.Done():
			}
			return nil
		},
	}, hooks.Config{Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(sub.Stop)
	t.Cleanup(func() { close(stuck) })
	c.hire("worker").begin()
	var ids, names []string
	for i := range rounds(60, 600) {
		name := fmt.Sprint("job ", i)
		job := queue(c, follow(script{Name: name, Size: size}))
		if got := succeeds(c, job); len(got) != size {
			t.Fatalf("the result has %d bytes, want %d", len(got), size)
		}
		ids, names = append(ids, job.ID()), append(names, name)
	}
	c.drained()
	for _, id := range ids {
		c.recorded("default", id)
	}
	var started []string
	for _, l := range c.history.read(t) {
		if l.Event == "start" {
			started = append(started, l.Name)
		}
	}
	if diff := cmp.Diff(names, started); diff != "" {
		t.Errorf("what started (-want +got):\n%s", diff)
	}
}
