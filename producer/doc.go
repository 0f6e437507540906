// Package producer queues jobs, waits for them and steers them.
//
//	c, err := producer.New(ctx, js, producer.Config{})
//	ctx = task.WithUser(ctx, task.User{Realm: "/plone/acl_users", ID: "alice"}) // once, in middleware
//	sum, err := producer.Enqueue(ctx, c, docs.Add.On("/plone/folder", docs.AddArgs{A: 40, B: 2}))
//	n, err := sum.Wait(ctx)
//
// A call is checked whole before anything is sent: names, objects, sizes, its members
// and its callbacks. [Enqueue] returns once the job is stored. If no answer came it
// returns [ErrUnknown] together with the handle: queueing the same call again with
// [task.WithID] and that ID is safe, and makes no second job, as long as the job or its
// outcome is there.
//
// A [Tx] queues several calls, all or none. Nothing of it is visible to others until
// Commit. [EnqueueAll] queues many calls fast and one by one. [Within] queues from
// inside a handler what is published only if that job succeeds.
//
// An error of [Job.Wait] is a [*task.Failure] if the job failed, [task.ErrCancelled] if
// it was cancelled, and anything else if this package could not ask.
//
// Nothing here writes a job's state: it is read from where the job lies, and what
// decides is read through the stream's leader. Every request has a timeout of its own
// and is repeated for as long as its context lives; a context without a deadline gets
// 15 s, but Wait, Purge and what iterates go on for as long as it takes.
//
// All types are safe for concurrent use. The package starts no goroutine that outlives
// a call and never closes a connection.
package producer
