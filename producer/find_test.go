package producer_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/natsasync/natsasync/internal/stream"
	"github.com/natsasync/natsasync/producer"
	"github.com/natsasync/natsasync/task"
)

const invoice = "invoice-42"

func queueAs[Out any](t *testing.T, c *producer.Client, u task.User, call task.Call[Out]) *producer.Job[Out] {
	t.Helper()
	job, err := producer.Enqueue(as(t, u), c, call.With(task.WithID(invoice)))
	if err != nil {
		t.Fatal(err)
	}
	return job
}

// Both jobs of two users have ended, each has its own result.
func TestAnIDThatTwoUsersHaveUsed(t *testing.T) {
	t.Parallel()
	w := start(t, producer.Config{})
	bobs := queueAs(t, w.client, bob, add.On("", args{40, 2}))
	w.run(t, "default", "default", value(42))
	alices := queueAs(t, w.client, alice, add.On("", args{6, 7}))
	w.run(t, "default", "default", value(13))

	found := producer.Find[int](w.client, invoice)
	_, err := found.Wait(t.Context())
	wantErr(t, err, producer.ErrAmbiguous)
	for _, part := range []string{`"invoice-42"`, "2 users", "1 queue", "--as REALM:ID"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("the error does not say %s: %v", part, err)
		}
	}
	_, err = found.Outcome(t.Context())
	wantErr(t, err, producer.ErrAmbiguous)
	_, err = w.client.Status(t.Context(), invoice)
	wantErr(t, err, producer.ErrAmbiguous)
	wantErr(t, w.client.Cancel(t.Context(), invoice), producer.ErrAmbiguous)
	_, err = w.client.Retry(t.Context(), invoice)
	wantErr(t, err, producer.ErrAmbiguous)
	_, err = found.OnSuccess(as(t, task.User{ID: "carol"}), tell)
	wantErr(t, err, producer.ErrAmbiguous)

	for u, want := range map[task.User]int{bob: 42, alice: 13} {
		if n, err := found.Wait(as(t, u)); n != want || err != nil {
			t.Errorf("%s sees %d, %v", u, n, err)
		}
		if st, err := w.client.Status(as(t, u), invoice); err != nil || st.User != u {
			t.Errorf("%s sees the job of %s, %v", u, st.User, err)
		}
	}
	for job, want := range map[*producer.Job[int]]int{bobs: 42, alices: 13} {
		if n, err := job.Wait(t.Context()); n != want || err != nil {
			t.Errorf("the handle of Enqueue has %d, %v; want %d", n, err, want)
		}
	}
}

// One job runs while the other has ended: the finding of who asks after the one.
func TestAnotherUsersOutcomeDoesNotEndAJobThatRuns(t *testing.T) {
	t.Parallel()
	w := start(t, producer.Config{})
	running := queueAs(t, w.client, bob, add.On("", args{}))
	bobs := w.pull(t, "default", "default")
	queueAs(t, w.client, alice, add.On("", args{}, task.WithoutQuota()))
	w.run(t, "default", "free", value(13))

	done := wait(as(t, bob), producer.Find[int](w.client, invoice))
	wantErr(t, w.client.Cancel(t.Context(), invoice), producer.ErrAmbiguous)
	wantErr(t, w.client.Cancel(as(t, alice), invoice), producer.ErrCompleted)
	wantState(t, running.Status, task.StateActive)
	select {
	case got := <-done:
		t.Fatalf("bob's waiter has %v", got)
	default:
	}
	w.end(t, decode(t, bobs.Data()), value(42))
	if got := <-done; got.n != 42 || got.err != nil {
		t.Errorf("bob's waiter has %v", got)
	}
}

func TestCancelEndsTheJobOfItsUser(t *testing.T) {
	t.Parallel()
	w := start(t, producer.Config{})
	bobs := queueAs(t, w.client, bob, add.On("", args{}))
	alices := queueAs(t, w.client, alice, add.On("", args{}, task.Delay(time.Hour)))
	w.schedule(t, "default")
	if err := w.client.Cancel(as(t, alice), invoice); err != nil {
		t.Fatal(err)
	}
	wantState(t, bobs.Status, task.StatePending)
	wantState(t, alices.Status, task.StateCompleted)
	wantErr(t, w.client.Cancel(t.Context(), invoice), producer.ErrAmbiguous)
	if err := w.client.Cancel(as(t, bob), invoice); err != nil {
		t.Fatal(err)
	}
	wantState(t, bobs.Status, task.StateCompleted)
}

func TestRetryTakesTheJobOfItsUser(t *testing.T) {
	t.Parallel()
	w := start(t, producer.Config{})
	for _, u := range []task.User{bob, alice} {
		queueAs(t, w.client, u, add.On("", args{}))
		w.run(t, "default", "default", func(r *task.Record) {
			failure("timeout")(r)
			r.Envelope = decode(t, w.stored(t, r.Outcome)).Encode()
		})
	}
	again, err := w.client.Retry(as(t, bob), invoice)
	if err != nil {
		t.Fatal(err)
	}
	if st := wantState(t, again.Status, task.StatePending); st.User != bob {
		t.Errorf("the job of %s is tried again", st.User)
	}
}

// Whose a job is says nothing if one user has it in two queues.
func TestAnIDThatOneUserHasUsedInTwoQueues(t *testing.T) {
	t.Parallel()
	w := start(t, producer.Config{})
	inDefault := queueAs(t, w.client, alice, create.On("", "x", task.InQueue("default")))
	inDocs := queueAs(t, w.client, alice, create.On("", "y"))
	w.run(t, "docs", "default", value("docs"))
	_, err := producer.Find[string](w.client, invoice).Wait(as(t, alice))
	wantErr(t, err, producer.ErrAmbiguous)
	if !strings.Contains(err.Error(), "1 user in 2 queues (look through the handle of Enqueue;") {
		t.Errorf("error is %v", err)
	}
	wantState(t, inDefault.Status, task.StatePending)
	if s, err := inDocs.Wait(t.Context()); s != "docs" || err != nil {
		t.Errorf("the handle of Enqueue has %q, %v", s, err)
	}
}

// Members and callbacks are of the job whose ID theirs begins with, also before there is
// anything of their own.
func TestAMemberIsLookedForWhereItsBatchIs(t *testing.T) {
	t.Parallel()
	w := start(t, producer.Config{})
	batch := task.CallOf[[]task.Outcome](task.Spec{Task: task.SerialBatch, Mode: task.Serial, Members: []task.Spec{add.On("", args{1, 1}).Spec()}})
	queueAs(t, w.client, bob, batch)
	queueAs(t, w.client, alice, batch.With(task.WithoutQuota()))
	e := decode(t, w.pull(t, "default", "free").Data())
	w.end(t, decode(t, e.Members[0]), value(13))

	member := producer.Find[int](w.client, task.MemberID(invoice, 1))
	_, err := member.Wait(t.Context())
	wantErr(t, err, producer.ErrAmbiguous)
	if n, err := member.Wait(as(t, alice)); n != 13 || err != nil {
		t.Errorf("alice's member has %d, %v", n, err)
	}
	st, err := member.Status(as(t, bob))
	if err != nil || st.State != task.StatePending || st.User != bob {
		t.Errorf("bob's member is %+v, %v", st, err)
	}
}

// The waiter is there first: it gets the first job of its ID, and stays with it.
func TestAWaiterStaysWithTheJobThatItFound(t *testing.T) {
	t.Parallel()
	w := start(t, producer.Config{})
	asked, err := w.js.Conn().SubscribeSync("$JS.API.STREAM.MSG.GET." + w.broker.Outcomes())
	if err != nil {
		t.Fatal(err)
	}
	found := producer.Find[int](w.client, invoice)
	done := wait(t.Context(), found)
	if _, err := asked.NextMsg(patience); err != nil {
		t.Fatal(err)
	}
	queueAs(t, w.client, bob, add.On("", args{40, 2}))
	for met := false; !met; { // the waiter asks for the outcome of bob's job
		m, err := asked.NextMsg(patience)
		if err != nil {
			t.Fatal(err)
		}
		met = strings.Contains(string(m.Data), "default.*."+bob.Owner())
	}
	queueAs(t, w.client, alice, add.On("", args{}))
	w.run(t, "default", "default", value(42))
	w.run(t, "default", "default", value(13))
	if got := <-done; got.n != 42 || got.err != nil {
		t.Errorf("the waiter has %v", got)
	}
	if n, err := found.Wait(as(t, alice)); n != 42 || err != nil {
		t.Errorf("the handle has changed its job: %d, %v", n, err)
	}
	_, err = producer.Find[int](w.client, invoice).Wait(t.Context())
	wantErr(t, err, producer.ErrAmbiguous)
}

// What nobody can read is no job: it makes no ID ambiguous, and cannot stand for one.
func TestWhatCountsForNothingMakesNoIDAmbiguous(t *testing.T) {
	t.Parallel()
	w := start(t, producer.Config{})
	for _, subject := range []string{
		w.broker.Names.Outcome("docs", stream.KindSucceeded, alice.Owner(), invoice),
		w.broker.Names.Outcome("default", stream.KindClaimed, alice.Owner(), invoice),
		w.broker.Job("docs", "free", alice.Owner(), invoice),
	} {
		if _, err := w.broker.Publish(t.Context(), &nats.Msg{Subject: subject, Data: []byte("\xdf\xff\xff\xff\xff")}); err != nil {
			t.Fatal(err)
		}
	}
	_, err := w.client.Status(t.Context(), invoice)
	wantErr(t, err, producer.ErrNoSuchJob)
	queueAs(t, w.client, bob, add.On("", args{40, 2}))
	w.run(t, "default", "default", value(42))
	if n, err := producer.Find[int](w.client, invoice).Wait(t.Context()); n != 42 || err != nil {
		t.Errorf("got %d, %v", n, err)
	}
}

// A job is found wherever it is on its way.
func TestAnIDIsFoundWhereverItsJobLies(t *testing.T) {
	t.Parallel()
	w := start(t, producer.Config{})
	queueAs(t, w.client, bob, add.On("", args{}))
	w.run(t, "default", "default", value(42))
	ambiguous := func(where string) {
		t.Helper()
		_, err := w.client.Status(t.Context(), invoice)
		t.Log(where)
		wantErr(t, err, producer.ErrAmbiguous)
	}
	queueAs(t, w.client, alice, create.On("", "x", task.Delay(time.Second)))
	ambiguous("to be put off")
	w.schedule(t, "docs")
	ambiguous("scheduled")
	due, err := w.js.Consumer(t.Context(), w.broker.Later(), stream.DueConsumer)
	if err != nil {
		t.Fatal(err)
	}
	msg, err := due.Next()
	if err != nil {
		t.Fatal(err)
	}
	ambiguous("due")
	e := decode(t, msg.Data())
	if _, err := w.js.Publish(t.Context(), w.broker.Job("docs", e.Lane, alice.Owner(), invoice), msg.Data()); err != nil {
		t.Fatal(err)
	}
	if err := msg.DoubleAck(t.Context()); err != nil {
		t.Fatal(err)
	}
	ambiguous("in its lane")
	w.run(t, "docs", "default", value("x"))
	ambiguous("ended")
}

// requests counts what a client asks the server while do runs.
func (w *world) requests(t *testing.T, do func()) int {
	t.Helper()
	var n atomic.Int64
	far := connect(t, w.server).Conn()
	if _, err := far.Subscribe("$JS.API.>", func(m *nats.Msg) {
		n.Add(1)
		t.Logf("%s %s", m.Subject, m.Data)
	}); err != nil {
		t.Fatal(err)
	}
	if err := far.Flush(); err != nil {
		t.Fatal(err)
	}
	do()
	// What the client has published before is here once this comes back.
	end, err := far.SubscribeSync(far.NewInbox())
	if err == nil {
		err = far.Flush()
	}
	if err == nil {
		err = w.js.Conn().Publish(end.Subject, nil)
	}
	if err == nil {
		_, err = end.NextMsg(patience)
	}
	if err == nil {
		err = far.Drain()
	}
	if err != nil {
		t.Fatal(err)
	}
	for !far.IsClosed() {
		time.Sleep(time.Millisecond)
	}
	return int(n.Load())
}

// An ID alone costs a look at each place of a job; a handle that knows its job costs none.
func TestHowOftenWaitingAsks(t *testing.T) {
	t.Parallel()
	w := start(t, producer.Config{})
	wantAsked := func(what string, most int, do func()) {
		t.Helper()
		if n := w.requests(t, do); n > most {
			t.Errorf("%s: %d requests, want at most %d", what, n, most)
		} else {
			t.Logf("%s: %d requests", what, n)
		}
	}
	get := func(ctx context.Context, job *producer.Job[int]) {
		t.Helper()
		if n, err := job.Wait(ctx); n != 42 || err != nil {
			t.Errorf("got %d, %v", n, err)
		}
	}
	job := queueAs(t, w.client, alice, add.On("", args{}))
	w.run(t, "default", "default", value(42))
	wantAsked("the handle of Enqueue", 1, func() { get(t.Context(), job) })
	found := producer.Find[int](w.client, invoice)
	wantAsked("an ID alone", 6, func() { get(t.Context(), found) })
	wantAsked("an ID alone again", 1, func() { get(t.Context(), found) })
}
