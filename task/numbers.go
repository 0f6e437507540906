package task

import (
	"encoding/binary"
	"math"
	"math/bits"
	"strconv"
)

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

func readFloat(b []byte, h head) float64 {
	if h.header == 5 {
		return float64(math.Float32frombits(binary.BigEndian.Uint32(b[1:])))
	}
	return math.Float64frombits(binary.BigEndian.Uint64(b[1:]))
}

func (n number) String() string {
	if n.negative {
		return strconv.FormatInt(int64(n.bits), 10)
	}
	return strconv.FormatUint(n.bits, 10)
}

// fits says whether an integer of s holds n.
func (n number) fits(s *shape) bool {
	width := s.typ.Bits()
	switch {
	case s.kind == shapeUint:
		return !n.negative && bits.Len64(n.bits) <= width
	case n.negative:
		return bits.Len64(^n.bits) < width
	}
	return bits.Len64(n.bits) < width
}

// exact says whether a float of s holds n as it is. The library goes there by way of int64.
func (n number) exact(s *shape) bool {
	size := n.bits
	if n.negative {
		size = -size
	} else if size > math.MaxInt64 {
		return false
	}
	mantissa := 53
	if s.typ.Bits() == 32 {
		mantissa = 24
	}
	return bits.Len64(size)-bits.TrailingZeros64(size) <= mantissa || size == 0
}

func (f *fitting) number(at int, h head, s *shape) error {
	switch {
	case h.isInteger() && s.kind == shapeFloat:
		if n := readNumber(f.b[at:], h); !n.exact(s) {
			return refuse("range", "the number %v does not fit a %v exactly", n, s.typ)
		}
	case h.isInteger():
		if n := readNumber(f.b[at:], h); !n.fits(s) {
			return refuse("range", "the number %v does not fit a %v", n, s.typ)
		}
	case h.kind != kindFloat:
		return f.misfit(at, h, s)
	case s.kind != shapeFloat:
		return refuse("range", "the number %v is no integer, as a %v is (send it without a fraction)", readFloat(f.b[at:], h), s.typ)
	case h.header == 9 && s.typ.Bits() == 32:
		return f.misfit(at, h, s)
	}
	return nil
}

// endOf returns where the value at at ends.
func endOf(b []byte, at int) int {
	n, err := scanValue(b[at:])
	if err != nil {
		return len(b)
	}
	return at + n
}
