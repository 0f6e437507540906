// Package planted holds the names of bugs that natsasync torture must find. A program that is built with the tag planted
// has the one that the variable NATSASYNC_PLANTED names; any other program has none, and no trace of them.
package planted

// The bugs, each one that a job system has had.
const (
	AckFirst      = "ack-first"      // a job is acked when it starts, not after its outcome
	NoFence       = "no-fence"       // records are written whoever wrote since
	MaxDeliver    = "max-deliver"    // a job that was handed out three times is dropped
	LateCallbacks = "late-callbacks" // callbacks are published after the job was acked
	UserNotSet    = "user-not-set"   // a function runs as nobody
	OwnClock      = "own-clock"      // times are those of whoever writes them
)
