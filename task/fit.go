package task

import (
	"fmt"
	"reflect"
	"slices"
	"unicode/utf8"
)

// msgpack/v5 decodes what it can: 300 becomes 44 in an int8, the largest uint64 -1 in a
// float64, and a byte of the wire a kilobyte of memory in a list of large structures. So a
// value is held against the shape of what it is decoded into first, and what does not fit is
// an error with the path to it.

// maxCost is how much memory a value may take beside its own bytes, and costPerByte how much
// for each of those.
const (
	maxCost     = 32 << 20
	costPerByte = 8
)

// fit says whether b, which Scan has accepted, fits what v points to. unknown is where a
// field begins that v does not have, or 0.
func fit(b []byte, v any) (unknown int, err error) {
	t := reflect.TypeOf(v)
	if t == nil || t.Kind() != reflect.Pointer {
		return 0, nil // the library says so
	}
	s := inward.shapeOf(t)
	if s.kind == shapePointer {
		s = s.elem
	}
	f := fitting{b: b, left: maxCost + costPerByte*len(b)}
	_, err = f.value(0, s)
	return f.unknown, err
}

// fitting is a value that is held against a shape. left is the memory that it may still take.
type fitting struct {
	b       []byte
	left    int
	unknown int // where a field begins that the shape does not have
}

// value returns where the value at at ends.
func (f *fitting) value(at int, s *shape) (end int, err error) {
	h, err := readHead(f.b[at:])
	if err != nil {
		return at, err
	}
	end = at + h.header
	if h.kind == kindNil && s.kind > shapeEndless {
		return end, nil // the zero value of anything
	}
	switch s.kind {
	case shapeOwn:
		return f.own(at, h, s)
	case shapePointer:
		if err := f.pay(int(s.elem.typ.Size())); err != nil {
			return end, err
		}
		return f.value(at, s.elem)
	case shapeAny:
		if s.typ.NumMethod() > 0 && (s.typ != reflect.TypeFor[error]() || h.kind != kindString) {
			return end, f.misfit(at, h, s)
		}
		return f.loose(at, h)
	case shapeBool:
		if h.kind == kindBool {
			return end, nil
		}
	case shapeInt, shapeUint, shapeFloat:
		return end, f.number(at, h, s)
	case shapeText, shapeBytes:
		return f.text(at, h, s)
	case shapeList, shapeArray:
		return f.list(at, h, s)
	case shapeTable:
		if h.kind == kindMap {
			return f.table(end, int(h.size), s)
		}
	case shapeStruct:
		return f.structure(at, h, s)
	}
	return end, f.misfit(at, h, s)
}

func (f *fitting) misfit(at int, h head, s *shape) error {
	return refuse("type", "%s is no %v", show(f.b, at, h), s.typ)
}

func (f *fitting) pay(bytes int) error {
	if f.left -= bytes; f.left < 0 {
		return refuse("too_large", "it takes more than %d MiB of memory (%d bytes hold too many values of a large type)", maxCost>>20, len(f.b))
	}
	return nil
}

// own leaves a value to the methods of its type, but for what panics before it gets there: nil
// for what cannot be nil. A time in a value is a timestamp; the library knows more forms of one
// that is the whole value.
func (f *fitting) own(at int, h head, s *shape) (end int, err error) {
	end = endOf(f.b, at)
	bare := s.typ == timeType || !nilable(s.typ) && slices.ContainsFunc(inward.own, s.typ.Implements)
	isTime := s.typ == timeType || s.typ == reflect.PointerTo(timeType) && at > 0 && h.kind != kindNil
	if h.kind == kindNil && bare || isTime && h.kind != kindExt {
		return end, f.misfit(at, h, s)
	}
	return end, f.pay(end - at)
}

func nilable(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Pointer, reflect.Map, reflect.Slice, reflect.Interface:
		return true
	}
	return false
}

func (f *fitting) text(at int, h head, s *shape) (end int, err error) {
	end = at + h.header
	if h.kind != kindString && h.kind != kindBytes {
		return end, f.misfit(at, h, s)
	}
	body := f.b[end : end+int(h.size)]
	end += len(body)
	if s.kind == shapeText && h.kind == kindBytes && !utf8.Valid(body) {
		return end, refuse("format", "the bytes are no text in UTF-8")
	}
	if s.typ.Kind() == reflect.Array {
		if len(body) > s.typ.Len() {
			return end, refuse("range", "%d bytes are more than a %v holds", len(body), s.typ)
		}
		return end, nil
	}
	return end, f.pay(len(body))
}

func (f *fitting) list(at int, h head, s *shape) (end int, err error) {
	end = at + h.header
	n := int(h.size)
	switch {
	case h.kind != kindArray:
		return end, f.misfit(at, h, s)
	case s.kind == shapeList:
		err = f.pay(2 * n * int(s.elem.typ.Size())) // the library makes the list twice
	case n > s.typ.Len():
		err = refuse("range", "a list of %d is longer than a %v", n, s.typ)
	}
	for i := 0; i < n && err == nil; i++ {
		if end, err = f.value(end, s.elem); err != nil {
			err = within(err, inItem(i))
		}
	}
	return end, err
}

func (f *fitting) table(at, n int, s *shape) (end int, err error) {
	err = f.pay(costOfMap(n, int(s.key.typ.Size()), int(s.elem.typ.Size())))
	for ; n > 0 && err == nil; n-- {
		key := at
		if at, err = f.value(at, s.key); err != nil {
			return at, within(err, string(appendKey(nil, f.b, key)))
		}
		if at, err = f.value(at, s.elem); err != nil {
			err = within(err, string(appendKey(nil, f.b, key)))
		}
	}
	return at, err
}

// structure takes a map by names, or a list of all fields in their order.
func (f *fitting) structure(at int, h head, s *shape) (end int, err error) {
	end = at + h.header
	switch {
	case h.kind == kindMap:
		for range h.size {
			name, err := f.name(end)
			if err != nil {
				return end, err
			}
			end = endOf(f.b, end)
			if field := s.names[string(name)]; field == nil {
				f.unknown, end = end, endOf(f.b, end)
			} else if end, err = f.value(end, field); err != nil {
				return end, within(err, inField(string(name)))
			}
		}
		return end, nil
	case h.kind == kindArray && h.size == 0:
		return end, nil // the zero value
	case h.kind != kindArray:
		return end, f.misfit(at, h, s)
	case int(h.size) != len(s.parts):
		return end, refuse("type", "a list of %d is no %v, which has %d fields", h.size, s.typ, len(s.parts))
	}
	for _, p := range s.parts {
		if end, err = f.value(end, p.shape); err != nil {
			return end, within(err, inField(p.name))
		}
	}
	return end, nil
}

func (f *fitting) name(at int) ([]byte, error) {
	h, err := readHead(f.b[at:])
	if err != nil {
		return nil, err
	}
	if h.kind != kindString {
		return nil, refuse("key", "%s is no name of a field", show(f.b, at, h))
	}
	return f.b[at+h.header : at+h.header+int(h.size)], nil
}

// loose counts what a value takes without a type: as any, in lists and maps of any.
func (f *fitting) loose(at int, h head) (end int, err error) {
	const word, pair, header = 8, 16, 24
	end = at + h.header
	n := int(h.size)
	switch h.kind {
	case kindString, kindBytes, kindExt:
		return end + n, f.pay(header + n)
	case kindArray:
		err = f.pay(header + pair*n)
	case kindMap:
		err = f.pay(word + costOfMap(n, pair, pair))
		n *= 2
	default:
		return end, f.pay(word)
	}
	for ; n > 0 && err == nil; n-- {
		var inner head
		if inner, err = readHead(f.b[end:]); err == nil {
			end, err = f.loose(end, inner)
		}
	}
	return end, err
}

// costOfMap is about what a Go map of n entries takes while it is made and filled: groups of
// eight slots, doubled as it grows, with what is large beside them.
func costOfMap(n, key, elem int) int {
	const header, group, beside = 48, 8, 128
	slot := key + elem
	if n == 0 {
		return header
	}
	cost := n * slot // each entry is decoded before it is put in
	inSlot := 0
	for _, size := range [...]int{key, elem} {
		if size > beside {
			cost += n * size
			size = 8
		}
		inSlot += size
	}
	if n <= group {
		return cost + header + group*(inSlot+1)
	}
	return cost + header + 4*n*(inSlot+1)
}

// show names a value of the wire in an error, and of a text its length alone: errors are logged, and it may be a secret.
func show(b []byte, at int, h head) string {
	switch h.kind {
	case kindNil:
		return "nil"
	case kindBool:
		return fmt.Sprint(b[at] == 0xc3)
	case kindInt, kindUint:
		return "the number " + readNumber(b[at:], h).String()
	case kindFloat:
		return fmt.Sprintf("the number %v (a float of %d bits)", readFloat(b[at:], h), 8*(h.header-1))
	case kindString:
		return fmt.Sprintf("a text of %d bytes", h.size)
	case kindArray:
		return fmt.Sprintf("a list of %d", h.size)
	case kindMap:
		return fmt.Sprintf("a map of %d", h.size)
	case kindBytes:
		return fmt.Sprintf("a value of %d bytes", h.size)
	}
	return "a time"
}
