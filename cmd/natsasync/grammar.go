package main

import "github.com/alecthomas/kong"

// grammar is the command line.
type grammar struct {
	JSON       bool             `help:"Print JSON."`
	Version    kong.VersionFlag `help:"Print the version."`
	Connection connection       `embed:"" group:"Connection"`

	Demo     demoCmd     `cmd:"" help:"Go through the user guide, on an embedded server in one process."`
	Server   serverCmd   `cmd:"" help:"Run an embedded NATS server until it is interrupted."`
	Init     initCmd     `cmd:"" help:"Make the streams and queues that are missing."`
	Queue    queueCmd    `cmd:"" aliases:"q" help:"Look at queues and steer them."`
	Job      jobCmd      `cmd:"" aliases:"j" help:"Look at jobs and steer them."`
	Worker   workerCmd   `cmd:"" aliases:"w" help:"Look at workers."`
	Rejected rejectedCmd `cmd:"" aliases:"r" help:"Look at messages that were put aside, as they could not be read or proved."`
	Watch    watchCmd    `cmd:"" help:"Show what happens, as it happens."`
	Doctor   doctorCmd   `cmd:"" help:"Look for what is wrong, and say what it means and how to mend it; exit 1 if it is critical."`
	Auth     authCmd     `cmd:"" help:"Make keys and logins, and see what a login could do."`
	Gateway  gatewayCmd  `cmd:"" help:"Queue jobs for logins that may not, each for the user whose subject it may ask on."`
	Torture  tortureCmd  `cmd:"" help:"Try to break the guarantees with processes of its own, and say what held."`
	Decode   decodeCmd   `cmd:"" help:"Show a message body from stdin as JSON, for nats … --translate 'natsasync decode'."`

	DemoWorker   demoWorkerCmd   `cmd:"" hidden:""`
	TortureChild tortureChildCmd `cmd:"" hidden:""`
	TortureNode  tortureNodeCmd  `cmd:"" hidden:""`
}

type queueCmd struct {
	Ls     queueLsCmd     `cmd:"" aliases:"list" help:"List queues."`
	Pause  queuePauseCmd  `cmd:"" help:"Start no more jobs of a queue."`
	Resume queueResumeCmd `cmd:"" help:"End a pause."`
	Purge  queuePurgeCmd  `cmd:"" help:"Cancel every job that has not started."`
	Quota  queueQuotaCmd  `cmd:"" help:"Make a quota, or change how many jobs may hold it at once."`
}

type jobCmd struct {
	Ls     jobLsCmd     `cmd:"" aliases:"list" help:"List jobs that have not ended, or outcomes."`
	Info   jobInfoCmd   `cmd:"" aliases:"i,show" help:"Show all that is known of a job."`
	Queue  jobQueueCmd  `cmd:"" aliases:"add" help:"Queue a job."`
	Wait   jobWaitCmd   `cmd:"" help:"Wait for a job and print its outcome; exit 1 if it did not succeed."`
	Cancel jobCancelCmd `cmd:"" aliases:"rm" help:"Cancel a job."`
	Retry  jobRetryCmd  `cmd:"" help:"Queue a failed job once more."`
}

type workerCmd struct {
	Ls workerLsCmd `cmd:"" aliases:"list" help:"List the workers that answer."`
}
