package main

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/natsasync/natsasync/task"
)

// maxBody is more than a NATS server takes.
const maxBody = 64 << 20

type decodeCmd struct{}

// Run prints whatever stdin holds. It fails for nothing that a message can be: the nats tool shows what it prints.
func (decodeCmd) Run(e *environment) error {
	body, err := io.ReadAll(io.LimitReader(e.in, maxBody+1))
	if err != nil {
		return fmt.Errorf("reading stdin: %w", err)
	}
	if len(body) > maxBody {
		body = body[:maxBody]
		e.remark("the body has more than %d bytes; the rest is left out", maxBody)
	}
	view, err := decodeBody(body)
	if err != nil {
		e.remark("no message of natsasync and no msgpack: %v", err)
		return e.say("%s", printableLines(string(body)))
	}
	return e.writeJSON(view)
}

// decodeBody finds out what a body is; what is none of ours is shown if it is msgpack.
func decodeBody(body []byte) (any, error) {
	value, err := valueJSON(body)
	if err != nil {
		return nil, err
	}
	var has map[string]json.RawMessage
	if json.Unmarshal(value, &has) != nil || has["v"] == nil {
		return value, nil
	}
	switch {
	case has["l"] != nil && has["q"] != nil:
		if e, err := task.DecodeEnvelope(body); err == nil {
			return viewEnvelope(e, 0), nil
		}
	case has["e"] != nil:
		if r, err := task.DecodeRecord(body); err == nil {
			return viewRecord(r)
		}
	case has["s"] != nil:
		if c, err := task.DecodeClaim(body); err == nil {
			view, err := viewClaim(c)
			view.Kind = "claim"
			return view, err
		}
	case has["no"] != nil:
		if n, err := task.DecodeNotes(body); err == nil {
			return notesView{"notes", n.Progress, n.Text, viewNotes(n.Values)}, nil
		}
	case has["at"] != nil:
		if x, err := task.DecodeEvent(body); err == nil {
			return eventView{"event", x.Task, x.Worker, x.Attempt, x.At.UTC(), x.Progress, x.Text}, nil
		}
	}
	return value, nil
}
