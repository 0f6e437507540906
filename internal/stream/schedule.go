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
// time has not come. body is the encoded envelope.
func (n Names) JobMessage(e *task.Envelope, owner string, body []byte) *nats.Msg {
	lane := e.Lane
	if !e.NotBefore.IsZero() {
		lane = LaneLater
	}
	return &nats.Msg{Subject: n.Job(e.Queue, lane, owner, e.ID), Header: JobHeader(e), Data: body}
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
