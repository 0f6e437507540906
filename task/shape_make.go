package task

import (
	"reflect"
	"slices"
	"strings"
)

// maker makes the shapes of a type and of all that it is made of. How structures are taken
// apart follows getFields of msgpack/v5.
type maker struct {
	way   *way
	made  map[reflect.Type]*shape
	point []reflect.Type // pointers that are being followed
	inner []reflect.Type // structures whose fields are being collected
}

func (m *maker) shape(t reflect.Type) *shape {
	if s, ok := m.way.made.Load(t); ok {
		return s.(*shape)
	}
	if s := m.made[t]; s != nil {
		if slices.Contains(m.point, t) {
			s.kind = shapeEndless
		}
		return s
	}
	s := &shape{kind: shapeOwn, typ: t, levels: unmeasured}
	m.made[t] = s
	if m.way.owns(t) {
		return s
	}
	if t.Kind() == reflect.Pointer {
		s.kind = shapePointer
		m.point = append(m.point, t)
		s.elem = m.shape(t.Elem())
		m.point = m.point[:len(m.point)-1]
		if s.elem.kind == shapeEndless {
			s.kind = shapeEndless
		}
		return s
	}
	point, inner := m.point, m.inner
	m.point, m.inner = nil, nil
	m.take(s, t)
	m.point, m.inner = point, inner
	return s
}

func (m *maker) take(s *shape, t reflect.Type) {
	switch t.Kind() {
	case reflect.Bool:
		s.kind = shapeBool
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		s.kind = shapeInt
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		s.kind = shapeUint
	case reflect.Float32, reflect.Float64:
		s.kind = shapeFloat
	case reflect.String:
		s.kind = shapeText
	case reflect.Interface:
		s.kind = shapeAny
	case reflect.Slice, reflect.Array:
		s.kind = shapeList
		if t.Kind() == reflect.Array {
			s.kind = shapeArray
		}
		if t.Elem().Kind() == reflect.Uint8 {
			s.kind = shapeBytes
			return
		}
		s.elem = m.shape(t.Elem())
	case reflect.Map:
		s.kind = shapeTable
		s.key, s.elem = m.shape(t.Key()), m.shape(t.Elem())
	case reflect.Struct:
		s.kind = shapeStruct
		var endless bool
		s.parts, s.names, endless = m.fields(t)
		for _, p := range s.parts {
			endless = endless || p.shape.kind == shapeEndless
		}
		if endless {
			s.kind = shapeEndless
		}
	default:
		s.kind = shapeNone
	}
}

// fields lists the entries of a structure. endless says that it embeds itself.
func (m *maker) fields(t reflect.Type) (parts []part, names map[string]*shape, endless bool) {
	if slices.Contains(m.inner, t) {
		return nil, nil, true
	}
	m.inner = append(m.inner, t)
	defer func() { m.inner = m.inner[:len(m.inner)-1] }()
	names = map[string]*shape{}
	for f := range t.Fields() {
		tag := parseTag(f.Tag.Get("msgpack"))
		if tag.name == "-" {
			continue
		}
		if !f.IsExported() && !f.Anonymous {
			continue
		}
		p := part{name: tag.name, index: f.Index, shape: m.shape(f.Type)}
		if p.name == "" {
			p.name = f.Name
		}
		if f.Anonymous && !tag.has("noinline") {
			inlined, itself := m.embedded(f.Type, tag.has("inline"), names)
			if itself {
				return nil, nil, true
			}
			if inlined != nil {
				for _, i := range inlined {
					i.index = slices.Concat(f.Index, i.index)
					parts, names[i.name] = append(parts, i), i.shape
				}
				names[p.name] = p.shape
				continue
			}
		}
		parts, names[p.name] = append(parts, p), p.shape
		if alias := tag.option("alias"); alias != "" {
			names[alias] = p.shape
		}
	}
	return parts, names, false
}

// embedded lists the entries that an embedded field adds to those that are there; nil if it
// stays a field of its own.
func (m *maker) embedded(t reflect.Type, always bool, there map[string]*shape) (parts []part, endless bool) {
	for t.Kind() == reflect.Pointer && !outward.owns(t) && !inward.owns(t) {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || !always && (outward.owns(t) || inward.owns(t)) {
		return nil, false
	}
	all, _, endless := m.fields(t)
	if endless {
		return nil, true
	}
	parts = []part{}
	for _, p := range all {
		if there[p.name] == nil {
			parts = append(parts, p)
		} else if !always {
			return nil, false
		}
	}
	return parts, false
}

// fieldTag is a tag of msgpack/v5: a name, then options.
type fieldTag struct {
	name    string
	options []string
}

func parseTag(text string) fieldTag {
	name, rest, _ := strings.Cut(text, ",")
	t := fieldTag{name: strings.TrimSpace(name)}
	for o := range strings.SplitSeq(rest, ",") {
		t.options = append(t.options, strings.TrimSpace(o))
	}
	return t
}

func (t fieldTag) has(option string) bool { return slices.Contains(t.options, option) }

func (t fieldTag) option(key string) string {
	for _, o := range t.options {
		if value, ok := strings.CutPrefix(o, key+":"); ok {
			return value
		}
	}
	return ""
}
