package stream

import "errors"

var (
	// ErrNoSuchQueue means that nobody has declared the queue; the error around it names the queues that exist.
	ErrNoSuchQueue = errors.New("no such queue")
	// ErrNoSuchQuota means that a queue has no such lane; the error around it names the quotas that exist.
	ErrNoSuchQuota = errors.New("no such quota")
	// ErrDiffers means that a stream or a lane is there and is not what it must be; the error around it names each
	// field with what it has and what is wanted.
	ErrDiffers = errors.New("is not as it must be")
)
