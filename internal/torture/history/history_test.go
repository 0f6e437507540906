package history_test

import (
	"errors"
	"os"
	"testing"

	"github.com/natsasync/natsasync/internal/torture/history"
	"github.com/natsasync/natsasync/task"
)

func TestTheFilesOfSeveralProcessesAreReadByTime(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	one, two := open(t, dir, "worker-1"), open(t, dir, "worker-2")
	job := task.Job{ID: "A", Task: "work", Queue: "open", Attempt: 2, Fence: 7}
	one.Running(history.Start, job, task.User{Realm: "/r", ID: "alice"}, nil)
	two.Add(history.Event{Kind: history.Reassigned, Job: "A"})
	one.Running(history.End, job, task.User{}, errors.New("late"))
	all, err := history.Read(dir)
	if err != nil || len(all) != 3 {
		t.Fatalf("%v, %v", all, err)
	}
	if e := all[0]; e.Kind != history.Start || e.By != "worker-1" || e.User != "/r:alice" || e.Attempt != 2 || e.Fence != 7 || e.PID != os.Getpid() || e.At.IsZero() {
		t.Errorf("first is %+v", e)
	}
	if all[1].By != "worker-2" || all[2].Err != "late" {
		t.Errorf("then %+v, %+v", all[1], all[2])
	}
}

func TestALineThatAKillHasCutIsLeftOutAndAWrongOneIsNot(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	open(t, dir, "worker-1").Add(history.Event{Kind: history.Ready})
	add(t, dir, `{"ev":"sta`)
	if all, err := history.Read(dir); err != nil || len(all) != 1 {
		t.Errorf("%v, %v", all, err)
	}
	add(t, dir, "\n")
	if _, err := history.Read(dir); err == nil {
		t.Error("a line that is no JSON was read")
	}
}

func open(t *testing.T, dir, by string) *history.Log {
	t.Helper()
	log, err := history.Open(dir, by)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = log.Close() })
	return log
}

func add(t *testing.T, dir, text string) {
	t.Helper()
	f, err := os.OpenFile(history.Path(dir, "worker-1"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
}
