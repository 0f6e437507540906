package stream_test

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/natsasync/natsasync/internal/stream"
)

func record(t *testing.T, b *stream.Broker, kind, id string, body []byte) uint64 {
	t.Helper()
	msg := nats.NewMsg(b.Names.Outcome("q", kind, "anon", id))
	msg.Data = body
	msg.Header.Set("Async-Task", "math.add")
	ack, err := b.JetStream().PublishMsg(t.Context(), msg)
	must(t, err)
	return ack.Sequence
}

func TestReadsAgreeOnAMessage(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	record(t, b, stream.KindClaimed, "1", []byte("claim"))
	seq := record(t, b, stream.KindFailed, "1", []byte("\x00outcome\xff"))
	want := &stream.Message{
		Subject: b.Names.Outcome("q", stream.KindFailed, "anon", "1"), Seq: seq,
		Header: nats.Header{"Async-Task": {"math.add"}}, Data: []byte("\x00outcome\xff"),
	}
	fence := b.Fence("q", "anon", "1")
	read := map[string]func() (*stream.Message, error){
		"Last":       func() (*stream.Message, error) { return b.Last(t.Context(), b.Outcomes(), fence) },
		"Get":        func() (*stream.Message, error) { return b.Get(t.Context(), b.Outcomes(), seq) },
		"LastDirect": func() (*stream.Message, error) { return b.LastDirect(t.Context(), b.Outcomes(), fence) },
		"LastEach": func() (*stream.Message, error) {
			all, err := b.LastEach(t.Context(), b.Outcomes(), []string{fence})
			if len(all) != 2 {
				return nil, fmt.Errorf("%d messages, want the claim and the outcome: %w", len(all), err)
			}
			return all[1], err
		},
		"Range": func() (*stream.Message, error) {
			for m, err := range b.Range(t.Context(), b.Outcomes(), fence, seq) {
				return m, err
			}
			return nil, nil
		},
	}
	for name, read := range read {
		got, err := read()
		if err != nil || got == nil {
			t.Errorf("%s: %v, %v", name, got, err)
			continue
		}
		if age := time.Since(got.Time); age < 0 || age > time.Minute {
			t.Errorf("%s: stored at %s", name, got.Time)
		}
		got.Time = time.Time{}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// What a server says has no body and a header Status, and so has what anybody may publish.
func TestAMessageThatLooksLikeAWordOfTheServersIsRead(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for _, status := range []string{"100", "204", "404", "408", "413", "503"} {
		fence := b.Fence("q", "anon", status)
		msg := nats.NewMsg(b.Names.Outcome("q", stream.KindCancelled, "anon", status))
		msg.Header.Set("Status", status)
		ack, err := b.JetStream().PublishMsg(t.Context(), msg)
		must(t, err)
		one := func(all []*stream.Message, err error) (*stream.Message, error) {
			if len(all) == 0 {
				return nil, err
			}
			return all[0], err
		}
		look := func(fences ...string) (m *stream.Message, err error) {
			done := make(chan struct{})
			b.Look(fences, func(all []*stream.Message, failed error) {
				m, err = one(all, failed)
				close(done)
			})
			<-done
			return m, err
		}
		for name, read := range map[string]func() (*stream.Message, error){
			"Last":        func() (*stream.Message, error) { return b.Last(ctx, b.Outcomes(), fence) },
			"LastDirect":  func() (*stream.Message, error) { return b.LastDirect(ctx, b.Outcomes(), fence) },
			"LastEach":    func() (*stream.Message, error) { return one(b.LastEach(ctx, b.Outcomes(), []string{fence})) },
			"Look":        func() (*stream.Message, error) { return look(fence) },
			"Look at two": func() (*stream.Message, error) { return look(fence, b.Fence("q", "anon", "none")) },
			"Range": func() (*stream.Message, error) {
				for m, err := range b.Range(ctx, b.Outcomes(), fence, 0) {
					return m, err
				}
				return nil, nil
			},
		} {
			if m, err := read(); err != nil || m == nil || m.Seq != ack.Sequence || m.Header.Get("Status") != status {
				t.Errorf("%s of %s: %+v, %v", name, status, m, err)
			}
		}
	}
}

func TestAbsentIsNilAndNoError(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	fence := b.Fence("q", "anon", "none")
	for name, read := range map[string]func() (*stream.Message, error){
		"Last":       func() (*stream.Message, error) { return b.Last(t.Context(), b.Outcomes(), fence) },
		"Get":        func() (*stream.Message, error) { return b.Get(t.Context(), b.Outcomes(), 99) },
		"Get 0":      func() (*stream.Message, error) { return b.Get(t.Context(), b.Outcomes(), 0) },
		"LastDirect": func() (*stream.Message, error) { return b.LastDirect(t.Context(), b.Outcomes(), fence) },
	} {
		if got, err := read(); got != nil || err != nil {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	for m, err := range b.Range(t.Context(), b.Outcomes(), "", 0) {
		t.Errorf("an empty stream holds %v, %v", m, err)
	}
}

func TestAMissingStreamIsAnError(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	if _, err := b.Last(t.Context(), "NONE", ">"); err == nil {
		t.Error("Last finds nothing to say")
	}
	if _, err := b.LastDirect(short(t), "NONE", ">"); err == nil {
		t.Error("LastDirect finds nothing to say")
	}
	if _, err := b.Count(t.Context(), "NONE", ">"); err == nil {
		t.Error("Count finds nothing to say")
	}
	failed := false
	for _, err := range b.Range(short(t), "NONE", ">", 1) {
		failed = err != nil
	}
	if !failed {
		t.Error("Range finds nothing to say")
	}
}

func TestAPublisherCannotForgeWhatTheServerSays(t *testing.T) {
	t.Parallel()
	b := newBroker(t, "q")
	subject := b.Job("q", "free", "anon", "1")
	msg := &nats.Msg{Subject: subject, Header: nats.Header{
		"Status": {"204"}, "Description": {"EOB"}, "Nats-Sequence": {"7777"}, "Nats-Subject": {"natsasync.job.q.free.boss.1"},
		"Nats-Time-Stamp": {"1999-01-01T00:00:00Z"}, "Nats-Num-Pending": {"0"},
	}}
	ack, err := b.JetStream().PublishMsg(t.Context(), msg)
	must(t, err)
	queueJob(t, b, b.Job("q", "free", "anon", "2"), "")
	got, err := b.LastDirect(t.Context(), b.Jobs(), subject)
	must(t, err)
	if got == nil || got.Subject != subject || got.Seq != ack.Sequence || got.Time.Year() == 1999 {
		t.Errorf("LastDirect believes %+v", got)
	}
	var seen []string
	for m, err := range b.Range(t.Context(), b.Jobs(), b.QueueFilter("q"), 1) {
		must(t, err)
		seen = append(seen, m.Subject)
	}
	if !slices.Equal(seen, []string{subject, b.Job("q", "free", "anon", "2")}) {
		t.Errorf("Range sees %v", seen)
	}
}

func TestLastEachOfNoneOneAndManyJobs(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	const jobs = 700
	fences := make([]string, jobs)
	for i := range jobs {
		id := fmt.Sprint(i)
		fences[i] = b.Fence("q", "anon", id)
		record(t, b, stream.KindClaimed, id, nil)
		if i%2 == 0 {
			record(t, b, stream.KindSucceeded, id, nil)
		}
	}
	for _, test := range []struct {
		filters []string
		want    int
	}{
		{nil, 0},
		{[]string{b.Fence("q", "anon", "none")}, 0},
		{fences[1:2], 1},
		{fences[:1], 2},
		{fences, jobs + jobs/2},
		{[]string{b.Fence("q", "anon", "none"), fences[1]}, 1},
	} {
		got, err := b.LastEach(t.Context(), b.Outcomes(), test.filters)
		must(t, err)
		subjects := make(map[string]bool)
		for _, m := range got {
			subjects[m.Subject] = true
		}
		if len(got) != test.want || len(subjects) != test.want {
			t.Errorf("%d filters: %d messages on %d subjects, want %d", len(test.filters), len(got), len(subjects), test.want)
		}
	}
}

func TestLastEachReadsWhatFitsInNoSingleAnswer(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	const jobs = 400
	fences := make([]string, jobs)
	for i := range jobs {
		id := fmt.Sprint(i)
		fences[i] = b.Fence("q", "anon", id)
		for _, kind := range []string{stream.KindClaimed, stream.KindSucceeded, stream.KindFailed} {
			record(t, b, kind, id, nil)
		}
	}
	got, err := b.LastEach(t.Context(), b.Outcomes(), fences)
	must(t, err)
	if len(got) != 3*jobs {
		t.Errorf("%d messages, want %d: over 1,024 results in one answer", len(got), 3*jobs)
	}
	for i := range 20 {
		record(t, b, stream.KindSucceeded, fmt.Sprint(i), bytes.Repeat([]byte("x"), 200<<10))
	}
	got, err = b.LastEach(t.Context(), b.Outcomes(), fences[:20])
	must(t, err)
	var size int
	for _, m := range got {
		size += len(m.Data)
	}
	if len(got) != 60 || size != 20*200<<10 {
		t.Errorf("%d messages of %d bytes together, want 60 of 4 MiB", len(got), size)
	}
}

func TestRangeKeepsTheOrderOverManyPages(t *testing.T) {
	t.Parallel()
	b := newBroker(t, "q")
	const jobs = 2300
	futures := make([]jetstream.PubAckFuture, 0, 2*jobs)
	for i := range jobs {
		for _, lane := range []string{"default", "free"} {
			future, err := b.JetStream().PublishAsync(b.Job("q", lane, "anon", fmt.Sprint(i)), []byte(fmt.Sprint(i)), jetstream.WithStallWait(time.Minute))
			must(t, err)
			futures = append(futures, future)
		}
	}
	for _, future := range futures {
		select {
		case <-future.Ok():
		case err := <-future.Err():
			t.Fatal(err)
		}
	}
	next := 0
	var middle uint64
	for m, err := range b.Range(t.Context(), b.Jobs(), b.LaneFilter("q", "free"), 0) {
		must(t, err)
		if string(m.Data) != fmt.Sprint(next) {
			t.Fatalf("got job %s, want %d", m.Data, next)
		}
		if next == 1500 {
			middle = m.Seq
		}
		next++
	}
	if next != jobs {
		t.Errorf("%d jobs, want %d", next, jobs)
	}
	next = 1500
	for m, err := range b.Range(t.Context(), b.Jobs(), b.LaneFilter("q", "free"), middle) {
		must(t, err)
		if string(m.Data) != fmt.Sprint(next) {
			t.Fatalf("from the middle: got job %s, want %d", m.Data, next)
		}
		if next++; next == 1510 {
			break
		}
	}
	if n, err := b.Count(t.Context(), b.Jobs(), b.LaneFilter("q", "free")); err != nil || n != jobs {
		t.Errorf("Count: %d, %v", n, err)
	}
	if n, err := b.Count(t.Context(), b.Jobs(), b.QueueFilter("q")); err != nil || n != 2*jobs {
		t.Errorf("Count of the queue: %d, %v", n, err)
	}
	if n, err := b.Count(t.Context(), b.Jobs(), b.LaneFilter("q", "none")); err != nil || n != 0 {
		t.Errorf("Count of nothing: %d, %v", n, err)
	}
}

func TestRangeReadsLargeMessages(t *testing.T) {
	t.Parallel()
	b := newBroker(t, "q")
	for i := range 12 {
		queueJob(t, b, b.Job("q", "free", "anon", fmt.Sprint(i)), strings.Repeat("x", 700<<10))
	}
	n := 0
	for m, err := range b.Range(t.Context(), b.Jobs(), b.QueueFilter("q"), 1) {
		must(t, err)
		if len(m.Data) != 700<<10 {
			t.Errorf("message %d has %d bytes", m.Seq, len(m.Data))
		}
		n++
	}
	if n != 12 {
		t.Errorf("%d messages, want 12", n)
	}
}

func TestDeleteTwiceIsFine(t *testing.T) {
	t.Parallel()
	b := newBroker(t, "q")
	subject := b.Job("q", "free", "anon", "1")
	seq := queueJob(t, b, subject, "")
	must(t, b.Delete(t.Context(), b.Jobs(), seq))
	must(t, b.Delete(t.Context(), b.Jobs(), seq))
	must(t, b.Delete(t.Context(), b.Jobs(), seq+100))
	if got, err := b.Last(t.Context(), b.Jobs(), subject); got != nil || err != nil {
		t.Errorf("it is still there: %v, %v", got, err)
	}
}

func TestADomainIsHonoured(t *testing.T) {
	t.Parallel()
	srv := startServer(t, func(o *server.Options) { o.JetStreamDomain = "hub" })
	js, err := jetstream.NewWithDomain(connect(t, srv).Conn(), "hub")
	must(t, err)
	b := open(t, js, stream.Config{Queues: []string{"q"}})
	seq := queueJob(t, b, b.Job("q", "free", "anon", "1"), "")
	if got, err := b.Last(t.Context(), b.Jobs(), b.QueueFilter("q")); err != nil || got == nil || got.Seq != seq {
		t.Errorf("Last: %v, %v", got, err)
	}
	if got, err := b.LastEach(t.Context(), b.Jobs(), []string{b.QueueFilter("q")}); err != nil || len(got) != 1 {
		t.Errorf("LastEach: %v, %v", got, err)
	}
	other, err := jetstream.NewWithDomain(js.Conn(), "nowhere")
	must(t, err)
	if _, err := stream.Open(t.Context(), other, stream.Config{}); err == nil || !strings.Contains(err.Error(), "correct the domain") {
		t.Errorf("a domain that nobody serves: %v", err)
	}
}
