// Package consumer runs jobs.
//
// A worker takes jobs of its queues from NATS JetStream, runs their tasks with the
// functions of a registry, records one outcome each and publishes what follows:
//
//	reg := registry.New()
//	registry.Handle(reg, docs.Add, add)
//	w, err := consumer.New(ctx, js, reg, consumer.Config{
//		Queues: []string{"default", "docs"},
//		Trust:  task.TrustBroker,
//	})
//	…
//	err = w.Run(ctx) // blocks; when ctx ends it drains, then returns nil
//
// Any number of workers may serve the same queues; they need not know of each other.
// [Worker.Ready] and [Worker.Health] are for probes; the package opens no port and
// handles no signal.
//
// # Delivery
//
// A function runs at least once. It runs a second time only after a worker, a server or
// the connection between them was interrupted; whatever both of its runs do, one
// outcome is recorded, and the other run is dropped with a line "reassigned" in the log.
// A worker holds a job under a lease that it renews at a third; if it cannot confirm it
// for two thirds, or sees another's record, it ends the handler's context and neither
// acks nor records. A function that heeds its context therefore rarely overlaps with
// its successor; one that must never do hands the job's Fence to its storage.
//
// # Order
//
// In a lane of size 1, the default, job k+1 does not start before the outcome of k is
// recorded, over any number of workers. Retries keep the place of their job unless the
// policy says Aside. Between lanes there is no order. A worker asks only for what it has
// slots for, so no job waits in a busy worker while another one idles.
//
// # Retries
//
// An ordinary error is final. [task.Retryable], [task.RetryAfter] and a [task.Policy]
// try again. An interruption is no attempt; ten of them fail the job with
// [task.ErrInterrupted], so that a job that kills its worker does not kill all of them.
// A job whose task nobody knows is left to a worker that does, until the grace time of
// [Config] is over. A user directory that is down puts the job back, without an attempt.
//
// # What follows
//
// The outcome is recorded first, then callbacks and the jobs that the job has queued are
// published, then the job is acked. A crash between any two of these steps is finished
// by the next worker that gets the job.
//
// # Shutdown
//
// When Run's context ends the worker takes no more jobs. What runs may finish within
// ShutdownTimeout and is recorded; then contexts end with a cause, and what was not
// finished goes back to its place, without an attempt or an interruption. Jobs that wait
// for others go back at once.
package consumer
