package integration_test

import (
	"fmt"
	"os"
	"strings"
	"syscall"
)

func init() { crashes["memory"] = eatMemory }

const rlimitData = 2 // RLIMIT_DATA

// eatMemory allocates until the kernel gives no more, which it is told to do soon.
func eatMemory() {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		panic(err)
	}
	var used uint64 // KiB
	_, rest, _ := strings.Cut(string(status), "VmData:")
	if _, err := fmt.Sscan(rest, &used); err != nil {
		panic(err)
	}
	most := used<<10 + 64<<20
	if err := syscall.Setrlimit(rlimitData, &syscall.Rlimit{Cur: most, Max: most}); err != nil {
		panic(err)
	}
	var all [][]byte
	for {
		all = append(all, make([]byte, 1<<20))
		sink += len(all)
	}
}
