package producer

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/natsasync/natsasync/task"
)

// Retry queues a job that failed once more: the same call for the same user, at the end
// of its queue, as a new job whose Parent is the old one. It needs the right to queue as
// that user, and if the job was signed a [Config.Signer] whose key may speak for them. The call is what the outcome says it was: where workers trust keys, a client
// that signs must have them in [Config.Trust] too, or it signs what any worker's login
// wrote. Errors are [ErrNoSuchJob], [ErrAmbiguous], those of [Enqueue], and one that names the
// state of a job that has not failed.
func (c *Client) Retry(ctx context.Context, id string) (*Job[task.Raw], error) {
	if err := checkID(id); err != nil {
		return nil, err
	}
	ctx, cancel := withDeadline(ctx)
	defer cancel()
	e, err := c.failed(ctx, id)
	if err != nil {
		return nil, err
	}
	if err := renew(e, id, task.NewID(), c.broker.SureNow(ctx)); err != nil {
		return nil, tell("retry job "+task.Quote(id), err)
	}
	e.Parent = id
	e.NotBefore = time.Time{}
	e.Installation = c.broker.Installation()
	if n := len(e.Encode()); n > task.MaxEnvelope {
		return nil, fmt.Errorf("producer: retry job %s: the envelope has %d bytes with its new ID, at most %d are allowed: %w", task.Quote(id), n, task.MaxEnvelope, task.ErrTooLarge)
	}
	if err := c.admit(ctx, e); err != nil {
		return nil, err
	}
	return raw(c.store(ctx, e))
}

// failed returns the envelope that the outcome of a failed job keeps.
func (c *Client) failed(ctx context.Context, id string) (*task.Envelope, error) {
	if !task.Whole(id) {
		return nil, fmt.Errorf("producer: job %s: only whole jobs can be tried again (retry %s)", task.Quote(id), task.Quote(task.RootID(id)))
	}
	at, _, err := Find[task.Raw](c, id).h.home(ctx)
	if err != nil {
		return nil, err
	}
	s, err := c.broker.Standing(ctx, at.Queue, at.Owner, id)
	if err != nil {
		return nil, tell("retry", err)
	}
	if s.Record == nil {
		st, err := c.statusOf(ctx, at.Queue, at.Owner, id)
		if err != nil {
			return nil, err
		}
		return nil, fmt.Errorf("producer: job %s: it is %s: only a failed job can be tried again (wait, or cancel it)", task.Quote(id), st.State)
	}
	if s.Record.End != task.Failed {
		return nil, fmt.Errorf("producer: job %s: its outcome is %s: only a failed job can be tried again", task.Quote(id), s.Record.End)
	}
	if len(s.Record.Envelope) == 0 {
		what := "no envelope"
		if task.KeysOf(c.cfg.Trust) != nil {
			what = "no envelope that can be proved"
		}
		return nil, fmt.Errorf("producer: job %s: its outcome keeps %s (queue the call again)", task.Quote(id), what)
	}
	if s.Signed && !c.broker.Signs() {
		return nil, fmt.Errorf("producer: job %s: it was signed, and workers that trust keys put aside what is not (set Signer, or --sign)", task.Quote(id))
	}
	e, err := task.DecodeEnvelope(s.Record.Envelope)
	if err != nil {
		return nil, tell("retry job "+task.Quote(id)+": read its envelope", err)
	}
	if r := s.Record; e.ID != id || e.User != r.User || e.Queue != r.Queue || e.Task != r.Task || e.Object != r.Object {
		return nil, fmt.Errorf("producer: job %s: its outcome keeps the envelope of another job", task.Quote(id))
	}
	return e, nil
}

// renew gives a job, and all in it, IDs that begin with to in place of from.
func renew(e *task.Envelope, from, to string, now time.Time) error {
	rename := func(id string) string {
		if rest, ok := strings.CutPrefix(id+".", from+"."); ok {
			return strings.TrimSuffix(to+"."+rest, ".")
		}
		return id
	}
	e.ID, e.Parent, e.After, e.Issued = rename(e.ID), rename(e.Parent), rename(e.After), now
	for _, all := range [...][][]byte{e.Members, e.Callbacks} {
		for i, body := range all {
			inner, err := task.DecodeEnvelope(body)
			if err != nil {
				return err
			}
			if err := renew(inner, from, to, now); err != nil {
				return err
			}
			all[i] = inner.Encode()
		}
	}
	return nil
}
