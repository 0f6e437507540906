package producer

import (
	"context"

	"github.com/natsasync/natsasync/internal/stream"
	"github.com/natsasync/natsasync/task"
)

// place is where the message of a job lies.
type place struct {
	stream.Subject
	stream   string
	message  *stream.Message
	envelope *task.Envelope // nil if it cannot be read, or is not that of its subject
	later    bool           // its time has not come, or it was not moved yet
	due      bool           // its time has come
}

// locate finds the message of a job in the order in which a job moves, so that one that
// moves meanwhile is met; nil if there is none. queue and owner may be "*".
func (c *Client) locate(ctx context.Context, queue, owner, id string) (*place, error) {
	for _, at := range [...]struct{ stream, filter string }{
		{c.broker.Jobs(), c.broker.Job(queue, "*", owner, id)},
		{c.broker.Later(), c.broker.LaterJob(queue, owner, id)},
		{c.broker.Later(), c.broker.DueJob(queue, owner, id)},
		{c.broker.Jobs(), c.broker.Job(queue, "*", owner, id)},
	} {
		m, err := c.broker.Last(ctx, at.stream, at.filter)
		if err != nil {
			return nil, tell("look for job "+task.Quote(id), err)
		}
		if m == nil {
			continue
		}
		if p := c.placeOf(at.stream, m); p != nil {
			return p, nil
		}
	}
	return nil, nil
}

// placeOf reads a message, nil if it is that of no job.
func (c *Client) placeOf(in string, m *stream.Message) *place {
	p := &place{stream: in, message: m}
	ok := false
	if in == c.broker.Later() {
		p.Subject, ok = c.broker.ParseLater(m.Subject)
		p.later = true
		p.due = ok && m.Subject == c.broker.DueJob(p.Queue, p.Owner, p.ID)
	} else {
		p.Subject, ok = c.broker.ParseJob(m.Subject)
		p.later = p.Lane == stream.LaneLater
	}
	if !ok {
		return nil
	}
	e, err := task.DecodeEnvelope(m.Data)
	if err == nil && e.ID == p.ID && e.Queue == p.Queue && e.User.Owner() == p.Owner {
		p.envelope = e
	}
	return p
}

// signed says whether somebody signed the job: then workers may believe signatures alone.
func (p *place) signed() bool { return p.message.Header.Get(task.HeaderSignature) != "" }

// waiting says whether no worker can have got the message yet, as far as this login may know.
func (c *Client) waiting(ctx context.Context, p *place) (bool, error) {
	if p.stream == c.broker.Later() || c.bound() {
		return true, nil
	}
	upTo, err := c.broker.Delivered(ctx, p.Queue, p.Lane)
	return err == nil && p.message.Seq > upTo, tell("", err)
}
