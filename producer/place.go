package producer

import (
	"context"
	"errors"

	"github.com/natsasync/natsasync/internal/stream"
	"github.com/natsasync/natsasync/task"
)

// place is where the message of a job lies.
type place struct {
	stream.Subject
	stream   string
	message  *stream.Message
	envelope *task.Envelope // nil if it does not count: it cannot be read, or not be proved
	later    bool           // its time has not come, or it was not moved yet
	due      bool           // its time has come
}

// locate finds the message of a job in the order in which a job moves, so that one that
// moves meanwhile is met; nil if there is none. queue and owner may be "*".
func (c *Client) locate(ctx context.Context, queue, owner, id string) (*place, error) {
	b := c.broker
	for _, at := range [...]struct{ stream, filter string }{
		{b.Jobs(), ""},
		{b.Later(), b.LaterJob(queue, owner, id)},
		{b.Later(), b.DueJob(queue, owner, id)},
		{b.Jobs(), ""},
	} {
		var m *stream.Message
		var wrong, err error
		if at.stream == b.Jobs() {
			m, wrong, err = b.LastJob(ctx, queue, owner, id)
		} else if m, err = b.Last(ctx, at.stream, at.filter); m != nil {
			wrong = b.Counts(m)
		}
		if err == nil && m != nil {
			var p *place
			if p, err = c.placeOf(at.stream, m, wrong); p != nil {
				return p, nil
			}
		}
		if err != nil {
			return nil, tell("look for job "+task.Quote(id), err)
		}
	}
	return nil, nil
}

// placeOf reads a message against which wrong speaks, nil if it is that of no job. The error
// is that of keys that cannot be read.
func (c *Client) placeOf(in string, m *stream.Message, wrong error) (*place, error) {
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
		return nil, nil
	}
	switch {
	case errors.Is(wrong, task.ErrNoKeys):
		return nil, wrong
	case wrong == nil:
		p.envelope, _ = task.DecodeEnvelope(m.Data)
	}
	return p, nil
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
