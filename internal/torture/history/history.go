// Package history is what the processes of a torture run did, written by themselves.
//
// Every process appends to a file of its own, one write a line, so that SIGKILL loses nothing that was written. [Read]
// puts the files of a directory together.
package history

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/natsasync/natsasync/task"
)

// Kind is what happened.
type Kind string

// What producers write: Called before a job is sent, then one of the others.
const (
	Called   Kind = "called"
	Accepted Kind = "accepted"
	Unknown  Kind = "unknown" // no answer; the job is sent again under its ID
	Refused  Kind = "refused"
)

// What functions write: Start is their first act and End, with the error, their last.
const (
	Start  Kind = "start"
	End    Kind = "end"
	Effect Kind = "effect" // after a check of rights inside the function
)

// What workers write: Ready once they pull, Left when they have stopped by themselves, Reassigned when an outcome or a
// claim of theirs was refused, and Vitals now and then.
const (
	Ready      Kind = "ready"
	Left       Kind = "left"
	Reassigned Kind = "reassigned"
	Vitals     Kind = "vitals"
)

// Clock is written by a process that has set its own wall clock off by so much, at its start and when it is told to.
const Clock Kind = "clock"

// What the nemesis writes: Fault when one begins, and Healed when it is over; Stall when the machine let it wait for Off
// although it wanted to run, and Idle when all jobs have ended.
const (
	Fault  Kind = "fault"
	Healed Kind = "healed"
	Stall  Kind = "stall"
	Idle   Kind = "idle"
)

// Event is one thing that happened. Times are of one machine's clock, whatever the process takes it for.
type Event struct {
	At   time.Time `json:"t"`
	Kind Kind      `json:"ev"`
	// By is the process: worker-3, producer-1, nemesis.
	By  string `json:"by"`
	PID int    `json:"pid,omitempty"`

	Job     string `json:"job,omitempty"`
	Task    string `json:"task,omitempty"`
	Queue   string `json:"queue,omitempty"`
	User    string `json:"user,omitempty"`
	Attempt int    `json:"attempt,omitempty"`
	Fence   uint64 `json:"fence,omitempty"`
	Err     string `json:"err,omitempty"`

	// Shape is what a called job is.
	Shape *Shape `json:"shape,omitempty"`
	// Fault and Target are what the nemesis does, and to which process.
	Fault  string `json:"fault,omitempty"`
	Target string `json:"target,omitempty"`
	// Calm says that no other fault is near.
	Calm bool `json:"calm,omitempty"`

	Off time.Duration `json:"off,omitempty"`

	Goroutines int    `json:"goroutines,omitempty"`
	Memory     uint64 `json:"memory,omitempty"` // bytes that the process holds
}

// Shape is what must come of a job.
type Shape struct {
	// Serial jobs of a queue run one after another in the order in which they were called.
	Serial bool `json:"serial,omitempty"`
	// Callbacks and Members are how many the job has; InOrder members run one after another.
	Callbacks int  `json:"callbacks,omitempty"`
	Members   int  `json:"members,omitempty"`
	InOrder   bool `json:"in_order,omitempty"`
	// Fails is the code of the failure that must come of it, "" for a success.
	Fails string `json:"fails,omitempty"`
}

// Log appends to one file. It is safe for concurrent use.
type Log struct {
	by   string
	file *os.File
}

// Open makes or continues the file of a process in a directory.
func Open(dir, by string) (*Log, error) {
	file, err := os.OpenFile(Path(dir, by), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the history: %w", err)
	}
	return &Log{by, file}, nil
}

// Close closes the file.
func (l *Log) Close() error { return l.file.Close() }

// Add writes e, with the time and the process. A history that cannot be written proves nothing: it panics.
func (l *Log) Add(e Event) {
	e.At, e.By, e.PID = time.Now(), l.by, os.Getpid()
	line, err := json.Marshal(e)
	if err == nil {
		_, err = l.file.Write(append(line, '\n'))
	}
	if err != nil {
		panic(fmt.Sprintf("history of %s: %v", l.by, err))
	}
}

// Running writes that a function starts, ends or has an effect.
func (l *Log) Running(kind Kind, job task.Job, user task.User, err error) {
	e := Event{Kind: kind, Job: job.ID, Task: job.Task, Queue: job.Queue, User: user.String(), Attempt: job.Attempt, Fence: job.Fence}
	if err != nil {
		e.Err = err.Error()
	}
	l.Add(e)
}

const suffix = ".history"

// Read returns all that happened, by time. A last line that a kill cut is left out.
func Read(dir string) ([]Event, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*"+suffix))
	if err != nil {
		return nil, fmt.Errorf("read the history: %w", err)
	}
	var all []Event
	for _, name := range files {
		body, err := os.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("read the history: %w", err)
		}
		whole := body[:bytes.LastIndexByte(body, '\n')+1]
		for line := range bytes.Lines(whole) {
			var e Event
			if err := json.Unmarshal(line, &e); err != nil {
				return nil, fmt.Errorf("read the history %s: line %s: %w", filepath.Base(name), task.Quote(strings.TrimSpace(string(line))), err)
			}
			all = append(all, e)
		}
	}
	slices.SortStableFunc(all, func(x, y Event) int { return x.At.Compare(y.At) })
	return all, nil
}

// Path is the file of a process.
func Path(dir, by string) string { return filepath.Join(dir, by+suffix) }
