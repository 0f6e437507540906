package task_test

import (
	"bytes"
	"encoding/hex"
	"flag"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/vmihailenco/msgpack/v5"
	"go.uber.org/goleak"
)

var update = flag.Bool("update", false, "write the golden vectors in testdata anew")

func TestMain(m *testing.M) {
	flag.Parse()
	goleak.VerifyTestMain(m)
}

// asWire compares what is the same on the wire: nothing and an empty list.
var asWire = cmpopts.EquateEmpty()

var monday = time.Date(2026, 11, 23, 9, 30, 0, 123456000, time.UTC)

// raw is msgpack that stands in a map as it is.
func raw(code string) msgpack.RawMessage {
	b, err := hex.DecodeString(code)
	if err != nil {
		panic(err)
	}
	return b
}

// mapOf encodes keys and values in the order given, so that a test can write what no
// encoder of ours would.
func mapOf(pairs ...any) []byte {
	var buf bytes.Buffer
	enc := msgpack.NewEncoder(&buf)
	enc.UseCompactInts(true)
	if err := enc.EncodeMapLen(len(pairs) / 2); err != nil {
		panic(err)
	}
	for _, p := range pairs {
		if err := enc.Encode(p); err != nil {
			panic(err)
		}
	}
	return buf.Bytes()
}

// without returns pairs without one key, with instead in its place.
func without(pairs []any, key string, instead ...any) []any {
	var rest []any
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i] == key {
			rest = append(rest, instead...)
			continue
		}
		rest = append(rest, pairs[i], pairs[i+1])
	}
	return rest
}
