package stream

import (
	"strings"

	"github.com/natsasync/natsasync/task"
)

// Subject is what a subject says about its job. Lane is set by ParseJob alone and Kind by ParseOutcome alone.
//
// Who publishes chooses the subject, and its tokens go into requests and fences: a "*" in one would match other jobs,
// and a long one ends the connection of whoever asks with it. So each token is checked before anything is made of it.
type Subject struct{ Queue, Lane, Kind, Owner, ID string }

// ParseJob takes apart the subject of a job in a lane, false if it is none. The ID may have several tokens: "ID.3.2".
func (n Names) ParseJob(subject string) (Subject, bool) {
	rest, ok := strings.CutPrefix(subject, n.job)
	if !ok {
		return Subject{}, false
	}
	var s Subject
	s.Queue, s.Lane, s.Owner, s.ID = fourTokens(rest)
	return s.checked(s.Lane)
}

// ParseOutcome takes apart the subject of a record, as it is stored or as it is repeated by the server.
func (n Names) ParseOutcome(subject string) (Subject, bool) {
	rest, ok := strings.CutPrefix(subject, n.outcome)
	if !ok {
		rest, ok = strings.CutPrefix(subject, n.record)
	}
	if !ok {
		return Subject{}, false
	}
	var s Subject
	s.Queue, s.Kind, s.Owner, s.ID = fourTokens(rest)
	return s.checked(s.Kind)
}

// ParseLater takes apart the subject of a schedule or of a job whose time has come.
func (n Names) ParseLater(subject string) (Subject, bool) {
	rest, ok := strings.CutPrefix(subject, n.later)
	if !ok {
		rest, ok = strings.CutPrefix(subject, n.due)
	}
	if !ok {
		return Subject{}, false
	}
	queue, rest, _ := strings.Cut(rest, ".")
	owner, id, _ := strings.Cut(rest, ".")
	return Subject{Queue: queue, Owner: owner, ID: id}.checked(queue)
}

// checked returns s if its tokens are what they must be; second is its lane or its kind.
func (s Subject) checked(second string) (Subject, bool) {
	if !validName(s.Queue) || !validName(second) || task.CheckOwner(s.Owner) != nil || task.CheckFullID(s.ID) != nil {
		return Subject{}, false
	}
	return s, true
}

func fourTokens(s string) (a, b, c, rest string) {
	a, rest, _ = strings.Cut(s, ".")
	b, rest, _ = strings.Cut(rest, ".")
	c, rest, _ = strings.Cut(rest, ".")
	return a, b, c, rest
}
