package consumer

import (
	"errors"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go"

	"github.com/natsasync/natsasync/internal/stream"
	"github.com/natsasync/natsasync/task"
)

const (
	// maxHeaders bounds the headers of a refused message that are kept.
	maxHeaders = 8 << 10
	// maxSubject bounds its subject; that of a job is never so long.
	maxSubject = 1 << 10
	// homelessTries is how often bytes are given back while there is no stream to put them
	// aside in: it has no leader for some seconds, or must be made again. They take minutes.
	homelessTries = 20
)

// reject puts bytes aside that cannot be read or proved, or that are not where they may
// be. They never block a lane.
func (d *delivery) reject(code string, why error) {
	if due, quiet := d.w.refusals.Due(code); due {
		d.w.log.Warn("a message is put aside", "code", code, "err", why, "subject", fmt.Sprintf("%.256q", d.subject), "seq", d.message, "more", quiet)
	}
	d.w.rejected.Add(1)
	d.releaseSlot()
	m := &nats.Msg{Subject: d.w.broker.RejectedSubject(code), Data: d.data, Header: nats.Header{
		stream.HeaderCode:     {code},
		stream.HeaderReason:   {fmt.Sprintf("%.512q", why.Error())},
		stream.HeaderSubject:  {cut(d.subject)},
		stream.HeaderSequence: {fmt.Sprint(d.message)},
		stream.HeaderSize:     {fmt.Sprint(len(d.data))},
	}}
	keepHeaders(m.Header, d.header)
	if most := int(d.w.broker.Conn().MaxPayload()) - 2*maxHeaders; len(m.Data) > most {
		m.Data = m.Data[:most]
	}
	ctx, done := d.bookkeeping()
	defer done()
	switch _, err := d.w.broker.Publish(ctx, m); {
	case err == nil:
	case errors.Is(err, stream.ErrNoStream) && d.deliveries() < homelessTries:
		d.w.missStreams()
		d.giveBack(unavailablePause(d.deliveries()), "put it aside", err)
		return
	case errors.Is(err, stream.ErrNoAnswer), errors.Is(err, stream.ErrUndecided), ctx.Err() != nil:
		d.giveBack(unavailablePause(d.deliveries()), "put it aside", err)
		return
	default:
		d.w.log.Error("a message that cannot be read cannot be put aside either, and is dropped", "code", code, "subject", task.Quote(d.subject), "seq", d.message, "err", err)
	}
	d.ack()
}

func cut(subject string) string {
	if len(subject) <= maxSubject {
		return subject
	}
	return subject[:maxSubject] + "…"
}

// keepHeaders adds what the message itself said, as far as there is room: whoever queues it
// again needs the signature.
func keepHeaders(into, from nats.Header) {
	size := 0
	for name, values := range from {
		if !strings.HasPrefix(name, "Async-") || len(into[name]) > 0 {
			continue
		}
		for _, v := range values {
			size += len(name) + len(v) + 4
		}
		if size > maxHeaders {
			return
		}
		into[name] = values
	}
}

// foreignHeader returns the name of a header that only a server sets or that would have it
// do something, "" if there is none: a job that carries one is not as its producer made it.
func foreignHeader(h nats.Header) string {
	for name := range h {
		rest, ok := strings.CutPrefix(name, "Nats-")
		switch {
		case !ok && name == "KV-Operation":
			return name
		case !ok, rest == "Msg-Id", rest == "Required-Api-Level",
			strings.HasPrefix(rest, "Expected-"), strings.HasPrefix(rest, "Batch-"), strings.HasPrefix(rest, "Trace-"):
		default:
			return name
		}
	}
	return ""
}
