package integration_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/natsasync/natsasync/consumer"
	"github.com/natsasync/natsasync/producer"
	"github.com/natsasync/natsasync/registry"
	"github.com/natsasync/natsasync/task"
)

// script says what a job of the story does, in the order of its fields.
type script struct {
	Name     string // returned, and written into the history
	Size     int    // of what is returned, if larger
	Gate     string // wait for this file, or this file with the worker's name at its end
	Stubborn bool   // go on although the context has ended
	Sleep    time.Duration
	Crash    string  // the whole process: a name of crashes
	Panic    string  // a name of panics
	Storage  string  // write the name into the storage there, under the job's fence
	Queues   *script // queue this within the job
	Fail     string  // with this code
	Continue *script
}

var (
	act    = task.Define[script, string]("story.act")
	hear   = task.Define[string, task.None]("story.hear")
	regret = task.Define[task.Failure, task.None]("story.regret")
	after  = task.Define[task.Outcome, task.None]("story.after")
)

func do(name string) task.Call[string]          { return act.On("", script{Name: name}) }
func follow(s script) task.Call[string]         { return act.On("", s) }
func gated(name, gate string) task.Call[string] { return act.On("", script{Name: name, Gate: gate}) }

// story is the tasks as one worker has them.
type story struct {
	history *history
	dir     string
	worker  string
}

func newStory(h *history, dir, worker string) *story { return &story{h, dir, worker} }

func (s *story) registry() *registry.Registry {
	reg := registry.New()
	registry.Handle(reg, act, s.act)
	registry.Handle(reg, hear, func(ctx context.Context, _ task.Object, in string) (task.None, error) {
		return task.None{}, s.heard(ctx, "hear "+in)
	})
	registry.Handle(reg, regret, func(ctx context.Context, _ task.Object, in task.Failure) (task.None, error) {
		return task.None{}, s.heard(ctx, "regret "+in.Code)
	})
	registry.Handle(reg, after, func(ctx context.Context, _ task.Object, in task.Outcome) (task.None, error) {
		return task.None{}, s.heard(ctx, "after "+string(in.End))
	})
	return reg
}

func (s *story) heard(ctx context.Context, what string) error {
	s.tell(ctx, "start", what, nil)
	s.tell(ctx, "end", what, nil)
	return nil
}

func (s *story) act(ctx context.Context, _ task.Object, in script) (string, error) {
	s.tell(ctx, "start", in.Name, nil)
	err := s.play(ctx, in)
	s.tell(ctx, "end", in.Name, err)
	if err != nil {
		return "", err
	}
	if in.Continue != nil {
		return task.Continue(act.On("", *in.Continue))
	}
	return in.Name + strings.Repeat(".", max(0, in.Size-len(in.Name))), nil
}

func (s *story) play(ctx context.Context, in script) error {
	done := ctx.Done()
	if in.Stubborn {
		done = nil
	}
	if in.Gate != "" {
		if err := s.pass(ctx, done, in.Gate); err != nil {
			return err
		}
	}
	if in.Sleep > 0 {
		select {
		case <-time.After(in.Sleep):
		case <-done:
			return context.Cause(ctx)
		}
	}
	if in.Crash != "" {
		crashes[in.Crash]()
	}
	if in.Panic != "" {
		panics[in.Panic]()
	}
	if in.Storage != "" {
		if err := write(ctx, in.Storage, in.Name); err != nil {
			return err
		}
	}
	if in.Queues != nil {
		if _, err := producer.Enqueue(ctx, producer.Within(ctx), act.On("", *in.Queues)); err != nil {
			return err
		}
	}
	if in.Fail != "" {
		return task.Fail(in.Fail, "as the script says")
	}
	return nil
}

func (s *story) pass(ctx context.Context, done <-chan struct{}, gate string) error {
	for {
		for _, name := range [...]string{gate, gate + "." + s.worker} {
			if _, err := os.Stat(filepath.Join(s.dir, name)); err == nil {
				return nil
			}
		}
		select {
		case <-time.After(2 * time.Millisecond):
		case <-done:
			return context.Cause(ctx)
		}
	}
}

func (s *story) tell(ctx context.Context, event, name string, err error) {
	job, _ := task.JobFrom(ctx)
	l := entry{
		Event: event, Name: name, Worker: s.worker, ID: job.ID, Attempt: job.Attempt, Fence: job.Fence, PID: os.Getpid(),
		User: task.UserFrom(ctx), Lost: context.Cause(ctx) != nil,
	}
	if err != nil {
		l.Err = err.Error()
	}
	s.history.add(l)
}

// open lets the jobs pass that wait at a gate.
func (c *cell) open(gate string) {
	c.t.Helper()
	if err := os.WriteFile(filepath.Join(c.dir, gate), nil, 0o600); err != nil {
		c.t.Fatal(err)
	}
}

func (c *cell) hireWith(js jetstream.JetStream, reg *registry.Registry, cfg consumer.Config) *hand {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	w, err := consumer.New(ctx, js, reg, cfg)
	if err != nil {
		c.t.Fatal(err)
	}
	return &hand{c: c, worker: w}
}

// entry is one thing that happened, written by whoever did it.
type entry struct {
	At           time.Time
	Event, Name  string
	Worker, ID   string
	Attempt, PID int
	Fence        uint64
	User         task.User
	Err          string
	Lost         bool // the context had ended
}

// history is a file that several processes append to, one write a line.
type history struct{ path string }

func (h *history) add(l entry) {
	l.At = time.Now()
	body, err := json.Marshal(l)
	if err != nil {
		panic(err)
	}
	f, err := os.OpenFile(h.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		panic(err)
	}
	defer f.Close()
	if _, err := f.Write(append(body, '\n')); err != nil {
		panic(err)
	}
}

func (h *history) read(t *testing.T) []entry {
	t.Helper()
	body, err := os.ReadFile(h.path)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	var all []entry
	body = body[:bytes.LastIndexByte(body, '\n')+1] // the last line may be half written
	for s := bufio.NewScanner(bytes.NewReader(body)); s.Scan(); {
		var l entry
		if err := json.Unmarshal(s.Bytes(), &l); err != nil {
			t.Fatalf("history line %q: %v", s.Text(), err)
		}
		all = append(all, l)
	}
	return all
}

// find returns what happened of one kind, in the order in which it was written.
func (h *history) find(t *testing.T, event, name string) []entry {
	t.Helper()
	var all []entry
	for _, l := range h.read(t) {
		if l.Event == event && l.Name == name {
			all = append(all, l)
		}
	}
	return all
}

// await returns the n-th event of one kind, counted from 1, once it is there.
func (h *history) await(t *testing.T, event, name string, n int) entry {
	t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(3 * time.Millisecond) {
		if all := h.find(t, event, name); len(all) >= n {
			return all[n-1]
		}
	}
	t.Fatalf("%q of %q did not happen %d times:\n%s", event, name, n, h)
	return entry{}
}

// String is the file, for messages.
func (h *history) String() string {
	body, err := os.ReadFile(h.path)
	if err != nil {
		return fmt.Sprintf("(no history: %v)", err)
	}
	return string(body)
}

// awaitBy is history.await for what one worker did.
func awaitBy(c *cell, event, name, worker string) entry {
	c.t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(3 * time.Millisecond) {
		for _, l := range c.history.find(c.t, event, name) {
			if l.Worker == worker {
				return l
			}
		}
	}
	c.t.Fatalf("%s did not %s %q:\n%s", worker, event, name, c.history)
	return entry{}
}
