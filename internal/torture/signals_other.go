//go:build !unix

package torture

import "syscall"

const possible = false

const freeze, thaw, setClock = syscall.Signal(0), syscall.Signal(0), syscall.Signal(0)
