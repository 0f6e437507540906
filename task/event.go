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

// eventFrame leaves out what the subject says.
type eventFrame struct {
	Version  int     `msgpack:"v"`
	Task     string  `msgpack:"t"`
	Worker   string  `msgpack:"w"`
	Attempt  int     `msgpack:"n"`
	At       int64   `msgpack:"at"`
	Progress float64 `msgpack:"pr"`
	Text     string  `msgpack:"tx"`
}

// Encode returns the event's bytes. Kind, Queue, Owner and ID travel in the subject.
func (e *Event) Encode() ([]byte, error) {
	return Marshal(eventFrame{Version, e.Task, e.Worker, e.Attempt, e.At.UnixMicro(), e.Progress, clip(e.Text)})
}

// DecodeEvent measures, scans and decodes an event; what the subject says stays empty.
func DecodeEvent(b []byte) (*Event, error) {
	if len(b) > MaxEnvelope {
		return nil, refuse("too_large", "%d bytes are too many (at most %d)", len(b), MaxEnvelope)
	}
	var w eventFrame
	if err := Unmarshal(b, &w); err != nil {
		return nil, err
	}
	if w.Version != Version {
		return nil, refuse("version", "version %d is unknown; this is version %d", w.Version, Version)
	}
	return &Event{Task: w.Task, Worker: w.Worker, Attempt: w.Attempt, At: time.UnixMicro(w.At).UTC(), Progress: w.Progress, Text: w.Text}, nil
}
