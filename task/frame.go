package task

import (
	"encoding/binary"
	"math"
	"time"
	"unicode/utf8"
)

// The frames of envelopes and records are written and read by hand: they are on the
// path of every job, and a reader that works on the received bytes neither copies
// inputs and results nor needs reflection. Values are msgpack/v5's.

func appendArray(b []byte, n int) []byte {
	if n < 16 {
		return append(b, 0x90|byte(n))
	}
	if n <= math.MaxUint16 {
		return binary.BigEndian.AppendUint16(append(b, 0xdc), uint16(n))
	}
	return binary.BigEndian.AppendUint32(append(b, 0xdd), uint32(n))
}

func appendString(b []byte, s string) []byte {
	switch n := len(s); {
	case n < 32:
		b = append(b, 0xa0|byte(n))
	case n <= math.MaxUint8:
		b = append(b, 0xd9, byte(n))
	case n <= math.MaxUint16:
		b = binary.BigEndian.AppendUint16(append(b, 0xda), uint16(n))
	default:
		b = binary.BigEndian.AppendUint32(append(b, 0xdb), uint32(n))
	}
	return append(b, s...)
}

func appendBytes(b, v []byte) []byte {
	switch n := len(v); {
	case n <= math.MaxUint8:
		b = append(b, 0xc4, byte(n))
	case n <= math.MaxUint16:
		b = binary.BigEndian.AppendUint16(append(b, 0xc5), uint16(n))
	default:
		b = binary.BigEndian.AppendUint32(append(b, 0xc6), uint32(n))
	}
	return append(b, v...)
}

func appendUint(b []byte, n uint64) []byte {
	switch {
	case n <= 0x7f:
		return append(b, byte(n))
	case n <= math.MaxUint8:
		return append(b, 0xcc, byte(n))
	case n <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(b, 0xcd), uint16(n))
	case n <= math.MaxUint32:
		return binary.BigEndian.AppendUint32(append(b, 0xce), uint32(n))
	}
	return binary.BigEndian.AppendUint64(append(b, 0xcf), n)
}

func appendBool(b []byte, v bool) []byte {
	if v {
		return append(b, 0xc3)
	}
	return append(b, 0xc2)
}

// Times travel as microseconds since 1970, durations as microseconds: both fit into
// the 53 bits that every language's numbers have.
func appendTime(b []byte, t time.Time) []byte {
	return appendUint(b, uint64(max(t.UnixMicro(), 0)))
}

func appendDuration(b []byte, d time.Duration) []byte {
	return appendUint(b, uint64(max(d.Microseconds(), 0)))
}

// fields writes a map whose number of entries is known only at its end. There are
// fewer than 65,536.
type fields struct {
	b     []byte
	at, n int
}

func openFields(b []byte) fields {
	return fields{b: append(b, 0xde, 0, 0), at: len(b)}
}

func (f *fields) key(k string) {
	f.b = appendString(f.b, k)
	f.n++
}

func (f *fields) string(k, v string) {
	if v != "" {
		f.key(k)
		f.b = appendString(f.b, v)
	}
}

func (f *fields) bytes(k string, v []byte) {
	if v != nil {
		f.key(k)
		f.b = appendBytes(f.b, v)
	}
}

func (f *fields) uint(k string, v uint64) {
	if v != 0 {
		f.key(k)
		f.b = appendUint(f.b, v)
	}
}

func (f *fields) time(k string, v time.Time) {
	if !v.IsZero() {
		f.key(k)
		f.b = appendTime(f.b, v)
	}
}

func (f *fields) bool(k string, v bool) {
	if v {
		f.key(k)
		f.b = appendBool(f.b, v)
	}
}

func (f *fields) float(k string, v float64) {
	if v != 0 {
		f.key(k)
		f.b = binary.BigEndian.AppendUint64(append(f.b, 0xcb), math.Float64bits(v))
	}
}

func (f *fields) user(k string, u User) {
	if !u.Anonymous() {
		f.key(k)
		f.b = appendString(appendString(appendArray(f.b, 2), u.Realm), u.ID)
	}
}

func (f *fields) list(k string, all [][]byte) {
	if len(all) > 0 {
		f.key(k)
		f.b = appendArray(f.b, len(all))
		for _, v := range all {
			f.b = appendBytes(f.b, v)
		}
	}
}

func (f *fields) names(k string, all []string) {
	if len(all) > 0 {
		f.key(k)
		f.b = appendArray(f.b, len(all))
		for _, v := range all {
			f.b = appendString(f.b, v)
		}
	}
}

func (f *fields) done() []byte {
	binary.BigEndian.PutUint16(f.b[f.at+1:], uint16(f.n))
	return f.b
}

// frame reads a value that [Scan] has accepted. The first error stays; after it every
// read yields a zero value.
type frame struct {
	b   []byte
	at  int
	err error
}

func (f *frame) refuse(code, format string, args ...any) {
	if f.err == nil {
		f.err = refuse(code, format, args...)
	}
}

func (f *frame) next(field string, want kind) (h head, body []byte) {
	if f.err != nil {
		return head{}, nil
	}
	h, err := readHead(f.b[f.at:])
	if err != nil {
		f.err = err
		return head{}, nil
	}
	if h.kind != want {
		f.refuse("type", "field %q has the wrong type", field)
		return head{}, nil
	}
	start := f.at + h.header
	f.at = start
	if want == kindString || want == kindBytes {
		f.at += int(h.size)
	}
	return h, f.b[start:f.at:f.at]
}

func (f *frame) string(field string) string {
	_, b := f.next(field, kindString)
	if !utf8.Valid(b) {
		f.refuse("format", "field %q is not UTF-8", field)
	}
	return string(b)
}

// bytes returns a slice of the frame, never nil without an error.
func (f *frame) bytes(field string) []byte {
	_, b := f.next(field, kindBytes)
	return b
}

func (f *frame) uint(field string) uint64 {
	at := f.at
	h, _ := f.next(field, kindUint)
	if f.err != nil {
		return 0
	}
	if h.header == 1 {
		return uint64(f.b[at])
	}
	return readUint(f.b[at+1 : at+h.header])
}

func (f *frame) upTo(field string, most uint64) uint64 {
	n := f.uint(field)
	if n > most {
		f.refuse("range", "field %q: %d is more than %d", field, n, most)
		return 0
	}
	return n
}

// small reads a number up to most, which any int can hold.
func (f *frame) small(field string, most uint32) int { return int(f.upTo(field, uint64(most))) }

func (f *frame) count(field string) int { return f.small(field, math.MaxInt32) }

func (f *frame) float(field string) float64 {
	at := f.at
	h, _ := f.next(field, kindFloat)
	switch {
	case f.err != nil:
		return 0
	case h.header == 5:
		return float64(math.Float32frombits(binary.BigEndian.Uint32(f.b[at+1:])))
	}
	return math.Float64frombits(binary.BigEndian.Uint64(f.b[at+1:]))
}

func (f *frame) bool(field string) bool {
	at := f.at
	f.next(field, kindBool)
	return f.err == nil && f.b[at] == 0xc3
}

func (f *frame) time(field string) time.Time {
	n := f.upTo(field, 1<<53)
	if n == 0 {
		return time.Time{}
	}
	return time.UnixMicro(int64(n)).UTC()
}

func (f *frame) duration(field string) time.Duration {
	return time.Duration(f.upTo(field, uint64(MaxDuration/time.Microsecond))) * time.Microsecond
}

func (f *frame) array(field string) int {
	h, _ := f.next(field, kindArray)
	return int(h.size)
}

func (f *frame) arrayOf(field string, n int) {
	if got := f.array(field); got != n {
		f.refuse("type", "field %q has %d parts, not %d", field, got, n)
	}
}

func (f *frame) user(field string) User {
	f.arrayOf(field, 2)
	u := User{Realm: f.string(field), ID: f.string(field)}
	if f.err == nil {
		if err := u.check(); err != nil {
			f.refuse("name", "%v", err)
		}
	}
	return u
}

func (f *frame) list(field string, most int) [][]byte {
	n := f.array(field)
	if n > most {
		f.refuse("range", "field %q has %d entries, more than %d", field, n, most)
		return nil
	}
	all := make([][]byte, 0, n)
	for range n {
		all = append(all, f.bytes(field))
	}
	return all
}

func (f *frame) names(field string, most int) []string {
	n := f.array(field)
	if n > most {
		f.refuse("range", "field %q has %d entries, more than %d", field, n, most)
		return nil
	}
	all := make([]string, 0, n)
	for range n {
		all = append(all, f.string(field))
	}
	return all
}

func (f *frame) skip() {
	if f.err != nil {
		return
	}
	n, err := scanValue(f.b[f.at:])
	f.err = err
	f.at += n
}

// each calls field for every key of the map at f, and refuses a key that comes twice.
// It skips fields that begin with x_, which are for extensions.
func (f *frame) each(field func(key string) (known uint)) {
	h, _ := f.next("", kindMap)
	var seen uint64
	for range h.size {
		if f.err != nil {
			return
		}
		if h, _ := readHead(f.b[f.at:]); h.kind != kindString {
			f.refuse("key", "the key at byte %d is not a string", f.at)
			return
		}
		_, name := f.next("", kindString)
		if len(name) > 2 && name[0] == 'x' && name[1] == '_' {
			f.skip()
			continue
		}
		if len(name) > 8 {
			f.refuse("unknown", "field %s is unknown", Quote(string(name)))
			return
		}
		bit := field(string(name))
		if f.err != nil {
			return
		}
		if bit == 0 {
			f.refuse("unknown", "field %s is unknown", Quote(string(name)))
			return
		}
		if seen&(1<<bit) != 0 {
			f.refuse("duplicate", "field %q comes twice", name)
			return
		}
		seen |= 1 << bit
	}
}

// openFrame measures and scans b, and says whether it is a map.
func openFrame(b []byte, most int) (*frame, error) {
	if len(b) > most {
		return nil, refuse("too_large", "%d bytes are too many (at most %d)", len(b), most)
	}
	if len(b) > 0 && b[0] == '{' {
		return nil, refuse("format", "this looks like JSON, not a msgpack map")
	}
	if _, err := scanFrame(b); err != nil {
		return nil, err
	}
	if h, err := readHead(b); err != nil || h.kind != kindMap {
		return nil, refuse("type", "the value is not a map")
	}
	return &frame{b: b}, nil
}
