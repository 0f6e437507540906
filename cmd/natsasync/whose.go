package main

import (
	"context"

	"github.com/natsasync/natsasync/task"
)

// whose is part of the commands that look for a job by its ID.
type whose struct {
	As string `placeholder:"REALM:ID" help:"Whose job, if several users have used the ID."`
}

// with returns a context with that user.
func (w whose) with(ctx context.Context) (context.Context, error) {
	user, err := parseFilterUser(w.As)
	switch {
	case err != nil:
		return nil, err
	case user == nil:
		return ctx, nil
	case user.Anonymous():
		return nil, misuse("--as %s: only a job of somebody can be told from others of its ID", task.Quote(w.As))
	}
	return task.WithUser(ctx, *user), nil
}
