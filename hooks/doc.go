// Package hooks tells an application what became of jobs: a subscription hands the
// outcomes of whole jobs to handlers, whoever queued them and whichever worker ran them.
//
//	sub, err := hooks.Subscribe(ctx, js, hooks.Handlers{
//		Success: func(ctx context.Context, o task.Outcome) error {
//			if o.Task != docs.Add.Name() {
//				return nil // it hears of all tasks
//			}
//			…
//		},
//		Failure: func(ctx context.Context, o task.Outcome) error { … },
//	}, hooks.Config{Durable: "mailer"})
//	…
//	sub.Stop()
//
// Members of batches, callbacks and the like are no whole jobs: a batch is one outcome,
// whose value is the outcomes of its members, see package batch.
//
// # What is delivered
//
// With a durable name: every outcome that is recorded after the name was first used, at
// least once, in the order in which they were recorded, one at a time, also those from
// while nobody was there. They are kept for 8 days; a task's Keep makes that less for
// its successes. The same name in several processes shares the work: one handler runs at a
// time in all of them. Another name gets everything too. A name that is no longer used is
// to be deleted, with the nats tool.
//
// Without one: the outcomes from now until Stop, in the same way. Nothing is kept for a
// subscriber that is not there: what is recorded between two lives of a process is
// missed.
//
// At least once means that a handler can see an outcome twice, after a crash or when it
// could not tell the server that it was done. An outcome's ID is the same then.
//
// Started, Retrying and Progress are about things that are not stored: whoever listens
// hears of them, once at most and perhaps never. They prove nothing.
//
// # When a handler fails
//
// An error, a panic and an exit of its goroutine are the same: the handler gets the same
// outcome again after 1, 2, 4 and 8 seconds, and nothing else meanwhile. After the fifth
// try an error is logged and the next outcome is next. A try is a call of the handler;
// each process counts its own, and a new one anew. A handler may take as long as it wants.
//
// A record that nobody can read is logged and passed over. A server that is away, a consumer
// that somebody deleted, and a file of trusted keys that cannot be read only make it wait:
// it goes on by itself where it was, and no try is used up.
package hooks
