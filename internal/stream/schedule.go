package stream

import (
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/natsasync/natsasync/task"
)

const (
	headerSchedule = "Nats-Schedule"
	headerTarget   = "Nats-Schedule-Target"
	scheduleAt     = "@at "
)

// JobMessage is a job as it is published: into its lane, or into the lane later if its
// time has not come. body is the encoded envelope, origin as in [Broker.Sign].
func (b *Broker) JobMessage(e *task.Envelope, owner string, body []byte, origin string) *nats.Msg {
	lane := e.Lane
	if !e.NotBefore.IsZero() {
		lane = LaneLater
	}
	m := &nats.Msg{Subject: b.Job(e.Queue, lane, owner, e.ID), Header: JobHeader(e), Data: body}
	b.Sign(m, origin)
	return m
}

// Put is a job whose time has come, as it is published into its lane.
func (b *Broker) Put(e *task.Envelope, owner string, body []byte, origin string) *nats.Msg {
	m := &nats.Msg{Subject: b.Job(e.Queue, e.Lane, owner, e.ID), Header: JobHeader(e), Data: body}
	b.Sign(m, origin)
	return m
}

// PutOff is a schedule that this Broker makes of a job. It is signed for the time when it fires.
func (b *Broker) PutOff(at Subject, until time.Time, e *task.Envelope, body []byte, origin string) *nats.Msg {
	m := b.Schedule(at, until, JobHeader(e), body)
	b.sign(m, b.DueJob(at.Queue, at.Owner, at.ID), origin, until)
	return m
}

// Schedule is a job in the stream Later that the server brings back at until; a time that
// has passed means at once. It takes header over.
func (n Names) Schedule(at Subject, until time.Time, header nats.Header, body []byte) *nats.Msg {
	header[headerSchedule] = []string{scheduleAt + until.UTC().Format(time.RFC3339Nano)}
	header[headerTarget] = []string{n.DueJob(at.Queue, at.Owner, at.ID)}
	return &nats.Msg{Subject: n.LaterJob(at.Queue, at.Owner, at.ID), Header: header, Data: body}
}

// ScheduledFor is when a schedule fires; false if m is none.
func ScheduledFor(m *Message) (time.Time, bool) {
	at, ok := strings.CutPrefix(m.Header.Get(headerSchedule), scheduleAt)
	if !ok {
		return time.Time{}, false
	}
	until, err := time.Parse(time.RFC3339Nano, at)
	return until, err == nil
}
