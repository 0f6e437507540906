package stream

import (
	"errors"
	"strings"

	"github.com/nats-io/nats.go"

	"github.com/natsasync/natsasync/task"
)

// Announced reads what the server tells when it has stored a record, on a subject of [Names.Record].
func (b *Broker) Announced(m *nats.Msg) (Standing, error) {
	stored, err := storedMessage(m)
	if err != nil {
		return Standing{}, err
	}
	return b.ReadStanding(stored), nil
}

// ReadEvent reads what a worker tells on a subject of [Names.Event].
func (b *Broker) ReadEvent(m *nats.Msg) (*task.Event, error) {
	rest, ok := strings.CutPrefix(m.Subject, b.event)
	tokens := strings.SplitN(rest, ".", 4)
	if !ok || len(tokens) != 4 {
		return nil, errors.New("the subject is none of an event")
	}
	e, err := task.DecodeEvent(m.Data)
	if err != nil {
		return nil, err
	}
	e.Queue, e.Kind, e.Owner, e.ID = tokens[0], tokens[1], tokens[2], tokens[3]
	return e, nil
}
