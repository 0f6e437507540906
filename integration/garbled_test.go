package integration_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/natsasync/natsasync/batch"
	"github.com/natsasync/natsasync/internal/stream"
	"github.com/natsasync/natsasync/producer"
	"github.com/natsasync/natsasync/task"
)

// publishGarbled publishes a message with headers that no client would send, and none can read.
func (c *cell) publishGarbled(subject string, body []byte) {
	c.t.Helper()
	at, err := url.Parse(c.url)
	if err != nil {
		c.t.Fatal(err)
	}
	conn, err := net.Dial("tcp", at.Host)
	if err != nil {
		c.t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(patience))
	headers := "NATS/1.0\r\na line without a colon\r\n\r\n"
	_, err = fmt.Fprintf(conn, "CONNECT {\"verbose\":false,\"headers\":true,\"no_responders\":true}\r\nSUB answer 1\r\nHPUB %s answer %d %d\r\n%s%s\r\n",
		subject, len(headers), len(headers)+len(body), headers, body)
	if err != nil {
		c.t.Fatal(err)
	}
	lines := bufio.NewScanner(conn)
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), `{"stream"`) {
			return
		}
	}
	c.t.Fatalf("no answer: %v", lines.Err())
}

func (c *cell) sealed(id string) []byte {
	c.t.Helper()
	e, err := do(id).With(task.WithID(id)).Spec().Seal(task.Sealing{Installation: c.broker.Installation(), User: jane, Now: time.Now()})
	if err != nil {
		c.t.Fatal(err)
	}
	return e.Encode()
}

// The server passes on headers that no client can read, and with them goes where the message lies.
func TestAMessageWithHeadersThatNobodyCanReadHidesNoOther(t *testing.T) {
	t.Parallel()
	c := newCell(t)
	first := queue(c, do("first").With(task.WithID("first")))
	c.publishGarbled(c.broker.Job("default", "default", jane.Owner(), "garbled"), c.sealed("garbled"))
	c.publishGarbled(c.broker.Job("default", "default", jane.Owner(), "empty"), nil)
	last := queue(c, do("last").With(task.WithID("last")))

	var listed []string
	for st, err := range c.client.Queue("default").Jobs(t.Context(), producer.JobFilter{}) {
		if err != nil {
			t.Fatal(err)
		}
		listed = append(listed, st.ID)
	}
	if got := strings.Join(listed, " "); !strings.Contains(got, first.ID()) || !strings.HasSuffix(got, last.ID()) {
		t.Errorf("listed are %q", got)
	}
	if st, err := c.client.Status(t.Context(), "garbled"); err != nil || st.State != task.StatePending {
		t.Errorf("its status: %+v, %v", st, err)
	}
	if err := c.client.Cancel(t.Context(), "garbled"); err != nil {
		t.Errorf("cancel it: %v", err)
	}
	if n, err := c.client.Queue("default").Purge(t.Context()); err != nil || n != 2 {
		t.Errorf("%d jobs are purged, want 2: %v", n, err)
	}
}

// What its headers are for is not known, so it does not run.
func TestAJobWithHeadersThatNobodyCanReadIsPutAside(t *testing.T) {
	t.Parallel()
	c := newCell(t)
	c.hire("worker").begin()
	subject := c.broker.Job("default", "default", jane.Owner(), "garbled")
	c.publishGarbled(subject, c.sealed("garbled"))
	succeeds(c, queue(c, do("next")))
	if code := c.aside(1)[subject].Get(stream.HeaderCode); code != "header" {
		t.Errorf("put aside as %q", code)
	}
	c.starts("garbled", 0, 0)
}

// Whoever may cancel can store a record that nobody can read beside a member of a batch. It counts for nothing: the batch
// runs, and what waits behind it.
func TestARecordWithHeadersThatNobodyCanReadHoldsUpNoBatch(t *testing.T) {
	t.Parallel()
	for name, of := range map[string]func(...task.Callable) task.Call[batch.Results]{"parallel": batch.Parallel, "serial": batch.Serial} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCell(t)
			c.hire("worker").begin()
			c.publishGarbled(c.broker.Outcome("default", stream.KindCancelled, jane.Owner(), "poison.1"), []byte("x"))
			poison := queue(c, of(do("one"), do("two")).With(task.WithID("poison")))
			succeeds(c, queue(c, do("next")))
			for _, o := range succeeds(c, poison) {
				if o.End != task.Succeeded {
					t.Errorf("member %s ended as %s: %v", o.ID, o.End, o.Failure)
				}
			}
		})
	}
}

func TestARecordWithHeadersThatNobodyCanReadHidesNoJobs(t *testing.T) {
	t.Parallel()
	c := newCell(t)
	var ids []string
	for _, id := range []string{"first", "poison", "last"} {
		ids = append(ids, queue(c, do(id).With(task.WithID(id))).ID())
	}
	c.publishGarbled(c.broker.Outcome("default", stream.KindCancelled, jane.Owner(), "poison"), []byte("x"))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var listed []string
	for st, err := range c.client.Queue("default").Jobs(ctx, producer.JobFilter{}) {
		if err != nil {
			t.Fatal(err)
		}
		listed = append(listed, st.ID)
	}
	if got, want := strings.Join(listed, " "), strings.Join(ids, " "); got != want {
		t.Errorf("listed are %q, want %q", got, want)
	}
}

// A login of a worker's can store more records of an ID than the server puts into one answer.
func TestMoreRecordsOfAMemberThanOneAnswerHoldsHoldUpNoBatch(t *testing.T) {
	t.Parallel()
	c := newCell(t)
	c.hire("worker").begin()
	for i := range 1025 {
		if _, err := c.js.PublishMsgAsync(&nats.Msg{Subject: c.broker.Outcome("default", fmt.Sprint("kind", i), jane.Owner(), "poison.1"), Data: []byte("x")}); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case <-c.js.PublishAsyncComplete():
	case <-time.After(patience):
		t.Fatal("the records are not stored")
	}
	queue(c, batch.Parallel(do("one"), do("two")).With(task.WithID("poison")))
	succeeds(c, queue(c, do("next")))
}
