package task_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/natsasync/natsasync/task"
)

const (
	memoryVariable = "NATSASYNC_TASK_MEMORY"
	allowance      = 64 << 20 // bytes that a message may cost
)

// bombs are bytes that ask for much.
func bombs() map[string][]byte {
	legal := append([]byte{0xdd, 0, 0x03, 0xff, 0xf0}, make([]byte, 0x3fff0)...) // 262,128 zeros in a list
	return map[string][]byte{
		"an array of 4 Gi": {0xdd, 0xff, 0xff, 0xff, 0xff}, "a map of 4 Gi": {0xdf, 0xff, 0xff, 0xff, 0xff},
		"bytes of 4 Gi": {0xc6, 0xff, 0xff, 0xff, 0xff}, "a text of 4 Gi": {0xdb, 0xff, 0xff, 0xff, 0xff},
		"a hundred million in a map": {0x81, 0xa4, 'a', 'r', 'g', 's', 0xdd, 0x05, 0xf5, 0xe1, 0x00},
		"lists in lists":             bytes.Repeat([]byte{0x91}, 1<<20), "maps in maps": bytes.Repeat([]byte{0x81, 0xa1, 'a'}, 330_000),
		"wide lists in each other": bytes.Repeat([]byte{0xdc, 0xff, 0xff}, 24_000), "many zeros": legal,
		"an envelope full of callbacks": append([]byte{0xde, 0, 1, 0xa2, 'c', 'b', 0xdc, 0xff, 0xff}, make([]byte, 1<<16)...),
		"a list as a key":               {0x81, 0x90, 0x01}, "keys that are all the same": append([]byte{0xde, 0xff, 0xff}, bytes.Repeat([]byte{0xa1, 'q', 0xa1, 'q'}, 0xffff)...),
	}
}

var readers = map[string]func([]byte) error{
	"envelope": func(b []byte) error { _, err := task.DecodeEnvelope(b); return err },
	"record":   func(b []byte) error { _, err := task.DecodeRecord(b); return err },
	"claim":    func(b []byte) error { _, err := task.DecodeClaim(b); return err },
	"notes":    func(b []byte) error { _, err := task.DecodeNotes(b); return err },
	"event":    func(b []byte) error { _, err := task.DecodeEvent(b); return err },
	"value":    func(b []byte) error { return task.Unmarshal(b, new(any)) },
	"list":     func(b []byte) error { return task.Unmarshal(b, new([]int)) },
	"map":      func(b []byte) error { return task.Unmarshal(b, new(map[string]string)) },
	"library":  func(b []byte) error { return msgpack.Unmarshal(b, new(any)) },
}

// Whatever a message holds, no reader of ours needs more than 64 MiB or 100 ms for it. The child has no more to give; the
// library alone dies of the same bytes.
func TestNoMessageCostsMoreThanItMay(t *testing.T) {
	if who := os.Getenv(memoryVariable); who != "" {
		readWithin(t, who)
		return
	}
	t.Parallel()
	for who := range readers {
		t.Run(who, func(t *testing.T) {
			t.Parallel()
			c := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestNoMessageCostsMoreThanItMay$", "-test.timeout=60s")
			c.Env = append(os.Environ(), memoryVariable+"="+who)
			out, err := c.CombinedOutput()
			var died *exec.ExitError
			switch {
			case who == "library":
				if !errors.As(err, &died) {
					t.Errorf("the library reads it all within the limit, so that this test shows nothing: %v", err)
				}
			case err != nil:
				t.Errorf("%v\n%.2000s", err, out)
			}
		})
	}
}

func readWithin(t *testing.T, who string) {
	all := bombs()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "VmData:")
	kib, err := strconv.ParseUint(strings.Fields(rest)[0], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	most := kib<<10 + allowance
	if err := syscall.Setrlimit(syscall.RLIMIT_DATA, &syscall.Rlimit{Cur: most, Max: most}); err != nil {
		t.Fatal(err)
	}
	for name, b := range all {
		best := time.Hour
		for range 5 { // the machine may be busy
			began := time.Now()
			if err := readers[who](b); err == nil && name != "many zeros" {
				t.Errorf("%s: taken", name)
			}
			best = min(best, time.Since(began))
		}
		patience := 100 * time.Millisecond
		if raceDetector {
			patience *= 10
		}
		if best > patience {
			t.Errorf("%s: took %v", name, best)
		}
	}
	fmt.Println("done")
}
