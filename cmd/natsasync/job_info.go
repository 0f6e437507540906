package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/natsasync/natsasync/producer"
	"github.com/natsasync/natsasync/task"
)

type jobInfoCmd struct {
	ID string `arg:"" help:"ID of the job, of a member or of a callback."`
	whose
}

// Run shows all that is known of the job.
func (c jobInfoCmd) Run(ctx context.Context, e *environment) error {
	ctx, err := c.with(ctx)
	if err != nil {
		return err
	}
	return e.with(ctx, func(s *session, client *producer.Client) error {
		b, err := s.broker(ctx)
		if err != nil {
			return err
		}
		ctx, cancel := s.brief(ctx)
		defer cancel()
		l := lookup{b: b, client: client, bound: s.connection.Owner != ""}
		if err := l.whole(ctx, c.ID); err != nil {
			return err
		}
		return s.result(l.detail, func() error { return s.page(l.detail) })
	})
}

// page is a detail to read.
func (t *terminal) page(d *detail) error {
	var b strings.Builder
	st := d.status
	field := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&b, "%s  %s\n", t.paint(fmt.Sprintf("%-10s", name), bold), value)
		}
	}
	field("Job", printable(d.ID))
	field("Parent", printable(d.Parent))
	field("Task", printable(d.Task))
	field("Object", printable(d.Object))
	field("User", printable(st.User.String()))
	field("Queue", printable(d.Queue))
	field("Quota", printable(d.Quota))
	field("State", t.state(d))
	field("Waiting", waiting(d))
	field("Attempt", count(d.Attempt))
	field("Worker", printable(d.Worker))
	field("Queued", clock(st.Queued))
	field("Not before", clock(st.NotBefore))
	field("Started", clock(st.Started))
	field("Ended", t.ended(d))
	field("Progress", progress(d))
	if o := d.Options; o != nil {
		field("Timeout", o.Timeout)
		field("Within", o.StartWithin)
		field("Keep", o.Keep)
		field("Retry", retries(o.Retry))
	}
	t.section(&b, "Input", block(d.Input))
	t.section(&b, "Notes", notes(d.Notes))
	if d.outcome != nil {
		t.section(&b, "Result", block(d.Outcome.Value))
		t.section(&b, "Failure", failure(d.outcome.Failure))
	}
	t.section(&b, "Members", t.inner(d.Members))
	t.section(&b, "Callbacks", t.inner(d.Callbacks))
	t.section(&b, "Queued jobs", strings.Join(d.QueuedJobs, "\n"))
	t.section(&b, "Claims", claims(d.Claims))
	return t.say("%s", strings.TrimRight(b.String(), "\n"))
}

func (t *terminal) state(d *detail) string {
	if d.outcome == nil {
		return t.paint(d.State, stateColour(d.status.State))
	}
	end := string(d.outcome.End)
	return d.State + ", " + t.paint(end, endColour(end))
}

func waiting(d *detail) string {
	if !d.Paused.IsZero() {
		what := "jobs without a quota"
		if d.Quota != "" {
			what = "its quota " + d.Quota
		}
		return fmt.Sprintf("queue %s is paused for %s %s", printable(d.Queue), printable(what), pausedText(d.Paused))
	}
	if len(d.Members) > 0 {
		return untaken("all tasks of the batch", d.Unknown)
	}
	return untaken("the task", d.Unknown)
}

func untaken(what string, since time.Time) string {
	if since.IsZero() {
		return ""
	}
	return fmt.Sprintf("no worker that looked knows %s (since %s)", what, clock(since))
}

func (t *terminal) ended(d *detail) string {
	if d.outcome == nil || d.outcome.Started.IsZero() {
		return clock(d.status.Ended)
	}
	return fmt.Sprintf("%s, after %v", clock(d.outcome.Ended), took(*d.outcome))
}

func (t *terminal) section(b *strings.Builder, title, text string) {
	if text != "" {
		fmt.Fprintf(b, "\n%s\n  %s\n", t.paint(title, bold), strings.ReplaceAll(text, "\n", "\n  "))
	}
}

func count(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

func progress(d *detail) string {
	if d.Progress == 0 && d.Text == "" {
		return ""
	}
	return strings.TrimSpace(fmt.Sprintf("%.0f%% %s", 100*d.Progress, printable(d.Text)))
}

func retries(r *retryView) string {
	if r == nil {
		return ""
	}
	text := fmt.Sprintf("%d attempts, %s to %s apart", r.Attempts, orZero(r.Delay), orZero(r.MaxDelay))
	if r.Aside {
		text += ", aside"
	}
	return text
}

func orZero(span string) string {
	if span == "" {
		return "0s"
	}
	return span
}

// block is JSON over several lines; it is printable already.
func block(value json.RawMessage) string {
	if len(value) == 0 {
		return ""
	}
	text, err := formatJSON(value, "  ")
	if err != nil {
		return string(value)
	}
	return strings.TrimRight(string(text), "\n")
}

func notes(values map[string]json.RawMessage) string {
	var lines []string
	for _, key := range slices.Sorted(maps.Keys(values)) {
		lines = append(lines, printable(key)+": "+string(values[key]))
	}
	return strings.Join(lines, "\n")
}

func failure(f *task.Failure) string {
	var lines []string
	for prefix := ""; f != nil; f, prefix = f.Cause, "caused by " {
		line := prefix + printable(f.Code) + ": " + printableLines(f.Message)
		if f.ID != "" {
			line += fmt.Sprintf(" (%s, job %s, attempt %d)", printable(f.Task), printable(f.ID), f.Attempt)
		}
		lines = append(lines, line)
		if f.Stack != "" {
			lines = append(lines, printableLines(f.Stack))
		}
	}
	return strings.Join(lines, "\n")
}

func (t *terminal) inner(views []innerView) string {
	var lines []string
	for _, v := range views {
		end := orDash(v.End)
		line := []string{printable(v.ID), t.paint(end, endColour(v.End)), printable(orDash(v.Task))}
		for _, text := range []string{v.Object, v.Runs, v.Error, untaken("the task", v.Unknown)} {
			if text != "" {
				line = append(line, printable(text))
			}
		}
		lines = append(lines, strings.Join(line, "  "))
	}
	return strings.Join(lines, "\n")
}

func claims(views []claimView) string {
	var lines []string
	for _, v := range views {
		line := fmt.Sprintf("%s  %s by %s", clock(v.At), printable(v.State), printable(orDash(v.Worker)))
		if v.Attempts > 0 {
			line += fmt.Sprintf(", %d attempts failed", v.Attempts)
		}
		if v.Interruptions > 0 {
			line += fmt.Sprintf(", %d interruptions", v.Interruptions)
		}
		if !v.NotBefore.IsZero() {
			line += ", not before " + clock(v.NotBefore)
		}
		if len(v.Parked) > 0 {
			line += fmt.Sprintf(", waits for %d jobs", len(v.Parked))
		}
		if v.Failure != nil {
			line += ": " + printable(v.Failure.Code+": "+v.Failure.Message)
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}
