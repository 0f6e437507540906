package task

import (
	"fmt"
	"time"
)

// End is how a job ended.
type End string

// The ends. There is no other: a job that waits, runs or retries has none yet.
const (
	Succeeded End = "succeeded"
	Failed    End = "failed"
	Cancelled End = "cancelled"
)

// Outcome is the one recorded end of a job: what handlers, Wait and batch results
// see.
type Outcome struct {
	ID, Parent, Task, Queue string
	Object                  Object
	User                    User
	End                     End
	Value                   []byte   // msgpack; [Result] decodes it
	Failure                 *Failure // nil unless failed
	Attempt                 int      // how many attempts there were
	Queued, Started, Ended  time.Time
	Worker                  string
}

// Result decodes the value of an outcome. A failed one gives its *[Failure], a
// cancelled one an error that is [ErrCancelled].
func Result[T any](o Outcome) (T, error) {
	var v T
	if err := o.Err(); err != nil {
		return v, err
	}
	if raw, ok := any(&v).(*Raw); ok {
		*raw = Raw(o.Value)
		return v, nil
	}
	if _, none := any(v).(None); none {
		return v, nil
	}
	if err := Unmarshal(o.Value, &v); err != nil {
		return v, fmt.Errorf("task: result of job %s: decode into %T: %w", o.ID, v, err)
	}
	return v, nil
}

// Err is nil for a success, the *[Failure] of a failed job, and for a cancelled one
// an error that is [ErrCancelled].
func (o Outcome) Err() error {
	switch o.End {
	case Succeeded:
		return nil
	case Cancelled:
		return &Failure{Code: "cancelled", Message: "the job was cancelled", Task: o.Task, ID: o.ID}
	}
	if o.Failure == nil {
		return &Failure{Code: CodeError, Message: "the job failed", Task: o.Task, ID: o.ID}
	}
	return o.Failure
}

// State is where a job stands.
type State string

// The states, in the order in which a job goes through them. There is no failed
// state: a failed job is completed, and its outcome says so.
const (
	StateScheduled State = "scheduled"
	StatePending   State = "pending"
	StateActive    State = "active"
	StateRetrying  State = "retrying"
	StateCallbacks State = "callbacks"
	StateCompleted State = "completed"
)

// Status is what can be known about a job at one moment. It is read from where the
// job lies, not from a record of its own.
type Status struct {
	ID, Parent, Task, Queue, Quota    string
	Object                            Object
	User                              User
	State                             State
	Outcome                           *Outcome // nil until recorded
	Attempt                           int
	Progress                          float64 // 0 to 1
	Notes                             map[string][]byte
	Worker                            string
	Queued, NotBefore, Started, Ended time.Time
}
