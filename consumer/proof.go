package consumer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/natsasync/natsasync/internal/stream"
	"github.com/natsasync/natsasync/task"
)

// tellTrust says at every start whose word counts.
func (w *Worker) tellTrust(ctx context.Context) {
	if task.KeysOf(w.cfg.Trust) == nil {
		w.log.WarnContext(ctx, "trusts the broker: whoever may publish to a queue may name any user")
		return
	}
	w.log.InfoContext(ctx, "trusts keys", "keys", w.cfg.Trust.String(), "signs", w.cfg.Signer.Public())
}

// prove checks who signed the message, before anything of it is decoded. It says whether
// the delivery goes on; if not, it has ended.
func (d *delivery) prove() bool {
	if len(d.data) > task.MaxEnvelope {
		d.reject("too_large", fmt.Errorf("%d bytes are too many (at most %d)", len(d.data), task.MaxEnvelope))
		return false
	}
	proof, err := d.w.broker.ProveJob(&stream.Message{Subject: d.subject, Time: d.stored, Header: d.header, Data: d.data})
	switch {
	case err == nil:
		d.proof = proof
		if !d.trusted() {
			d.back(unavailablePause(d.deliveries()))
			return false
		}
		if d.w.keysErr.Swap(nil) != nil {
			d.w.log.Info("the keys can be read again")
		}
		return true
	case errors.Is(err, task.ErrNoKeys):
		d.w.noKeys(err)
		d.back(unavailablePause(d.deliveries()))
	default:
		d.reject(task.WireCode(err), err)
	}
	return false
}

// trusted says whether anybody would believe what this worker records of the job. Its key may
// have been taken away while it runs: what it did with a job then would be lost.
func (d *delivery) trusted() bool {
	keys := task.KeysOf(d.w.cfg.Trust)
	if keys == nil || !d.w.works(d.at.Queue) {
		return true
	}
	err := keys.MayWork(d.w.cfg.Signer, d.at.Queue, d.w.broker.Now())
	if err == nil || errors.Is(err, task.ErrNoKeys) {
		return true
	}
	d.w.noWord(err)
	return false
}

// works says whether a queue is one of the worker's own.
func (w *Worker) works(queue string) bool { return slices.Contains(w.cfg.Queues, queue) }

// noWord says loudly, and once a second at most, that this worker starts no job.
func (w *Worker) noWord(err error) {
	w.keysErr.Store(&err)
	if due, _ := w.refusals.Due("no_word"); due {
		w.log.Error("no job is started: nobody would believe what this worker records", "err", err)
	}
}

// noKeys says loudly, and once a second at most, that no job is started.
func (w *Worker) noKeys(err error) {
	w.keysErr.Store(&err)
	if due, _ := w.refusals.Due("no_keys"); due {
		w.log.Error("nobody is believed and no job is started: the keys cannot be read", "err", err)
	}
}

// origin is what the messages that follow from the job show as where they come from.
func (d *delivery) origin() string {
	switch {
	case d.proof != nil:
		return d.proof.Origin()
	case d.w.broker.Signs():
		return task.OriginOf(d.header[task.HeaderSignature], d.header[task.HeaderOrigin], d.subject, d.data)
	}
	return ""
}

// moved says whether the job may have come by the stream of what comes later: then its
// outcome is all that tells it from a replay, for days.
func (d *delivery) moved() bool {
	return d.proof != nil && (d.proof.Moved() || !d.env.NotBefore.IsZero())
}

// agrees says whether the envelope is where it may be, and whether who signed it may queue
// it. The owner token of the subject must be the envelope's user, or a login that may
// publish only under its own owner could queue as somebody else.
func (d *delivery) agrees() error {
	e := d.env
	lane, due := d.at.Lane, d.from.stream == d.w.broker.Later()
	if lane == stream.LaneLater || due {
		lane = e.Lane
	}
	if d.garbled {
		return &task.WireError{Code: "header", Message: "its headers cannot be read"}
	}
	if !due {
		if name := foreignHeader(d.header); name != "" {
			return &task.WireError{Code: "header", Message: fmt.Sprintf("header %s: a job carries none that a server sets or obeys", task.Quote(name))}
		}
	}
	wrong := func(code, format string, args ...any) error {
		return &task.WireError{Code: code, Message: fmt.Sprintf(format, args...)}
	}
	switch {
	case e.ID != d.at.ID:
		return wrong("subject", "the envelope's id %s is not its subject's %s", task.Quote(e.ID), task.Quote(d.at.ID))
	case e.Queue != d.at.Queue || e.Lane != lane:
		return wrong("subject", "the envelope's queue and lane %s are not its subject's", task.Quote(e.Queue+"."+e.Lane))
	case e.Lane == stream.LaneLater || e.Lane == stream.LaneSystem:
		return wrong("subject", "the envelope's lane %s is reserved", task.Quote(e.Lane))
	case d.at.Lane == stream.LaneLater && e.NotBefore.IsZero():
		return wrong("range", "field \"nb\": a job in the lane %s needs one", stream.LaneLater)
	case e.NotBefore.Sub(d.stored) > task.MaxDuration+task.MaxSkew:
		return wrong("range", "field \"nb\": %s is more than ten years ahead", e.NotBefore.Format(time.RFC3339))
	case d.proof != nil && e.Issued.Sub(d.stored) > task.MaxSkew:
		return wrong("stale", "field \"at\": %s lies after it was stored", e.Issued.Format(time.RFC3339))
	case e.Installation != d.w.broker.Installation() && (e.Installation != "" || d.proof != nil):
		return wrong("installation", "the envelope is for the installation %s, this is %s", task.Quote(e.Installation), task.Quote(d.w.broker.Installation()))
	}
	if err := d.isOf(e.User); err != nil {
		return err
	}
	if d.proof != nil {
		if err := d.proof.Job(e); err != nil {
			return err
		}
	}
	return e.CheckCalls(d.proof != nil)
}

// isOf says whether the owner token of the subject is the user's.
func (d *delivery) isOf(u task.User) error {
	if u.Owner() == d.at.Owner {
		return nil
	}
	return &task.WireError{Code: "subject", Message: fmt.Sprintf("the envelope's user %s is not its subject's owner %s", task.Quote(u.String()), task.Quote(d.at.Owner))}
}
