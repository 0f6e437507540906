package main

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"math"
	"strconv"
	"time"

	"github.com/natsasync/natsasync/task"
)

// valueJSON shows msgpack as JSON: maps in their order, bytes in base64, times as text.
func valueJSON(b []byte) (json.RawMessage, error) {
	if err := task.Scan(b); err != nil {
		return nil, err
	}
	r := reader{b}
	return r.value(nil), nil
}

// shown is valueJSON for a view: nil for no bytes, and what cannot be read in base64.
func shown(b []byte) json.RawMessage {
	if len(b) == 0 {
		return nil
	}
	value, err := valueJSON(b)
	if err != nil {
		return appendBytes(nil, b)
	}
	return value
}

// reader walks over msgpack that task.Scan has let through: every length is there and nothing is nested too deep.
type reader struct{ b []byte }

func (r *reader) take(n int) []byte {
	taken := r.b[:n]
	r.b = r.b[n:]
	return taken
}

func (r *reader) uint(width int) uint64 {
	var wide [8]byte
	copy(wide[8-width:], r.take(width))
	return binary.BigEndian.Uint64(wide[:])
}

func (r *reader) int(width int) int64 {
	unused := 64 - 8*width
	return int64(r.uint(width)<<unused) >> unused
}

func (r *reader) value(out []byte) []byte {
	c := r.take(1)[0]
	switch {
	case c <= 0x7f:
		return strconv.AppendUint(out, uint64(c), 10)
	case c <= 0x8f:
		return r.fields(out, int(c&0x0f))
	case c <= 0x9f:
		return r.list(out, int(c&0x0f))
	case c <= 0xbf:
		return appendText(out, r.take(int(c&0x1f)))
	case c >= 0xe0:
		return strconv.AppendInt(out, int64(int8(c)), 10)
	}
	switch c {
	case 0xc2:
		return append(out, "false"...)
	case 0xc3:
		return append(out, "true"...)
	case 0xc4, 0xc5, 0xc6:
		return appendBytes(out, r.take(int(r.uint(1<<(c-0xc4)))))
	case 0xc7, 0xc8, 0xc9:
		return r.time(out, int(r.uint(1<<(c-0xc7))))
	case 0xca:
		return appendFloat(out, float64(math.Float32frombits(uint32(r.uint(4)))), 32)
	case 0xcb:
		return appendFloat(out, math.Float64frombits(r.uint(8)), 64)
	case 0xcc, 0xcd, 0xce, 0xcf:
		return strconv.AppendUint(out, r.uint(1<<(c-0xcc)), 10)
	case 0xd0, 0xd1, 0xd2, 0xd3:
		return strconv.AppendInt(out, r.int(1<<(c-0xd0)), 10)
	case 0xd4, 0xd5, 0xd6, 0xd7, 0xd8:
		return r.time(out, 1<<(c-0xd4))
	case 0xd9, 0xda, 0xdb:
		return appendText(out, r.take(int(r.uint(1<<(c-0xd9)))))
	case 0xdc, 0xdd:
		return r.list(out, int(r.uint(2<<(c-0xdc))))
	case 0xde, 0xdf:
		return r.fields(out, int(r.uint(2<<(c-0xde))))
	}
	return append(out, "null"...)
}

func (r *reader) list(out []byte, n int) []byte {
	out = append(out, '[')
	for i := range n {
		if i > 0 {
			out = append(out, ',')
		}
		out = r.value(out)
	}
	return append(out, ']')
}

func (r *reader) fields(out []byte, n int) []byte {
	out = append(out, '{')
	for i := range n {
		if i > 0 {
			out = append(out, ',')
		}
		key := r.value(nil)
		if key[0] != '"' { // JSON has no integers as keys
			key = append(append([]byte{'"'}, key...), '"')
		}
		out = append(append(out, key...), ':')
		out = r.value(out)
	}
	return append(out, '}')
}

// time reads the one extension that there is, a timestamp.
func (r *reader) time(out []byte, size int) []byte {
	r.take(1)
	var at time.Time
	switch size {
	case 4:
		at = time.Unix(int64(r.uint(4)), 0)
	case 8:
		both := r.uint(8)
		at = time.Unix(int64(both&(1<<34-1)), int64(both>>34))
	default:
		nanoseconds := int64(r.uint(4))
		at = time.Unix(r.int(8), nanoseconds)
	}
	return appendText(out, []byte(at.UTC().Format(time.RFC3339Nano)))
}

func appendText(out, text []byte) []byte {
	quoted, err := formatJSON(string(text), "")
	if err != nil {
		return appendBytes(out, text)
	}
	return append(out, quoted[:len(quoted)-1]...)
}

func appendBytes(out, b []byte) []byte {
	out = append(out, `"base64:`...)
	out = base64.StdEncoding.AppendEncode(out, b)
	return append(out, '"')
}

func appendFloat(out []byte, f float64, bits int) []byte {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return strconv.AppendQuote(out, strconv.FormatFloat(f, 'g', -1, bits))
	}
	return strconv.AppendFloat(out, f, 'g', -1, bits)
}
