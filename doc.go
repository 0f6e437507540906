// Package natsasync holds the documentation and the examples of background jobs on NATS
// JetStream. It has no code: import the packages of your role.
//
// A job is a function, on an object, for a user: run doc.create on /plone/folder as
// alice. Services queue jobs, other processes run them, and a NATS server, in the
// process or a cluster of your own, keeps them in between.
//
// # The author of tasks
//
// Package [github.com/natsasync/natsasync/task] has the words that both sides share. A
// task is defined once, with its types, in a package that holds no implementation:
//
//	var Add = task.Define[AddArgs, int]("math.add")
//
// # An application
//
// Package [github.com/natsasync/natsasync/producer] queues calls, alone, many at once or
// several all or none; it waits for results, and looks at jobs and steers them. Package
// [github.com/natsasync/natsasync/batch] makes one call of many:
//
//	sum, err := producer.Enqueue(ctx, c, Add.On("/plone/folder", AddArgs{A: 40, B: 2}))
//	n, err := sum.Wait(ctx)
//
// # A worker
//
// Package [github.com/natsasync/natsasync/registry] is what a worker knows: functions,
// objects and what users may do. Package [github.com/natsasync/natsasync/consumer] runs
// the jobs; its text states what is promised about delivery, order, retries and shutdown:
//
//	registry.Handle(reg, Add, add)
//	w, err := consumer.New(ctx, js, reg, consumer.Config{Trust: task.TrustBroker})
//	err = w.Run(ctx)
//
// # Both sides
//
// Package [github.com/natsasync/natsasync/hooks] tells an application what became of
// jobs, whoever queued them.
//
// # A server, and tests
//
// Package [github.com/natsasync/natsasync/embedded] runs a NATS server in the process.
// Package [github.com/natsasync/natsasync/embedded/embeddedtest] gives a test a server, a
// producer and workers that are gone when the test ends. The command
// [github.com/natsasync/natsasync/cmd/natsasync] looks at a system from outside.
//
// The examples below are short stories, one a feature, each on a server of its own. The
// guarantees, the first day of an operator and the wire format stand in the folder docs.
package natsasync
