package task

import (
	"encoding"
	"math"
	"reflect"
	"strconv"
	"sync"
	"time"

	"github.com/vmihailenco/msgpack/v5"
)

// msgpack/v5 cuts a number that does not fit the Go type it is decoded into: 300 becomes
// 44 in an int8. Here that is an error, as a fraction in an integer is to msgpack/v5. Most
// values cannot be cut, since all their numbers fit the narrowest integer of the type; only
// what may have been cut is encoded again and compared.

// span is the narrowest integer of a type.
type span struct {
	integers bool
	low      int64
	high     uint64
}

func (s *span) narrow(low int64, high uint64) {
	if !s.integers {
		*s = span{true, low, high}
		return
	}
	s.low, s.high = max(s.low, low), min(s.high, high)
}

var spans sync.Map // reflect.Type → span

func spanOf(t reflect.Type) span {
	if s, ok := spans.Load(t); ok {
		return s.(span)
	}
	var s span
	s.add(t, map[reflect.Type]bool{})
	spans.Store(t, s)
	return s
}

// opaque types decode themselves.
var opaque = []reflect.Type{
	reflect.TypeFor[msgpack.CustomDecoder](), reflect.TypeFor[msgpack.Unmarshaler](),
	reflect.TypeFor[encoding.BinaryUnmarshaler](), reflect.TypeFor[encoding.TextUnmarshaler](),
}

func (s *span) add(t reflect.Type, seen map[reflect.Type]bool) {
	if seen[t] || t == reflect.TypeFor[time.Time]() {
		return
	}
	seen[t] = true
	for _, i := range opaque {
		if t.Implements(i) || reflect.PointerTo(t).Implements(i) {
			return
		}
	}
	switch t.Kind() {
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		s.narrow(-1<<(t.Bits()-1), 1<<(t.Bits()-1)-1)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		s.narrow(0, math.MaxUint64>>(64-t.Bits()))
	case reflect.Pointer, reflect.Array:
		s.add(t.Elem(), seen)
	case reflect.Slice:
		if t.Elem().Kind() != reflect.Uint8 { // bytes are no numbers on the wire
			s.add(t.Elem(), seen)
		}
	case reflect.Map:
		s.add(t.Key(), seen)
		s.add(t.Elem(), seen)
	case reflect.Struct:
		for f := range t.Fields() {
			if f.IsExported() || f.Anonymous {
				s.add(f.Type, seen)
			}
		}
	}
}

// checkNumbers says whether v, which b was decoded into, holds the numbers of b.
func checkNumbers(b []byte, v any) error {
	s := spanOf(reflect.TypeOf(v))
	if !s.integers || s.holds(b) {
		return nil
	}
	again, err := Marshal(v)
	if err != nil {
		return err
	}
	_, _, err = compareNumbers(b, 0, again, 0)
	return err
}

// holds says whether no number of b can have been cut.
func (s span) holds(b []byte) bool {
	for at := 0; at < len(b); {
		h, err := readHead(b[at:])
		if err != nil {
			return false
		}
		switch h.kind {
		case kindInt, kindUint:
			if n := readNumber(b[at:], h); n.negative && int64(n.bits) < s.low || !n.negative && n.bits > s.high {
				return false
			}
		case kindString, kindBytes, kindExt:
			at += int(h.size)
		}
		at += h.header
	}
	return true
}

func (h head) isInteger() bool { return h.kind == kindInt || h.kind == kindUint }

// number is an integer of the wire: its bits as int64 if it is negative, else as uint64.
type number struct {
	negative bool
	bits     uint64
}

func readNumber(b []byte, h head) number {
	raw := b[1:h.header]
	if h.kind == kindUint {
		if h.header == 1 {
			return number{bits: uint64(b[0])}
		}
		return number{bits: readUint(raw)}
	}
	n := int64(int8(b[0]))
	switch len(raw) {
	case 1:
		n = int64(int8(raw[0]))
	case 2:
		n = int64(int16(readUint(raw)))
	case 4:
		n = int64(int32(readUint(raw)))
	case 8:
		n = int64(readUint(raw))
	}
	return number{n < 0, uint64(n)}
}

func (n number) String() string {
	if n.negative {
		return strconv.FormatInt(int64(n.bits), 10)
	}
	return strconv.FormatUint(n.bits, 10)
}

// compareNumbers walks two values side by side, that of the wire and what it was decoded
// to, and returns where they end. What one of them leaves out is passed over. Both were
// scanned or made here, so their depth is bounded.
func compareNumbers(wire []byte, w int, got []byte, g int) (wireEnd, gotEnd int, err error) {
	hw, err := readHead(wire[w:])
	if err != nil {
		return 0, 0, err
	}
	hg, err := readHead(got[g:])
	if err != nil {
		return 0, 0, err
	}
	wireEnd, gotEnd = endOf(wire, w), endOf(got, g)
	switch {
	case hw.kind == kindMap && hg.kind == kindMap:
		err = compareMaps(wire, w+hw.header, hw.size, got, g+hg.header, hg.size)
	case hw.kind == kindArray && hg.kind == kindArray:
		w, g = w+hw.header, g+hg.header
		for range min(hw.size, hg.size) {
			if w, g, err = compareNumbers(wire, w, got, g); err != nil {
				break
			}
		}
	case hw.isInteger() && hg.isInteger():
		if n := readNumber(wire[w:], hw); n != readNumber(got[g:], hg) {
			err = refuse("range", "the number %s at byte %d does not fit its type", n, w)
		}
	}
	return wireEnd, gotEnd, err
}

// compareMaps finds the entries of the wire in what they were decoded to.
func compareMaps(wire []byte, w int, nw uint64, got []byte, g int, ng uint64) error {
	values := make(map[string]int, ng)
	for range ng {
		key := keyOf(got, g)
		g = endOf(got, g)
		values[key] = g
		g = endOf(got, g)
	}
	for range nw {
		key, at := keyOf(wire, w), w
		w = endOf(wire, w)
		value, there := values[key]
		switch {
		case there:
			if _, _, err := compareNumbers(wire, w, got, value); err != nil {
				return err
			}
		case key[0] == '#':
			return refuse("range", "the key %s at byte %d does not fit its type", key[1:], at)
		}
		w = endOf(wire, w)
	}
	return nil
}

// keyOf names a key: "#" and its digits for an integer, "." and its text for a string.
func keyOf(b []byte, at int) string {
	h, err := readHead(b[at:])
	if err != nil {
		return "."
	}
	if h.isInteger() {
		return "#" + readNumber(b[at:], h).String()
	}
	return "." + string(b[at+h.header:endOf(b, at)])
}

// endOf returns where the value at at ends.
func endOf(b []byte, at int) int {
	n, err := scanValue(b[at:])
	if err != nil {
		return len(b)
	}
	return at + n
}
