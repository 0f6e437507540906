package main

import (
	"encoding/json"
	"errors"
	"time"

	"github.com/natsasync/natsasync/task"
)

// The views are how things look as JSON: what is not known is left out, times are UTC, durations are text like "1m30s".

type userView struct {
	Realm string `json:"realm,omitempty"`
	ID    string `json:"id"`
}

func viewUser(u task.User) *userView {
	if u.Anonymous() {
		return nil
	}
	return &userView{u.Realm, u.ID}
}

type failureView struct {
	Code    string       `json:"code"`
	Message string       `json:"message,omitempty"`
	Task    string       `json:"task,omitempty"`
	ID      string       `json:"id,omitempty"`
	Attempt int          `json:"attempt,omitempty"`
	Stack   string       `json:"stack,omitempty"`
	Cause   *failureView `json:"cause,omitempty"`
}

func viewFailure(f *task.Failure) *failureView {
	if f == nil {
		return nil
	}
	return &failureView{f.Code, f.Message, f.Task, f.ID, f.Attempt, f.Stack, viewFailure(f.Cause)}
}

type outcomeView struct {
	ID      string          `json:"id"`
	Parent  string          `json:"parent,omitempty"`
	Task    string          `json:"task"`
	Queue   string          `json:"queue"`
	Object  string          `json:"object,omitempty"`
	User    *userView       `json:"user,omitempty"`
	End     string          `json:"end"`
	Value   json.RawMessage `json:"value,omitempty"`
	Failure *failureView    `json:"failure,omitempty"`
	Attempt int             `json:"attempt,omitempty"`
	Queued  time.Time       `json:"queued,omitzero"`
	Started time.Time       `json:"started,omitzero"`
	Ended   time.Time       `json:"ended,omitzero"`
	Worker  string          `json:"worker,omitempty"`
}

func viewOutcome(o task.Outcome) outcomeView {
	return outcomeView{
		ID: o.ID, Parent: o.Parent, Task: o.Task, Queue: o.Queue, Object: o.Object.String(), User: viewUser(o.User),
		End: string(o.End), Value: shown(o.Value), Failure: viewFailure(o.Failure), Attempt: o.Attempt,
		Queued: o.Queued.UTC(), Started: o.Started.UTC(), Ended: o.Ended.UTC(), Worker: o.Worker,
	}
}

type statusView struct {
	ID        string                     `json:"id"`
	Parent    string                     `json:"parent,omitempty"`
	Task      string                     `json:"task"`
	Queue     string                     `json:"queue"`
	Quota     string                     `json:"quota,omitempty"`
	Object    string                     `json:"object,omitempty"`
	User      *userView                  `json:"user,omitempty"`
	State     string                     `json:"state"`
	Attempt   int                        `json:"attempt,omitempty"`
	Progress  float64                    `json:"progress,omitempty"`
	Notes     map[string]json.RawMessage `json:"notes,omitempty"`
	Worker    string                     `json:"worker,omitempty"`
	Queued    time.Time                  `json:"queued,omitzero"`
	NotBefore time.Time                  `json:"not_before,omitzero"`
	Started   time.Time                  `json:"started,omitzero"`
	Ended     time.Time                  `json:"ended,omitzero"`
}

func viewStatus(st task.Status) statusView {
	return statusView{
		ID: st.ID, Parent: st.Parent, Task: st.Task, Queue: st.Queue, Quota: st.Quota, Object: st.Object.String(),
		User: viewUser(st.User), State: string(st.State), Attempt: st.Attempt, Progress: st.Progress, Notes: viewNotes(st.Notes),
		Worker: st.Worker, Queued: st.Queued.UTC(), NotBefore: st.NotBefore.UTC(), Started: st.Started.UTC(), Ended: st.Ended.UTC(),
	}
}

func viewNotes(notes map[string][]byte) map[string]json.RawMessage {
	views := make(map[string]json.RawMessage, len(notes))
	for key, value := range notes {
		views[key] = shown(value)
	}
	return views
}

// summary is why a job did not succeed, in one line.
func summary(o task.Outcome) string {
	err := o.Err()
	if err == nil || o.End == task.Cancelled {
		return ""
	}
	f, ok := errors.AsType[*task.Failure](err)
	if !ok || f.Code == task.CodeError || f.Message == "" {
		return err.Error()
	}
	return f.Code + ": " + f.Message
}

func endColour(end string) string {
	switch task.End(end) {
	case task.Succeeded:
		return green
	case task.Failed:
		return red
	case task.Cancelled:
		return yellow
	}
	return ""
}

func stateColour(state task.State) string {
	if state == task.StateRetrying {
		return yellow
	}
	return ""
}

// clock shows a time of day with its date, where the reader is.
func clock(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Local().Format(time.DateTime)
}

// took is how long the last attempt ran.
func took(o task.Outcome) time.Duration {
	if o.Started.IsZero() || o.Ended.Before(o.Started) {
		return 0
	}
	d := o.Ended.Sub(o.Started)
	if d < time.Second {
		return d.Round(10 * time.Microsecond)
	}
	return d.Round(time.Millisecond)
}

func nameOf(u task.User) string {
	if u.Anonymous() {
		return ""
	}
	return u.String()
}
