package consumer

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/natsasync/natsasync/internal/planted"
	"github.com/natsasync/natsasync/internal/stream"
	"github.com/natsasync/natsasync/task"
)

// settle records the outcome of the whole job, then publishes what follows from it,
// then acks. Outcomes go out in a window and the answer's handler acks: nothing waits
// here but for a place in the window, and the slot is free from then on.
func (d *delivery) settle(rec *task.Record) {
	if !d.trusted() {
		d.back(unavailablePause(d.deliveries()))
		return
	}
	follows := d.complete(d.env, rec)
	data, header := d.encode(d.env, rec)
	d.w.window <- struct{}{}
	d.releaseSlot()
	m := d.fenced(d.w.broker.Outcome(d.at.Queue, string(rec.End), d.at.Owner, d.at.ID), data, header)
	d.w.broker.PublishAsync(m, func(_ uint64, err error) {
		<-d.w.window
		switch {
		case err != nil:
			go d.settleAgain(rec, data, header, err)
		case follows:
			d.recorded.Store(true)
			go d.finish(rec)
		default:
			d.recorded.Store(true)
			d.ack()
		}
	})
}

// settleAgain records an outcome whose first write was refused or not answered.
func (d *delivery) settleAgain(rec *task.Record, data []byte, header nats.Header, why error) {
	at := d.at
	at.Kind = string(rec.End)
	ctx, done := d.bookkeeping()
	stands, err := d.resolve(ctx, at, data, why)
	done()
	if err == nil && !stands {
		err = d.record(at, data, header)
	}
	if err != nil {
		d.stopOf(err).do(d)
		return
	}
	d.recorded.Store(true)
	d.finish(rec)
}

// finish does what is left once an outcome stands: publish what follows, ack. Whoever
// gets the job of a worker that died in between begins here.
func (d *delivery) finish(rec *task.Record) {
	if planted.Bug == planted.LateCallbacks {
		d.ack()
		time.Sleep(50 * time.Millisecond)
	}
	ctx, done := d.bookkeeping()
	defer done()
	if err := d.follow(ctx, d.env, rec); err != nil {
		d.giveBack(time.Second, "publish what follows from its outcome", err)
		return
	}
	d.ack()
}

// complete adds to a record what depends on the envelope, and says whether anything
// follows from it.
func (d *delivery) complete(env *task.Envelope, rec *task.Record) bool {
	if rec.End == task.Cancelled {
		return false
	}
	rec.Callbacks = len(env.Callbacks) > 0 && len(matching(env, rec.End)) > 0
	if rec.End == task.Failed && task.Whole(env.ID) {
		rec.Envelope = d.data
	}
	return rec.Callbacks || len(rec.Queues) > 0
}

// matching returns the callbacks that run after end.
func matching(env *task.Envelope, end task.End) [][]byte {
	var all [][]byte
	for _, body := range env.Callbacks {
		if c, err := task.DecodeEnvelope(body); err != nil || c.When.Runs(end) {
			all = append(all, body)
		}
	}
	return all
}

// encode makes the bytes of a record, and the headers that depend on it. One that does not fit in a message loses first
// what is only for convenience, then its success: a job that is too large has failed,
// it is never lost.
func (d *delivery) encode(env *task.Envelope, rec *task.Record) ([]byte, nats.Header) {
	most := int(d.w.broker.Conn().MaxPayload()) - 4<<10
	data := rec.Encode()
	if len(data) > most {
		rec.Envelope = nil
		data = rec.Encode()
	}
	if len(data) > most {
		*rec = *d.failed(env, fmt.Errorf("%w: the outcome and the jobs that it queues have %d bytes, a message takes %d", task.ErrTooLarge, len(data), most), rec.Attempt)
		rec.Callbacks = len(matching(env, task.Failed)) > 0
		data = rec.Encode()
	}
	if origin := d.origin(); origin != "" && rec.Envelope != nil {
		return data, nats.Header{task.HeaderOrigin: {origin}} // proves the envelope to who tries the job again
	}
	if env.Keep == 0 || rec.End != task.Succeeded || !task.Whole(env.ID) || d.moved() {
		return data, nil
	}
	return data, nats.Header{stream.HeaderTTL: {strconv.FormatInt(int64(env.Keep.Seconds()), 10) + "s"}}
}

// follow publishes what follows from an outcome: doing it twice is doing it once.
func (d *delivery) follow(ctx context.Context, env *task.Envelope, rec *task.Record) error {
	if rec.End == task.Cancelled {
		return d.cancelRest(ctx)
	}
	for _, body := range rec.Queues {
		e, err := task.DecodeEnvelope(body)
		if err != nil {
			d.w.log.Error("a job that was queued in a job cannot be read", "id", rec.ID, "err", err)
			continue
		}
		if err := d.queue(ctx, e, body); err != nil {
			return err
		}
	}
	if !rec.Callbacks {
		return nil
	}
	cb := &task.Envelope{
		Installation: env.Installation, ID: task.CallbacksID(env.ID), Parent: env.ID, After: env.ID,
		Queue: env.Queue, Lane: stream.LaneCallbacks, User: env.User, Task: task.CallbackBatch, Mode: task.Serial,
		Members: matching(env, rec.End), Issued: env.Issued,
	}
	return d.queue(ctx, cb, cb.Encode())
}

// cancelRest cancels what a cancelled job has left unfinished: its members, theirs, and
// the job that it continues as.
func (d *delivery) cancelRest(ctx context.Context) error {
	if err := d.cancelMembers(ctx, d.env); err != nil {
		return err
	}
	b := d.w.broker
	m, err := b.Last(ctx, b.Outcomes(), b.Outcome(d.at.Queue, stream.KindClaimed, d.at.Owner, d.at.ID))
	if err != nil {
		return err
	}
	s := b.ReadStanding(m)
	if errors.Is(s.Wrong, task.ErrNoKeys) {
		return s.Wrong
	}
	if c := s.Claim; c != nil && c.Continued != nil {
		return d.cancelBody(ctx, c.Continued)
	}
	return nil
}

func (d *delivery) cancelMembers(ctx context.Context, env *task.Envelope) error {
	for _, body := range env.Members {
		if err := d.cancelBody(ctx, body); err != nil {
			return err
		}
	}
	return nil
}

func (d *delivery) cancelBody(ctx context.Context, body []byte) error {
	e, err := task.DecodeEnvelope(body)
	if err != nil || !d.owns(e) {
		return nil // it can never have run
	}
	if err := d.w.cancel(ctx, e); err != nil {
		return err
	}
	return d.cancelMembers(ctx, e)
}

// cancel records that a job is cancelled, unless it has ended.
func (w *Worker) cancel(ctx context.Context, e *task.Envelope) error {
	return w.end(ctx, &task.Record{Outcome: task.Outcome{
		ID: e.ID, Parent: e.Parent, Task: e.Task, Queue: e.Queue, Object: e.Object, User: e.User,
		End: task.Cancelled, Queued: e.Issued, Ended: w.broker.Now(), Worker: w.cfg.Name,
	}})
}

// watchCancelled has running jobs look at once when somebody cancels them.
func (w *Worker) watchCancelled(ctx context.Context) []*nats.Subscription {
	var subs []*nats.Subscription
	for _, q := range w.cfg.Queues {
		sub, err := w.broker.Conn().Subscribe(w.broker.Record(q, stream.KindCancelled, "*", ">"), func(m *nats.Msg) {
			if at, ok := w.broker.ParseOutcome(m.Subject); ok {
				w.reread(at)
			}
		})
		if err != nil {
			w.log.WarnContext(ctx, "listen for cancellations; running jobs hear of them when they renew", "queue", q, "err", err)
			continue
		}
		subs = append(subs, sub)
	}
	return subs
}
