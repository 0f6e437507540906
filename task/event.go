package task

import "time"

// Event is something that happens to a job and is not stored: whoever listens hears
// it at once, whoever does not misses it. It proves nothing; what is true is read from
// the streams.
type Event struct {
	Kind     string // "started", "retrying", "progress"
	Queue    string
	Owner    string
	ID       string
	Task     string
	Worker   string
	Attempt  int
	At       time.Time
	Progress float64
	Text     string // of a progress, or why an attempt failed
}

// Kinds of events.
const (
	EventStarted  = "started"
	EventRetrying = "retrying"
	EventProgress = "progress"
)

// Encode returns the event's bytes. Kind, Queue, Owner and ID travel in the subject.
func (e *Event) Encode() []byte {
	f := openFields(make([]byte, 0, 96+len(e.Task)+len(e.Worker)+len(e.Text)))
	f.uint("v", Version)
	f.string("t", e.Task)
	f.string("w", e.Worker)
	f.uint("n", uint64(max(e.Attempt, 0)))
	f.time("at", e.At)
	f.float("pr", e.Progress)
	f.string("tx", clip(e.Text))
	return f.done()
}

// DecodeEvent measures, scans and decodes an event; what the subject says stays empty.
func DecodeEvent(b []byte) (*Event, error) {
	f, err := openFrame(b, MaxEnvelope)
	if err != nil {
		return nil, err
	}
	e := &Event{}
	version := 0
	f.each(func(key string) uint {
		switch key {
		case "v":
			version = f.version()
			return 1
		case "t":
			e.Task = f.string(key)
			return 2
		case "w":
			e.Worker = f.string(key)
			return 3
		case "n":
			e.Attempt = f.small(key, 1<<31-1)
			return 4
		case "at":
			e.At = f.time(key)
			return 5
		case "pr":
			e.Progress = f.float(key)
			return 6
		case "tx":
			e.Text = f.string(key)
			return 7
		}
		return 0
	})
	if f.err != nil {
		return nil, f.err
	}
	if version == 0 {
		return nil, refuse("missing", `field "v" is missing`)
	}
	return e, nil
}
