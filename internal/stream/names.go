package stream

import (
	"fmt"
	"strings"
)

// The lanes that every queue has besides its quotas. Jobs without a quota go to LaneFree; LaneCallbacks and LaneLater
// are subjects of their own that one consumer, LaneSystem, serves.
const (
	LaneFree      = "free"
	LaneCallbacks = "callbacks"
	LaneLater     = "later"
	LaneSystem    = "system"
)

// QuotaDefault is the quota of size 1 that every queue has.
const QuotaDefault = "default"

// The kinds of records in the stream Outcomes: three ends, and the claim of a job that runs.
const (
	KindSucceeded = "succeeded"
	KindFailed    = "failed"
	KindCancelled = "cancelled"
	KindClaimed   = "claimed"
)

// DueConsumer is the consumer of the stream Later that hands out jobs whose time has come.
const DueConsumer = "due"

// DefaultNamespace is the first token of every subject unless a namespace is given.
const DefaultNamespace = "natsasync"

const maxName = 64

// Names forms the names of streams and subjects of one namespace. It does not check what it is given: owners and IDs
// are tokens, or "*" where a filter is wanted. It is safe for concurrent use; the zero value is not usable.
type Names struct {
	namespace, streams                                    string
	job, later, due, outcome, record, note, event, reject string
	gateway                                               string
}

// NewNames returns the names of a namespace: one token of a-z, 0-9 and "-"; "" means DefaultNamespace.
func NewNames(namespace string) (Names, error) {
	if namespace == "" {
		namespace = DefaultNamespace
	}
	if err := checkName("namespace", namespace); err != nil {
		return Names{}, err
	}
	return Names{
		namespace: namespace,
		streams:   strings.ToUpper(namespace),
		job:       namespace + ".job.",
		later:     namespace + ".later.",
		due:       namespace + ".due.",
		outcome:   namespace + ".outcome.",
		record:    namespace + ".record.",
		note:      namespace + ".note.",
		event:     namespace + ".event.",
		gateway:   namespace + ".gateway.queue.",
		reject:    namespace + ".rejected.",
	}, nil
}

// Namespace returns the first token of every subject.
func (n Names) Namespace() string { return n.namespace }

// Jobs returns the name of the stream of what is to be run.
func (n Names) Jobs() string { return n.streams + "_JOBS" }

// Later returns the name of the stream of jobs whose time has not come.
func (n Names) Later() string { return n.streams + "_LATER" }

// Outcomes returns the name of the stream of what has ended, with claims and notes.
func (n Names) Outcomes() string { return n.streams + "_OUTCOMES" }

// Rejected returns the name of the stream of bytes that could not be read or proved.
func (n Names) Rejected() string { return n.streams + "_REJECTED" }

// Job returns the subject of a job in a lane.
func (n Names) Job(queue, lane, owner, id string) string {
	return n.job + queue + "." + lane + "." + owner + "." + id
}

// JobFilter matches all jobs of all queues, in every lane.
func (n Names) JobFilter() string { return n.job + ">" }

// QueueFilter matches all jobs of a queue, in every lane.
func (n Names) QueueFilter(queue string) string { return n.job + queue + ".>" }

// LaneFilter matches all jobs of one lane of a queue.
func (n Names) LaneFilter(queue, lane string) string { return n.job + queue + "." + lane + ".>" }

// LaterJob returns the subject of a schedule in the stream Later.
func (n Names) LaterJob(queue, owner, id string) string {
	return n.later + queue + "." + owner + "." + id
}

// DueJob returns the subject that a schedule fires on.
func (n Names) DueJob(queue, owner, id string) string { return n.due + queue + "." + owner + "." + id }

// LaterFilter matches all schedules.
func (n Names) LaterFilter() string { return n.later + "*.*.>" }

// DueFilter matches all jobs whose time has come and that no worker has moved yet.
func (n Names) DueFilter() string { return n.due + ">" }

// Outcome returns the subject of a record of a job.
func (n Names) Outcome(queue, kind, owner, id string) string {
	return n.outcome + queue + "." + kind + "." + owner + "." + id
}

// Fence returns the filter that guards all records of a job. All writers of a job must use this very string.
func (n Names) Fence(queue, owner, id string) string {
	return n.outcome + queue + ".*." + owner + "." + id
}

// OutcomeFilter matches records of whole jobs, members and callbacks; queue and kind may be "*".
func (n Names) OutcomeFilter(queue, kind string) string { return n.outcome + queue + "." + kind + ".>" }

// Record returns the subject on which the server repeats a record once it is stored.
func (n Names) Record(queue, kind, owner, id string) string {
	return n.record + queue + "." + kind + "." + owner + "." + id
}

// Note returns the subject of a job's progress and notes.
func (n Names) Note(owner, id string) string { return n.note + owner + "." + id }

// Event returns the subject of an event that is not stored.
func (n Names) Event(queue, kind, owner, id string) string {
	return n.event + queue + "." + kind + "." + owner + "." + id
}

// LanesEvent returns the subject that tells workers to look at the lanes of a queue.
func (n Names) LanesEvent(queue string) string { return n.event + queue + ".lanes" }

// RejectedSubject returns the subject of rejected bytes with a code.
func (n Names) RejectedSubject(code string) string { return n.reject + code }

// Gateway returns the subject on which a gateway takes calls for an owner.
func (n Names) Gateway(owner string) string { return n.gateway + owner }

// ParseGateway returns the owner in a subject of Gateway.
func (n Names) ParseGateway(subject string) (owner string, ok bool) {
	owner, ok = strings.CutPrefix(subject, n.gateway)
	return owner, ok && owner != "" && !strings.Contains(owner, ".")
}

// Marks returns the subjects of the two messages that say how far the streams have been.
func (n Names) Marks() []string { return []string{n.note + "mark", n.later + "mark"} }

// Swept returns the subject of who looked through the schedules last.
func (n Names) Swept() string { return n.later + "swept" }

// streamOf returns the stream that takes a subject, "" for none.
func (n Names) streamOf(subject string) string {
	for prefix, stream := range map[string]string{
		n.job: n.Jobs(), n.Keel(): n.Jobs(), n.later: n.Later(), n.due: n.Later(), n.outcome: n.Outcomes(), n.note: n.Outcomes(), n.reject: n.Rejected(),
	} {
		if strings.HasPrefix(subject, prefix) {
			return stream
		}
	}
	return ""
}

// Keel returns the subject of the one message of the stream Jobs that nobody consumes.
func (n Names) Keel() string { return n.namespace + ".keel" }

// Consumer returns the name of the consumer of a lane; callbacks and later share the lane system.
func Consumer(queue, lane string) string { return queue + "_" + laneOf(lane) }

func laneOf(name string) string {
	if name == LaneCallbacks || name == LaneLater {
		return LaneSystem
	}
	return name
}

func checkName(field, value string) error {
	if validName(value) {
		return nil
	}
	err := fmt.Sprintf("stream: %s %s: names are a-z, 0-9 and -, begin with a letter or digit and have at most %d bytes", field, quote(value), maxName)
	if better := suggest(value); better != "" {
		return fmt.Errorf("%s (try %q)", err, better)
	}
	return fmt.Errorf("%s (give it a name)", err)
}

func validName(s string) bool {
	if s == "" || len(s) > maxName || s[0] == '-' {
		return false
	}
	for i := range len(s) {
		if !nameByte(s[i]) {
			return false
		}
	}
	return true
}

func nameByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-'
}

func suggest(s string) string {
	better := []byte(strings.ToLower(s))
	for i, c := range better {
		if !nameByte(c) {
			better[i] = '-'
		}
	}
	name := strings.Trim(string(better), "-")
	return name[:min(len(name), maxName)]
}

func quote(s string) string {
	if len(s) > 64 {
		s = s[:64]
	}
	return fmt.Sprintf("%q", s)
}
