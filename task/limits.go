package task

// Limits of what goes over the wire. All are checked before anything is sent, and
// again by the worker that receives it.
const (
	MaxEnvelope  = 256 << 10 // bytes of a job's envelope, members and callbacks included
	MaxResult    = 256 << 10 // bytes of a result
	MaxDepth     = 32        // levels of nesting, of values and of calls in calls
	MaxName      = 64        // bytes of the name of a task, queue, quota or namespace, and of an ID
	MaxObject    = 512       // bytes of an object's path
	MaxUser      = 256       // bytes of a user's realm, and of its ID
	MaxCallbacks = 32        // callbacks of one call
	MaxCalls     = 1000      // calls in a Tx, members in a batch
	MaxStack     = 8 << 10   // bytes of a failure's stack, and of its message
	MaxNotes     = 4 << 10   // bytes of all notes of a job
)
