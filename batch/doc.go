// Package batch makes one call of many.
//
//	call := batch.Serial(
//		docs.Create.On(at, doc),
//		docs.Submit.On(at, "foo"),
//		batch.Parallel(docs.Index.On(at, task.None{}), docs.Thumb.On(at, task.None{})),
//	).With(task.InQueue("docs"))
//
// A batch is one job with one ID, one place in its queue and one quota; options and
// callbacks of the batch are those of that job. Batches nest.
//
// The members of a serial batch run one after another in their order, those of a
// parallel one at once, as far as there are workers for them. Each member runs whatever
// came of the others: as the batch's user, in the batch's queue, with callbacks and a
// retry policy of its own.
// Holding neither quota nor place of its own, a member cannot ask for another queue, a
// quota, a delay or a deadline to start: queueing the batch is an error then. The queue
// and quota that its task has by default do not count.
//
// A batch succeeds when all members have ended, also if members failed. Its result is
// their outcomes, in the order of the calls:
//
//	results, err := job.Wait(ctx)          // err is about the batch, not about its members
//	id, err := task.Result[string](results[0])
//	err = results.Err()                    // all that failed
//
// A cancelled batch cancels those of its members that have not ended. A batch has at
// most [task.MaxCalls] members and all of it must fit into one envelope.
package batch
