package stream_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/natsasync/natsasync/internal/stream"
)

func jobs(b *stream.Broker, n int, prefix string) []*nats.Msg {
	msgs := make([]*nats.Msg, n)
	for i := range msgs {
		msgs[i] = &nats.Msg{Subject: b.Job("q", "free", "anon", prefix+fmt.Sprint(i)), Data: []byte(fmt.Sprint(i))}
	}
	return msgs
}

func TestABatchIsStoredWholeAndInOrder(t *testing.T) {
	t.Parallel()
	b := newBroker(t, "q")
	for _, n := range []int{1, 2, stream.MaxBatch} {
		msgs := jobs(b, n, fmt.Sprintf("%d-", n))
		first, err := b.PublishBatch(t.Context(), msgs, stream.RequestTimeout)
		must(t, err)
		if msgs[0].Header != nil || msgs[0].Reply != "" {
			t.Errorf("it changed the caller's message: %+v", msgs[0])
		}
		i := 0
		for m, err := range b.Range(t.Context(), b.Jobs(), b.QueueFilter("q"), first) {
			must(t, err)
			if m.Seq != first+uint64(i) || m.Subject != msgs[i].Subject {
				t.Fatalf("at %d of %d: %d %s", i, n, m.Seq, m.Subject)
			}
			i++
		}
		if i != n {
			t.Errorf("%d of %d are stored", i, n)
		}
	}
}

func TestABatchWithAKnownJobIsRefusedWhole(t *testing.T) {
	t.Parallel()
	b := newBroker(t, "q")
	known := queueJob(t, b, b.Job("q", "free", "anon", "2"), "")
	for name, msgs := range map[string][]*nats.Msg{
		"known": jobs(b, 3, ""),
		"twice": append(jobs(b, 2, "x"), jobs(b, 1, "x")...),
	} {
		_, err := b.PublishBatch(t.Context(), msgs, stream.RequestTimeout)
		refused, ok := errors.AsType[*jetstream.APIError](err)
		if !ok || refused.ErrorCode != 10077 {
			t.Errorf("%s: %v, want 10077", name, err)
		}
	}
	for m, err := range b.Range(t.Context(), b.Jobs(), b.QueueFilter("q"), 1) {
		must(t, err)
		if m.Seq != known {
			t.Errorf("%s was stored", m.Subject)
		}
	}
}

func TestABatchOfAWrongSizeIsAnError(t *testing.T) {
	t.Parallel()
	b := newBroker(t, "q")
	for _, n := range []int{0, stream.MaxBatch + 1} {
		if _, err := b.PublishBatch(t.Context(), jobs(b, n, ""), stream.RequestTimeout); err == nil {
			t.Errorf("%d messages are fine", n)
		}
	}
}

func TestBatchesWaitForEachOther(t *testing.T) {
	t.Parallel()
	b := newBroker(t, "q")
	// Open, and never committed, are as many batches as a stream may have; the server gives them up after 10 s.
	for i := range 50 {
		msg := jobs(b, 1, "open")[0]
		msg.Header = nats.Header{"Nats-Batch-Id": {fmt.Sprint("open", i)}, "Nats-Batch-Sequence": {"1"}}
		_, err := b.Conn().RequestMsgWithContext(t.Context(), msg)
		must(t, err)
	}
	if _, err := b.PublishBatch(short(t), jobs(b, 2, "late"), stream.RequestTimeout); err == nil {
		t.Fatal("a batch over the limit is stored at once")
	}
	// One of them ends while others wait.
	done := make([]error, 8)
	var all sync.WaitGroup
	for i := range done {
		all.Go(func() {
			_, done[i] = b.PublishBatch(t.Context(), jobs(b, 3, fmt.Sprintf("b%d-", i)), stream.RequestTimeout)
		})
	}
	last := jobs(b, 1, "end")[0]
	last.Header = nats.Header{"Nats-Batch-Id": {"open0"}, "Nats-Batch-Sequence": {"2"}, "Nats-Batch-Commit": {"1"}}
	_, err := b.Conn().RequestMsgWithContext(t.Context(), last)
	must(t, err)
	all.Wait()
	must(t, errors.Join(done...))
}
