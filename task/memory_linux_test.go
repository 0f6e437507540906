package task_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime/debug"
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
	all := map[string][]byte{
		"an array of 4 Gi": {0xdd, 0xff, 0xff, 0xff, 0xff}, "a map of 4 Gi": {0xdf, 0xff, 0xff, 0xff, 0xff},
		"bytes of 4 Gi": {0xc6, 0xff, 0xff, 0xff, 0xff}, "a text of 4 Gi": {0xdb, 0xff, 0xff, 0xff, 0xff},
		"a hundred million in a map": {0x81, 0xa4, 'a', 'r', 'g', 's', 0xdd, 0x05, 0xf5, 0xe1, 0x00},
		"lists in lists":             bytes.Repeat([]byte{0x91}, 1<<20), "maps in maps": bytes.Repeat([]byte{0x81, 0xa1, 'a'}, 330_000),
		"wide lists in each other":      bytes.Repeat([]byte{0xdc, 0xff, 0xff}, 24_000),
		"an envelope full of callbacks": append([]byte{0xde, 0, 1, 0xa2, 'c', 'b', 0xdc, 0xff, 0xff}, make([]byte, 1<<16)...),
		"a list as a key":               {0x81, 0x90, 0x01}, "keys that are all the same": append([]byte{0xde, 0xff, 0xff}, bytes.Repeat([]byte{0xa1, 'q', 0xa1, 'q'}, 0xffff)...),
	}
	for name, item := range map[string]string{
		"zeros": "\x00", "nils": "\xc0", "empty maps": "\x80", "empty lists": "\x90", "empty texts": "\xa0", "maps of one": "\x81\xa1a\xc0", "maps of a map": "\x81\xa1a\x80",
		"lists of one": "\x91\xc0", "lists of a map": "\x91\x80", "numbers": "\xcd\x01\x00", "floats": "\xca\x00\x00\x00\x00",
	} {
		n := (task.MaxEnvelope - 5) / len(item)
		all[legal+name] = append([]byte{0xdd, 0, byte(n >> 16), byte(n >> 8), byte(n)}, strings.Repeat(item, n)...)
	}
	const n = 50_000
	for name, item := range map[string]byte{"nils": 0xc0, "empty maps": 0x80} {
		numbers, texts := []byte{0xdf, 0, 0, n >> 8, n & 0xff}, []byte{0xdf, 0, 0, n >> 8, n & 0xff}
		for i := range n {
			numbers = append(numbers, 0xcd, byte(i>>8), byte(i), item)
			texts = append(texts, 0xa3, 'a'+byte(i>>12), '0'+byte(i>>6)&0x3f, '0'+byte(i)&0x3f, item)
		}
		all[legal+"numbers and "+name], all[legal+"texts and "+name] = numbers, texts
	}
	return all
}

// legal begins the names of what is a value that somebody may take.
const legal = "a full list of "

var readers = map[string]func([]byte) error{
	"envelope": func(b []byte) error { _, err := task.DecodeEnvelope(b); return err },
	"record":   func(b []byte) error { _, err := task.DecodeRecord(b); return err },
	"claim":    func(b []byte) error { _, err := task.DecodeClaim(b); return err },
	"notes":    func(b []byte) error { _, err := task.DecodeNotes(b); return err },
	"event":    func(b []byte) error { _, err := task.DecodeEvent(b); return err },
	"value":    func(b []byte) error { return task.Unmarshal(b, new(any)) },
	"list":     func(b []byte) error { return task.Unmarshal(b, new([]int)) },
	"map":      func(b []byte) error { return task.Unmarshal(b, new(map[string]string)) },
	"large":    func(b []byte) error { return task.Unmarshal(b, new([]large)) },
	"pointers": func(b []byte) error { return task.Unmarshal(b, new([]*large)) },
	"records":  func(b []byte) error { return task.Unmarshal(b, new([]task.Outcome)) },
	"maps":     func(b []byte) error { return task.Unmarshal(b, new([]map[string]large)) },
	"loose":    func(b []byte) error { return task.Unmarshal(b, new([]map[string]any)) },
	"lists":    func(b []byte) error { return task.Unmarshal(b, new([][]string)) },
	"wide":     func(b []byte) error { return task.Unmarshal(b, new(map[int]large)) },
	"narrow":   func(b []byte) error { return task.Unmarshal(b, new(map[uint16]*int)) },
	"arrays":   func(b []byte) error { return task.Unmarshal(b, new([][2]large)) },
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
	rounds, patience := 5, 100*time.Millisecond // the first round makes room
	if raceDetector {
		patience *= 10
	}
	for name, b := range all {
		debug.FreeOSMemory() // each message alone
		best := time.Hour
		for range rounds {
			began := worked(t)
			if err := readers[who](b); err == nil && !strings.HasPrefix(name, legal) {
				t.Errorf("%s: taken", name)
			}
			if best = min(best, worked(t)-began); best <= patience {
				break
			}
		}
		if best > patience {
			t.Errorf("%s: took %v", name, best)
		}
	}
	fmt.Println("done")
}

// worked is how long this process has had a processor: others do not lengthen that.
func worked(t *testing.T) time.Duration {
	var use syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &use); err != nil {
		t.Fatal(err)
	}
	return time.Duration(use.Utime.Nano() + use.Stime.Nano())
}
