package consumer

import (
	"context"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/natsasync/natsasync/internal/stream"
)

// lookUp reads the last records of the jobs in batch, one read for all, and starts
// them. It returns at once.
func (w *Worker) lookUp(p *puller, batch []*nats.Msg) {
	jobs := make([]*delivery, 0, len(batch))
	fences := make([]string, 0, len(batch))
	for _, m := range batch {
		d := w.receive(p, m)
		if d == nil {
			continue
		}
		if d.astray {
			w.hands.take(d)
			continue
		}
		jobs = append(jobs, d)
		fences = append(fences, d.fence)
	}
	if len(jobs) == 0 {
		<-p.looks
		return
	}
	w.broker.Look(fences, func(found []*stream.Message, err error) {
		<-p.looks
		last := w.newest(found)
		for _, d := range jobs {
			if m := last[stream.Subject{Queue: d.at.Queue, Owner: d.at.Owner, ID: d.at.ID}]; m != nil {
				d.last = m
			}
			d.unsure = err != nil
			w.hands.take(d)
		}
	})
}

// newest keeps the message with the highest sequence for each job.
func (w *Worker) newest(found []*stream.Message) map[stream.Subject]*stream.Message {
	if len(found) == 0 {
		return nil
	}
	last := make(map[stream.Subject]*stream.Message, len(found))
	for _, m := range found {
		at, ok := w.broker.ParseOutcome(m.Subject)
		if !ok {
			continue
		}
		at.Kind = ""
		if before := last[at]; before == nil || before.Seq < m.Seq {
			last[at] = m
		}
	}
	return last
}

// receive makes a delivery of a message, under lease from now on. nil means that it
// needs no handling of its own: it is of no job, or of one that this worker runs
// already, which then goes on under the new message's lease.
func (w *Worker) receive(p *puller, m *nats.Msg) *delivery {
	meta, err := m.Metadata()
	if err != nil {
		w.log.Warn("a message without metadata is left alone", "subject", m.Subject, "err", err)
		p.finished()
		p.slots.give(1)
		return nil
	}
	at, ok := w.broker.ParseJob(m.Subject)
	if !ok {
		at, ok = w.broker.ParseLater(m.Subject)
	}
	d := &delivery{
		w: w, from: p, subject: m.Subject, header: m.Header, data: m.Data, msg: m, at: at, slot: true, astray: !ok, stored: meta.Timestamp, fence: w.broker.Fence(at.Queue, at.Owner, at.ID),
		created: p.created, message: meta.Sequence.Stream, number: meta.Sequence.Consumer, count: meta.NumDelivered,
	}
	d.garbled = m.Header == nil && m.Size() > len(m.Subject)+len(m.Reply)+len(m.Data)
	if p.stream == w.broker.Jobs() {
		w.broker.Saw(d.message)
	}
	d.ctx, d.end = context.WithCancelCause(w.work)
	d.lease.confirmed = time.Now()
	if !w.enter(d) {
		d.end(errSettled)
		p.finished()
		p.slots.give(1)
		return nil
	}
	return d
}

// enter counts d among what is being handled. A delivery of a job that is running here
// is adopted by it: its worker was thought dead.
func (w *Worker) enter(d *delivery) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if running := w.jobs[d.key()]; running != nil && running.adopt(d) {
		return false
	}
	w.jobs[d.key()] = d
	w.running.Add(1)
	return true
}

// forget takes d out of what is being handled.
func (w *Worker) forget(d *delivery) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.jobs[d.key()] == d {
		delete(w.jobs, d.key())
	}
}

// nak gives a message back, for after a pause.
func (w *Worker) nak(m *nats.Msg, after time.Duration) {
	w.answer(m, nakBody(after))
}

func nakBody(after time.Duration) []byte {
	body := []byte("-NAK")
	if after > 0 {
		body = append(body, ` {"delay": `...)
		body = strconv.AppendInt(body, int64(after), 10)
		body = append(body, '}')
	}
	return body
}

func (w *Worker) answer(m *nats.Msg, body []byte) {
	if err := w.broker.Conn().Publish(m.Reply, body); err != nil {
		w.log.Debug("answer a delivery; it comes again when its lease is over", "subject", m.Subject, "err", err)
	}
}
