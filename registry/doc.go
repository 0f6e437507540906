// Package registry is what a worker knows: the functions of its tasks, how the paths
// of objects become objects, and what users may do.
//
//	reg := registry.New()
//	registry.Users(reg, lookUpUser)
//	registry.Objects(reg, "/plone/{path...}", openFolder, registry.Require("View"))
//	registry.Handle(reg, docs.Create, createDocument, registry.Require("Add content"))
//	reg.Use(logged)
//
// It is filled when the program starts, then given to consumer.New, which seals it.
// What is wrong with a registration (a name twice, patterns that quarrel, a task on
// objects that nobody makes) panics then, with the places in the source that do not
// fit. One registry may serve several workers.
//
// # An attempt
//
// Each attempt resolves everything anew, in this order. What was true when the job
// was queued, or in the attempt before, counts for nothing.
//
//  1. The user of the context, the anonymous one too, becomes a [Principal]: its
//     rights as they are now.
//  2. The path becomes an object, by the most specific pattern, unless the function
//     takes a [task.Object]: then it gets the path as it is.
//  3. The permissions that the objects require. An object that the user may not see and
//     one that is not there are the same error with the same text.
//  4. The permissions that the task requires.
//  5. The input is decoded.
//  6. The function runs, inside what [Registry.Use] put around it.
//
// # What errors mean
//
// The functions of [Users] and [Objects] and the method Can of a Principal give
// answers: [task.ErrNoSuchUser], [task.ErrNoSuchObject] and [task.ErrUnauthorized],
// wrapped or not, are the end of the job with that code. Any other error means that
// they could not tell: the directory is down. That is [ErrUnavailable]: the worker
// gives the job back and tries again later, and no attempt is counted.
//
// No Users and no user mean no rights, never no check: every permission is refused,
// and tasks that require none run.
package registry
