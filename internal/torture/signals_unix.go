//go:build unix

package torture

import "syscall"

const possible = true

// The signals that a process is hurt with, and told by to set its clock.
const (
	freeze   = syscall.SIGSTOP
	thaw     = syscall.SIGCONT
	setClock = syscall.SIGUSR1
)
