package integration_test

import (
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/natsasync/natsasync/consumer"
	"github.com/natsasync/natsasync/producer"
	"github.com/natsasync/natsasync/task"
)

// A slow line, each way.
const (
	lagLeast, lagMore = 50 * time.Millisecond, 300 * time.Millisecond
	lineRate          = 256_000 / 8 // bytes a second
	lineSlice         = 300         // bytes that come together at most
)

// beSlow has connections that are opened from now on be slow.
func (w *wire) beSlow() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.slow = true
}

// line is the way to one end of a connection.
func (w *wire) line(to net.Conn) io.WriteCloser {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.slow {
		return whole{to}
	}
	l := &lag{to: to, on: make(chan late, 1<<12)}
	w.all.Go(l.carry)
	return l
}

// whole leaves the connection to who made it.
type whole struct{ net.Conn }

func (whole) Close() error { return nil }

type late struct {
	due  time.Time
	body []byte
}

// lag carries bytes slowly, later and in pieces.
type lag struct {
	to   net.Conn
	on   chan late
	last time.Time
}

func (l *lag) Write(b []byte) (int, error) {
	due := time.Now().Add(lagLeast + rand.N(lagMore))
	if due.Before(l.last) { // nothing overtakes
		due = l.last
	}
	l.last = due
	l.on <- late{due, append([]byte(nil), b...)}
	return len(b), nil
}

func (l *lag) Close() error {
	close(l.on)
	return nil
}

func (l *lag) carry() {
	for s := range l.on {
		time.Sleep(time.Until(s.due))
		for len(s.body) > 0 {
			n := min(1+rand.IntN(lineSlice), len(s.body))
			if _, err := l.to.Write(s.body[:n]); err != nil {
				break
			}
			s.body = s.body[n:]
			time.Sleep(time.Duration(n) * time.Second / lineRate)
		}
	}
}

func TestF15ASlowLineMakesSlowAndNothingElse(t *testing.T) {
	t.Parallel()
	const lease = 24 * time.Second
	for round := range rounds(1, 10) {
		t.Run(fmt.Sprint("round ", round), func(t *testing.T) {
			t.Parallel()
			c := newCellWithLease(t, lease)
			w := newWire(t, c.url)
			w.beSlow()
			var log said
			c.hireWith(jetStreamOf(t, c.dial(w.url())), newStory(c.history, c.dir, "slow").registry(), consumer.Config{
				Trust: trusted, Name: "slow", Logger: slog.New(slog.NewTextHandler(&log, nil)),
			}).begin()
			client := c.clientBehind(w)
			ctx := task.WithUser(t.Context(), jane)
			var jobs []*producer.Job[string]
			var ids, names []string
			put := func(s script, opts ...task.Option) {
				job, err := producer.Enqueue(ctx, client, follow(s).With(opts...))
				if err != nil {
					t.Fatal(err)
				}
				jobs = append(jobs, job)
				if len(opts) == 0 {
					ids, names = append(ids, job.ID()), append(names, s.Name)
				}
			}
			put(script{Name: "long", Sleep: lease / 2}) // it is renewed at a third, beside what fills the line
			for i := range 3 {
				put(script{Name: fmt.Sprint("large ", i), Size: 20_000}, task.WithoutQuota())
				put(script{Name: fmt.Sprint("next ", i)})
			}
			for _, job := range jobs {
				succeeds(c, job)
				c.recorded("default", job.ID())
			}
			c.drained()
			for i, job := range jobs {
				if n := c.recorded("default", job.ID()).Record.Attempt; n != 1 {
					t.Errorf("job %d ended with attempt %d", i, n)
				}
			}
			for _, name := range append(names, "large 0", "large 1", "large 2") {
				c.starts(name, 1, 1)
			}
			c.inOrder("default", ids, names)
			if strings.Contains(log.String(), "reassigned") {
				t.Errorf("a lease was lost:\n%s", log.String())
			}
		})
	}
}
