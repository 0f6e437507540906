package task

import (
	"fmt"
	"reflect"
)

// look walks over a value before msgpack/v5 encodes it, and stops at what has no end, at what
// has no form, and after as many values as there may be bytes. What cannot nest too deep by
// its type is left alone.
func look(v any, most int) error {
	if v == nil {
		return nil
	}
	l := looker{most, most}
	return l.loose(v, 0)
}

// looker counts the values that may still come; each takes a byte.
type looker struct{ most, left int }

// loose looks at what has no type of ours, which most often are the types of JSON.
func (l *looker) loose(v any, depth int) error {
	switch v := v.(type) {
	case nil, bool, string, []byte, int, int64, uint64, float64:
		return l.pay()
	case []any:
		return l.items(v, depth)
	case map[string]any:
		return l.fields(v, depth)
	}
	return l.value(reflect.ValueOf(v), outward.shapeOf(reflect.TypeOf(v)), depth, 0)
}

func (l *looker) items(all []any, depth int) error {
	if err := l.open(depth); err != nil {
		return err
	}
	for i, v := range all {
		if err := l.loose(v, depth+1); err != nil {
			return within(err, inItem(i))
		}
	}
	return nil
}

func (l *looker) fields(all map[string]any, depth int) error {
	if err := l.open(depth); err != nil {
		return err
	}
	for k, v := range all {
		if err := l.loose(v, depth+1); err != nil {
			return within(err, inField(k))
		}
	}
	return nil
}

func (l *looker) open(depth int) error {
	if depth == MaxDepth {
		return refuse("depth", "values are nested deeper than %d (does the value contain itself?)", MaxDepth)
	}
	return l.pay()
}

func (l *looker) pay() error {
	if l.left--; l.left < 0 {
		return tooLarge(fmt.Sprintf("it has more values than the %d bytes that are allowed (put it into an object store and pass its name)", l.most))
	}
	return nil
}

// value looks at v, around which there are depth lists and maps, and hops pointers and
// interfaces since the innermost of them: those write no bytes.
func (l *looker) value(v reflect.Value, s *shape, depth, hops int) error {
	if s.levels != unbounded && depth+s.levels <= MaxDepth {
		return nil
	}
	switch s.kind {
	case shapeNone:
		return refuse("type", "a %v cannot be encoded", s.typ)
	case shapeEndless:
		return refuse("type", "the type %v contains itself without end", s.typ)
	case shapeAny, shapePointer:
		if v.IsNil() {
			return nil
		}
		if hops == MaxDepth {
			return refuse("depth", "more than %d pointers point to each other (does the value contain itself?)", MaxDepth)
		}
		if s.kind == shapePointer {
			return l.value(v.Elem(), s.elem, depth, hops+1)
		}
		return l.value(v.Elem(), outward.shapeOf(v.Elem().Type()), depth, hops+1)
	}
	if s.kind < shapeList {
		return l.pay()
	}
	if err := l.open(depth); err != nil {
		return err
	}
	switch s.kind {
	case shapeList, shapeArray:
		for i := range v.Len() {
			if err := l.value(v.Index(i), s.elem, depth+1, 0); err != nil {
				return within(err, inItem(i))
			}
		}
	case shapeTable:
		if s.typ == reflect.TypeFor[map[string]any]() && v.CanInterface() {
			l.left++ // it is opened already
			return l.fields(v.Interface().(map[string]any), depth)
		}
		for i := v.MapRange(); i.Next(); {
			if err := l.value(i.Key(), s.key, depth+1, 0); err != nil {
				return err
			}
			if err := l.value(i.Value(), s.elem, depth+1, 0); err != nil {
				return within(err, inKey(i.Key()))
			}
		}
	case shapeStruct:
		for _, p := range s.parts {
			f, err := v.FieldByIndexErr(p.index)
			if err != nil {
				continue // an embedded pointer is nil
			}
			if err := l.value(f, p.shape, depth+1, 0); err != nil {
				return within(err, inField(p.name))
			}
		}
	}
	return nil
}

func inKey(k reflect.Value) string {
	for k.Kind() == reflect.Interface {
		k = k.Elem()
	}
	switch {
	case k.Kind() == reflect.String:
		return inField(k.String())
	case k.CanInt() || k.CanUint():
		return "[" + fmt.Sprint(k) + "]"
	}
	return "[" + Quote(fmt.Sprint(k)) + "]"
}
