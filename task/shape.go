package task

import (
	"encoding"
	"reflect"
	"sync"
	"time"

	"github.com/vmihailenco/msgpack/v5"
)

// A shape is what msgpack/v5 makes of a Go type. By it values are looked over before the
// library sees them, which has no bounds: a type or a value that contains itself overflows
// its stack, and that ends the process.
type shape struct {
	kind   shapeKind
	typ    reflect.Type
	key    *shape // of a table
	elem   *shape // of a pointer, list, array or table
	parts  []part // of a structure
	names  map[string]*shape
	levels int // how deep its values nest at most, or unbounded
}

// Levels of shapes whose values say it, and of shapes that are being made.
const (
	unbounded  = -1
	unmeasured = -2
)

type shapeKind uint8

const (
	shapeOwn     shapeKind = iota // encodes or decodes itself
	shapeNone                     // has no form on the wire
	shapeEndless                  // made of nothing but itself: the library cannot be shown its type
	shapeAny                      // an interface
	shapePointer
	shapeBool
	shapeInt
	shapeUint
	shapeFloat
	shapeText
	shapeBytes // a slice or an array of bytes
	shapeList
	shapeArray
	shapeTable
	shapeStruct
)

// part is an entry of a structure: a field, or a field of what it embeds.
type part struct {
	name  string
	index []int
	shape *shape
}

// way is a direction, with the methods by which types go it themselves.
type way struct {
	own  []reflect.Type
	made sync.Map // reflect.Type → *shape
	mu   sync.Mutex
}

var (
	outward = &way{own: []reflect.Type{
		reflect.TypeFor[msgpack.CustomEncoder](), reflect.TypeFor[msgpack.Marshaler](),
		reflect.TypeFor[encoding.BinaryMarshaler](), reflect.TypeFor[encoding.TextMarshaler](),
	}}
	inward = &way{own: []reflect.Type{
		reflect.TypeFor[msgpack.CustomDecoder](), reflect.TypeFor[msgpack.Unmarshaler](),
		reflect.TypeFor[encoding.BinaryUnmarshaler](), reflect.TypeFor[encoding.TextUnmarshaler](),
	}}
)

func (w *way) shapeOf(t reflect.Type) *shape {
	if s, ok := w.made.Load(t); ok {
		return s.(*shape)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	m := maker{way: w, made: map[reflect.Type]*shape{}}
	s := m.shape(t)
	for t, s := range m.made {
		s.measure()
		w.made.Store(t, s)
	}
	return s
}

var timeType = reflect.TypeFor[time.Time]()

func (w *way) owns(t reflect.Type) bool {
	if t == timeType || t == reflect.TypeFor[error]() && w == outward {
		return true
	}
	for _, i := range w.own {
		if t.Implements(i) || t.Kind() != reflect.Pointer && reflect.PointerTo(t).Implements(i) {
			return true
		}
	}
	return false
}

// measure sets levels. A shape that is met again while it is measured contains itself.
func (s *shape) measure() int {
	if s.levels != unmeasured {
		return s.levels
	}
	s.levels = unbounded
	deepest := 0
	inner := func(i *shape, more int) bool {
		n := i.measure()
		deepest = max(deepest, n+more)
		return n != unbounded
	}
	switch s.kind {
	case shapeNone, shapeEndless, shapeAny:
		return unbounded
	case shapePointer:
		if !inner(s.elem, 0) {
			return unbounded
		}
	case shapeList, shapeArray:
		if !inner(s.elem, 1) {
			return unbounded
		}
	case shapeTable:
		if !inner(s.key, 1) || !inner(s.elem, 1) {
			return unbounded
		}
	case shapeStruct:
		deepest = 1
		for _, p := range s.parts {
			if !inner(p.shape, 1) {
				return unbounded
			}
		}
	}
	s.levels = deepest
	return deepest
}
