package task_test

import (
	"bytes"
	"encoding/binary"
	"testing"

	"pgregory.net/rapid"

	"github.com/natsasync/natsasync/task"
)

func TestAKeyThatComesTwiceIsRefusedAtAnyDepth(t *testing.T) {
	t.Parallel()
	many := []byte{0xde, 0, 20}
	for i := range 19 {
		many = append(many, 0xa2, 'k', byte('a'+i), 0xc0)
	}
	cases := map[string]struct {
		b    []byte
		code string
	}{
		"once":                       {[]byte{0x82, 0xa1, 'a', 1, 0xa1, 'b', 2}, ""},
		"twice":                      {[]byte{0x82, 0xa1, 'a', 1, 0xa1, 'a', 2}, "duplicate"},
		"twice in two forms":         {[]byte{0x82, 0xa1, 'a', 1, 0xd9, 1, 'a', 2}, "duplicate"},
		"a number in two forms":      {[]byte{0x82, 0x05, 1, 0xcc, 5, 2}, "duplicate"},
		"signed and unsigned":        {[]byte{0x82, 0x05, 1, 0xd1, 0, 5, 2}, "duplicate"},
		"below nothing":              {[]byte{0x82, 0xff, 1, 0xd0, 0xff, 2}, "duplicate"},
		"a number and its text":      {[]byte{0x82, 0x05, 1, 0xa1, '5', 2}, ""},
		"the largest and minus 1":    {[]byte{0x82, 0xcf, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 0xff, 2}, ""},
		"in a list in a map":         {[]byte{0x81, 0xa1, 'a', 0x91, 0x82, 0xa1, 'x', 1, 0xa1, 'x', 2}, "duplicate"},
		"in two maps beside":         {[]byte{0x92, 0x81, 0xa1, 'a', 1, 0x81, 0xa1, 'a', 2}, ""},
		"in a map and the one in it": {[]byte{0x81, 0xa1, 'a', 0x81, 0xa1, 'a', 2}, ""},
		"among many, not":            {append(bytes.Clone(many), 0xa2, 'k', 'z', 0xc0), ""},
		"among many":                 {append(bytes.Clone(many), 0xa2, 'k', 'c', 0xc0), "duplicate"},
	}
	for name, c := range cases {
		if err := task.Scan(c.b); code(err) != c.code {
			t.Errorf("%s: %v, want %q", name, err, c.code)
		}
	}
}

func TestScanTakesAMapIfItsKeysAreDifferent(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		keys := rapid.SliceOfN(rapid.StringN(0, 3, 6), 0, 40).Draw(t, "keys")
		b := binary.BigEndian.AppendUint16([]byte{0xde}, uint16(len(keys)))
		seen, twice := map[string]bool{}, false
		for _, k := range keys {
			twice = twice || seen[k]
			seen[k] = true
			b = append(append(append(b, 0xd9, byte(len(k))), k...), 0xc0)
		}
		if err := task.Scan(b); (code(err) == "duplicate") != twice {
			t.Fatalf("%q: %v", keys, err)
		}
	})
}
