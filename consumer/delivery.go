package consumer

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/natsasync/natsasync/internal/stream"
	"github.com/natsasync/natsasync/task"
)

// delivery is one message that this worker was handed, from its receipt until it is
// acked, given back, or lost to another worker.
type delivery struct {
	w       *Worker
	from    *puller
	subject string
	header  nats.Header
	garbled bool // it has headers that cannot be read
	data    []byte
	at      stream.Subject
	astray  bool // its subject is that of no job: nothing may be asked with it
	fence   string
	stored  time.Time // by the server
	last    *stream.Message
	unsure  bool // the look failed

	proof *task.Proof // nil if NATS's word is taken
	env   *task.Envelope
	ctx   context.Context // of the handlers; its cause says why it ended
	end   context.CancelCauseFunc

	claim *task.Claim // the last one that was read or written

	displaced chan struct{} // closed when its place is another's; nil if it took none

	taking sync.Mutex // held by whoever waits for a slot

	mu       sync.Mutex // guards what a renewal or an adoption may change
	msg      *nats.Msg
	message  uint64 // the sequence in the stream
	number   uint64 // the sequence in the consumer
	count    uint64 // how often it was delivered
	created  time.Time
	seq      uint64 // of the record that the fence expects
	slot     bool
	place    *places // where it has a place among those that wait, nil if nowhere
	left     bool    // it has ended
	lease    lease
	recorded atomic.Bool // our outcome stands
	running  atomic.Pointer[attempt]
}

// deliveries is how often the job was delivered, as far as this worker knows.
func (d *delivery) deliveries() uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.count
}

// key tells deliveries apart that this worker handles at once.
func (d *delivery) key() string { return d.subject }

// handle does all there is to do with a delivery. It runs in a goroutine of its own and
// returns when the job is settled or on its way to be.
func (d *delivery) handle() {
	if d.astray {
		d.reject("subject", fmt.Errorf("subject %s is that of no job", task.Quote(d.subject)))
		return
	}
	if !d.prove() {
		return
	}
	later, err := d.open()
	if err != nil {
		d.reject(task.WireCode(err), err)
		return
	}
	s := d.w.broker.ReadStanding(d.last)
	if d.unsure || s.Seq > 0 || d.deliveries() > 1 {
		if s, err = d.standing(); err != nil {
			d.giveBack(unavailablePause(d.deliveries()), "read its last record", err)
			return
		}
	}
	d.setSeq(s.Seq)
	d.claim = s.Claim
	switch {
	case d.isLost() != nil: // while the look took its time
		d.leave(nil)
	case later != nil && s.Record != nil: // its job has ended, and is not to look as if it had not
		d.reject(task.WireCode(later), later)
	case later != nil && !d.w.works(d.at.Queue): // of what comes later, which all workers share: no record of it is ours
		d.back(d.shared())
	case later != nil:
		d.unknown("", later)
	case d.from.stream == d.w.broker.Later():
		d.moveDue(s)
	case s.Record != nil:
		d.recorded.Store(true)
		d.finish(s.Record)
	case d.at.Lane == stream.LaneLater:
		d.putOff(d.env.NotBefore)
	case d.w.taking.Err() != nil:
		d.back(0)
	default:
		d.start()
	}
}

// open decodes the envelope and says whether it is where it may be. later is why only a
// later version can read it.
func (d *delivery) open() (later, err error) {
	d.env, err = task.DecodeEnvelope(d.data)
	if err == nil {
		err = d.agrees()
	}
	if !task.Later(err) {
		return nil, err
	}
	d.env = &task.Envelope{ID: d.at.ID, Queue: d.at.Queue, Lane: d.at.Lane}
	return err, d.mayWait()
}

// mayWait says whether a job of a later version is by whoever may queue it.
func (d *delivery) mayWait() error {
	u, err := task.UserOf(d.data)
	if err == nil {
		err = d.isOf(u)
	}
	if err != nil || d.proof == nil {
		return err
	}
	return d.proof.Place(d.at.Queue, u)
}

// start runs a job that has no outcome yet, unless it must not or cannot start here.
func (d *delivery) start() {
	if name := d.unknownTask(d.env); name != "" {
		d.unknown(name, task.ErrNoSuchTask)
		return
	}
	if d.expired() {
		return
	}
	late := d.env.After != "" && task.Whole(d.env.ID)
	plain := d.env.Mode == task.Single && !d.continues(d.env.ID)
	if (late || !plain) && !d.takePlace(late) {
		return
	}
	if d.claim != nil || d.deliveries() > 1 {
		if !d.takeOver() {
			return
		}
	}
	switch {
	case late:
		d.runLateCallback()
	case plain:
		d.attempt(d.env, nil, func(a attempted) {
			rec, stop := d.judge(d.env, a)
			d.conclude(rec, stop)
		})
	default:
		d.conclude(d.perform(d.env, nil))
	}
}

// conclude records an outcome, or does what is to be done instead.
func (d *delivery) conclude(rec *task.Record, s *stop) {
	if s == nil {
		d.settle(rec)
		return
	}
	s.do(d)
}

// standing reads the last record of the job through the leader.
func (d *delivery) standing() (stream.Standing, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(d.ctx), 5*time.Second)
	defer cancel()
	return d.w.broker.Standing(ctx, d.at.Queue, d.at.Owner, d.at.ID)
}

func (d *delivery) setSeq(seq uint64) {
	d.mu.Lock()
	d.seq = seq
	d.mu.Unlock()
}

func (d *delivery) fenceSeq() uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.seq
}

// adopt goes on under the message of a later delivery of the same job, unless the
// lease was given up already. The worker's mutex is held.
func (d *delivery) adopt(later *delivery) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.left || d.lease.lost != nil || later.message != d.message {
		return false
	}
	d.msg, d.number, d.count, d.created = later.msg, later.number, later.count, later.created
	d.lease.confirmed = later.lease.confirmed
	return true
}

// The four ways in which a delivery ends: acked, given back, put aside, or left.

// ack says that all is done: the outcome stands and what follows from it is queued.
func (d *delivery) ack() { d.leave([]byte("+ACK")) }

// back gives the job back for after a pause.
func (d *delivery) back(after time.Duration) { d.leave(nakBody(after)) }

// leave ends the delivery; an answer of nil leaves the message to whoever has it now,
// and so does a lost lease.
//
// It is out of what is being handled before it answers: an answer may bring the job
// back at once.
func (d *delivery) leave(answer []byte) {
	d.mu.Lock()
	msg, slot, place := d.msg, d.slot, d.place
	if d.lease.lost != nil {
		answer = nil
	}
	d.left, d.slot, d.place = true, false, nil
	d.mu.Unlock()
	d.w.forget(d)
	if answer != nil {
		d.w.answer(msg, answer)
	}
	d.end(errSettled)
	d.from.finished()
	if slot {
		d.from.slots.give(1)
	}
	if place != nil {
		place.give(d.at.Owner)
	}
	d.w.running.Done()
}

var errSettled = errors.New("consumer: the job is settled")

// giveBack says why a job goes back although it did not run.
func (d *delivery) giveBack(after time.Duration, what string, err error) {
	d.w.log.Warn("a job goes back to its place", "id", d.at.ID, "queue", d.at.Queue, "step", what, "err", err, "pause", after)
	d.back(after)
}

// bookkeeping is a context for what must be written: it does not end with the worker's
// run, only with the lease or when the worker gives up.
func (d *delivery) bookkeeping() (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(d.w.books)
	stop := context.AfterFunc(d.lost(), func() { cancel(errLeaseLost) })
	return ctx, func() { stop(); cancel(nil) }
}

// unavailablePause is how long a job waits for a directory or a server that is down.
func unavailablePause(count uint64) time.Duration {
	return min(time.Duration(count)*time.Second, 30*time.Second)
}
