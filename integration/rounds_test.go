package integration_test

import "os"

// soakVariable is set by make soak: then faults are tried more often.
const soakVariable = "NATSASYNC_SOAK"

// soaking says whether the long tests are asked for.
func soaking() bool { return os.Getenv(soakVariable) != "" }

// rounds is how often a fault is tried: always, and in make soak.
func rounds(always, soak int) int {
	if soaking() {
		return soak
	}
	return always
}
