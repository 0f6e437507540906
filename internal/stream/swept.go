package stream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
)

// TakeSweep says whether the caller is to look through the schedules: no worker has begun to since the time named. Those
// who ask after it are told no. A login that may not say so is to look by itself.
func (b *Broker) TakeSweep(ctx context.Context, since time.Time) (bool, error) {
	last, err := b.Last(ctx, b.Later(), b.Swept())
	if err != nil {
		return false, fmt.Errorf("look who looks through the schedules: %w", err)
	}
	var seq uint64
	if last != nil {
		if last.Time.After(since) {
			return false, nil
		}
		seq = last.Seq
	}
	m := Fenced(b.Swept(), b.Swept(), seq, nil)
	m.Header.Set(headerRollup, "sub")
	_, err = b.Publish(ctx, m)
	switch {
	case err == nil, errors.Is(err, nats.ErrPermissionViolation):
		return true, nil
	case errors.Is(err, ErrFenced), errors.Is(err, ErrUndecided): // another worker does
		return false, nil
	}
	return false, fmt.Errorf("say who looks through the schedules: %w", err)
}
