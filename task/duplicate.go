package task

import (
	"bytes"
	"cmp"
	"slices"
	"strconv"
	"unicode/utf8"
)

// mapKey is a key of a map that is being looked through: a text by its place, a number by
// its value.
type mapKey struct {
	kind       kind
	start, end int
	number     uint64
}

// open is a container that is being looked through; first is where its keys begin, start
// where it does.
type open struct {
	level
	first, start int
}

// checkTexts refuses a text that is not UTF-8, and a map in which a key comes twice, at any
// depth: two readers of it would each take another value. b is one value that scanValue has accepted. It needs
// memory for the keys of the maps that are open at a time, less than b is long times ten.
// It returns where it stopped.
func checkTexts(b []byte) (int, error) {
	var levels [MaxDepth + 1]open
	var few [32]mapKey
	keys := few[:0]
	levels[0] = open{level: level{left: 1}}
	depth, at := 0, 0
	for {
		for levels[depth].left == 0 {
			if l := levels[depth]; l.keys {
				if twice := duplicate(b, keys[l.first:]); twice != nil {
					return l.start, refuse("duplicate", "the map that ends before byte %d has the key %s twice", at, twice.show(b))
				}
				keys = keys[:l.first]
			}
			if depth == 0 {
				return at, nil
			}
			depth--
		}
		l := &levels[depth]
		isKey := l.keys && l.left%2 == 0
		l.left--
		h, err := readHead(b[at:])
		if err != nil {
			return at, err
		}
		start := at
		at += h.header
		switch h.kind {
		case kindString:
			at += int(h.size)
			if !utf8.Valid(b[at-int(h.size) : at]) {
				return start, refuse("format", "the text at byte %d is not UTF-8 (send bytes as bytes)", start)
			}
		case kindBytes, kindExt:
			at += int(h.size)
		case kindArray, kindMap:
			values := h.size
			if h.kind == kindMap {
				values *= 2
			}
			depth++
			levels[depth] = open{level{left: values, keys: h.kind == kindMap}, len(keys), start}
		}
		if isKey {
			keys = append(keys, keyAt(b, h, start, at))
		}
	}
}

// keyAt reads a key; the same number in two forms is the same key.
func keyAt(b []byte, h head, start, end int) mapKey {
	k := mapKey{kind: h.kind, start: start + h.header, end: end}
	if h.kind == kindString {
		return k
	}
	c := b[start]
	switch {
	case h.header == 1 && h.kind == kindUint:
		k.number = uint64(c)
	case h.header == 1:
		k.number = uint64(int64(int8(c)))
	default:
		k.number = readUint(b[start+1 : start+h.header])
		if h.kind == kindInt { // its bits say how wide it is
			shift := 64 - 8*(h.header-1)
			k.number = uint64(int64(k.number<<shift) >> shift)
		}
	}
	k.kind = kindUint
	if int64(k.number) < 0 && h.kind == kindInt {
		k.kind = kindInt
	}
	return k
}

func (k mapKey) compare(o mapKey, b []byte) int {
	if c := cmp.Compare(k.kind, o.kind); c != 0 {
		return c
	}
	if k.kind == kindString {
		return bytes.Compare(b[k.start:k.end], b[o.start:o.end])
	}
	return cmp.Compare(k.number, o.number)
}

func (k mapKey) show(b []byte) string {
	switch k.kind {
	case kindString:
		return Quote(string(b[k.start:k.end]))
	case kindInt:
		return strconv.FormatInt(int64(k.number), 10)
	}
	return strconv.FormatUint(k.number, 10)
}

// duplicate returns a key that is there twice. It leaves them in another order.
func duplicate(b []byte, keys []mapKey) *mapKey {
	if len(keys) <= 8 {
		for i := range keys {
			for j := range i {
				if keys[i].compare(keys[j], b) == 0 {
					return &keys[i]
				}
			}
		}
		return nil
	}
	slices.SortFunc(keys, func(x, y mapKey) int { return x.compare(y, b) })
	for i := 1; i < len(keys); i++ {
		if keys[i].compare(keys[i-1], b) == 0 {
			return &keys[i]
		}
	}
	return nil
}
