package main

import (
	"encoding/json"
	"time"

	"github.com/natsasync/natsasync/task"
)

// maxNested bounds the envelopes in envelopes that are shown.
const maxNested = task.MaxDepth

type envelopeView struct {
	Kind         string          `json:"kind"`
	Installation string          `json:"installation,omitempty"`
	ID           string          `json:"id"`
	Parent       string          `json:"parent,omitempty"`
	After        string          `json:"after,omitempty"`
	Queue        string          `json:"queue"`
	Lane         string          `json:"lane"`
	User         *userView       `json:"user,omitempty"`
	Task         string          `json:"task"`
	Object       string          `json:"object,omitempty"`
	Input        json.RawMessage `json:"input,omitempty"`
	Runs         string          `json:"runs,omitempty"`
	Takes        string          `json:"takes,omitempty"`
	Members      []any           `json:"members,omitempty"`
	Callbacks    []any           `json:"callbacks,omitempty"`
	Issued       time.Time       `json:"issued,omitzero"`
	NotBefore    time.Time       `json:"not_before,omitzero"`
	StartWithin  string          `json:"start_within,omitempty"`
	Timeout      string          `json:"timeout,omitempty"`
	Keep         string          `json:"keep,omitempty"`
	Retry        *retryView      `json:"retry,omitempty"`
}

type retryView struct {
	Attempts int    `json:"attempts"`
	Delay    string `json:"delay,omitempty"`
	MaxDelay string `json:"max_delay,omitempty"`
	Aside    bool   `json:"aside,omitempty"`
}

func viewEnvelope(e *task.Envelope, nested int) envelopeView {
	v := envelopeView{
		Kind: "job", Installation: e.Installation, ID: e.ID, Parent: e.Parent, After: e.After, Queue: e.Queue, Lane: e.Lane,
		User: viewUser(e.User), Task: e.Task, Object: e.Object.String(), Input: shown(e.Input), Runs: runsName(e.When),
		Takes: [...]string{"", "value", "failure", "outcome"}[e.Take], Issued: e.Issued.UTC(), NotBefore: e.NotBefore.UTC(),
		StartWithin: span(e.StartWithin), Timeout: span(e.Timeout), Keep: span(e.Keep),
		Members: viewEnvelopes(e.Members, nested), Callbacks: viewEnvelopes(e.Callbacks, nested),
	}
	if p := e.Retry; p != nil {
		d := p.WithDefaults()
		v.Retry = &retryView{d.Attempts, span(d.Delay), span(d.MaxDelay), d.Aside}
	}
	return v
}

func viewEnvelopes(bodies [][]byte, nested int) []any {
	var views []any
	for _, body := range bodies {
		e, err := task.DecodeEnvelope(body)
		if err != nil || nested == maxNested {
			views = append(views, json.RawMessage(appendBytes(nil, body)))
			continue
		}
		views = append(views, viewEnvelope(e, nested+1))
	}
	return views
}

func runsName(w task.When) string {
	switch w {
	case task.WhenSucceeded:
		return "after success"
	case task.WhenFailed:
		return "after failure"
	case task.WhenDone:
		return "after success or failure"
	}
	return ""
}

func span(d time.Duration) string {
	if d == 0 {
		return ""
	}
	return d.String()
}

type recordView struct {
	Kind string `json:"kind"`
	outcomeView
	Members   []string        `json:"members,omitempty"`
	Callbacks bool            `json:"callbacks,omitempty"`
	Queues    []any           `json:"queues,omitempty"`
	Envelope  json.RawMessage `json:"envelope,omitempty"`
}

func viewRecord(r *task.Record) (recordView, error) {
	v := recordView{
		Kind: "outcome", outcomeView: viewOutcome(r.Outcome), Members: r.Members, Callbacks: r.Callbacks,
		Queues: viewEnvelopes(r.Queues, 0),
	}
	var err error
	v.Envelope, err = viewInner(r.Envelope)
	return v, err
}

// viewInner shows an envelope that is part of something else, nil for none.
func viewInner(body []byte) (json.RawMessage, error) {
	if len(body) == 0 {
		return nil, nil
	}
	return json.Marshal(viewEnvelopes([][]byte{body}, 0)[0])
}

type claimView struct {
	Kind          string          `json:"kind,omitempty"`
	ID            string          `json:"id"`
	State         string          `json:"state"`
	Worker        string          `json:"worker,omitempty"`
	At            time.Time       `json:"at,omitzero"`
	Attempts      int             `json:"attempts,omitempty"`
	Interruptions int             `json:"interruptions,omitempty"`
	Failure       *failureView    `json:"failure,omitempty"`
	NotBefore     time.Time       `json:"not_before,omitzero"`
	Due           time.Time       `json:"due,omitzero"`
	Seen          time.Time       `json:"seen,omitzero"`
	Started       time.Time       `json:"started,omitzero"`
	Parked        []string        `json:"parked,omitempty"`
	Member        string          `json:"member,omitempty"`
	Continued     json.RawMessage `json:"continued,omitempty"`
	Created       time.Time       `json:"consumer_created,omitzero"`
	Delivery      uint64          `json:"delivery,omitempty"`
}

func viewClaim(c *task.Claim) (claimView, error) {
	continued, err := viewInner(c.Continued)
	return claimView{
		ID: c.ID, State: string(c.State), Worker: c.Worker, Attempts: c.Attempts, Interruptions: c.Interruptions,
		Failure: viewFailure(c.Failure), NotBefore: c.NotBefore.UTC(), Due: c.Due.UTC(), Seen: c.Seen.UTC(), Started: c.Started.UTC(),
		Parked: c.Parked, Member: c.Member, Continued: continued, Created: c.Created.UTC(), Delivery: c.Delivery,
	}, err
}

type notesView struct {
	Kind     string                     `json:"kind"`
	Progress float64                    `json:"progress"`
	Text     string                     `json:"text,omitempty"`
	Notes    map[string]json.RawMessage `json:"notes,omitempty"`
}

type eventView struct {
	Kind     string    `json:"kind"`
	Task     string    `json:"task"`
	Worker   string    `json:"worker,omitempty"`
	Attempt  int       `json:"attempt,omitempty"`
	At       time.Time `json:"at,omitzero"`
	Progress float64   `json:"progress,omitempty"`
	Text     string    `json:"text,omitempty"`
}
