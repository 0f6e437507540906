package task

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// WireError is why bytes from the wire were refused. Code is stable: "empty",
// "truncated", "trailing", "depth", "format", "ext", "key", "type", "missing",
// "unknown", "duplicate", "range", "version", "name", "members", "subject", "too_large".
type WireError struct {
	Code    string
	Path    string // where in a value it is, like .Parts[3].Name; "" for the whole
	Message string

	later bool
}

// Error returns path and message.
func (e *WireError) Error() string {
	if e.Path == "" {
		return "task: wire: " + e.Message
	}
	return "task: wire: " + shortPath(e.Path) + ": " + e.Message
}

// WireCode is the code of the [*WireError] in err, "format" if there is none.
func WireCode(err error) string {
	if w, ok := errors.AsType[*WireError](err); ok {
		return w.Code
	}
	return "format"
}

// Later says whether bytes were refused because a later version of this package has made
// them: that one can read them. For workers.
func Later(err error) bool {
	w, ok := errors.AsType[*WireError](err)
	return ok && w.later
}

func refuse(code, format string, args ...any) error {
	return &WireError{Code: code, Message: fmt.Sprintf(format, args...)}
}

// kind is what a msgpack value is, as far as the frame needs to know.
type kind uint8

const (
	kindNil kind = iota
	kindBool
	kindInt
	kindUint
	kindFloat
	kindString
	kindBytes
	kindArray
	kindMap
	kindExt
)

// head is the first bytes of a value: what it is, how long its header is, and how
// much follows: bytes for strings, bytes and extensions, values for arrays and maps.
type head struct {
	kind   kind
	header int
	size   uint64
}

// readHead reads the header at the start of b. It allocates nothing.
func readHead(b []byte) (head, error) {
	if len(b) == 0 {
		return head{}, refuse("truncated", "the value ends early")
	}
	c := b[0]
	switch {
	case c <= 0x7f:
		return head{kindUint, 1, 0}, nil
	case c <= 0x8f:
		return head{kindMap, 1, uint64(c & 0x0f)}, nil
	case c <= 0x9f:
		return head{kindArray, 1, uint64(c & 0x0f)}, nil
	case c <= 0xbf:
		return head{kindString, 1, uint64(c & 0x1f)}, nil
	case c >= 0xe0:
		return head{kindInt, 1, 0}, nil
	}
	form := forms[c-0xc0]
	if form.width < 0 {
		return head{}, refuse("format", "byte 0x%x is no msgpack", c)
	}
	h := head{kind: form.kind, header: 1 + form.width + form.extra, size: form.fixed}
	if len(b) < h.header {
		return head{}, refuse("truncated", "the value ends within a header")
	}
	if form.fixed == 0 && form.kind >= kindString {
		h.size = readUint(b[1 : 1+form.width])
	}
	return h, nil
}

// form describes the codes 0xc0 to 0xdf: how wide the number after the code is, how
// many bytes of the header follow it, and the size if the code fixes it.
type form struct {
	kind         kind
	width, extra int
	fixed        uint64
}

var forms = [32]form{
	0x00: {kindNil, 0, 0, 0},
	0x01: {kindNil, -1, 0, 0},
	0x02: {kindBool, 0, 0, 0}, 0x03: {kindBool, 0, 0, 0},
	0x04: {kindBytes, 1, 0, 0}, 0x05: {kindBytes, 2, 0, 0}, 0x06: {kindBytes, 4, 0, 0},
	0x07: {kindExt, 1, 1, 0}, 0x08: {kindExt, 2, 1, 0}, 0x09: {kindExt, 4, 1, 0},
	0x0a: {kindFloat, 4, 0, 0}, 0x0b: {kindFloat, 8, 0, 0},
	0x0c: {kindUint, 1, 0, 0}, 0x0d: {kindUint, 2, 0, 0}, 0x0e: {kindUint, 4, 0, 0}, 0x0f: {kindUint, 8, 0, 0},
	0x10: {kindInt, 1, 0, 0}, 0x11: {kindInt, 2, 0, 0}, 0x12: {kindInt, 4, 0, 0}, 0x13: {kindInt, 8, 0, 0},
	0x14: {kindExt, 0, 1, 1}, 0x15: {kindExt, 0, 1, 2}, 0x16: {kindExt, 0, 1, 4}, 0x17: {kindExt, 0, 1, 8}, 0x18: {kindExt, 0, 1, 16},
	0x19: {kindString, 1, 0, 0}, 0x1a: {kindString, 2, 0, 0}, 0x1b: {kindString, 4, 0, 0},
	0x1c: {kindArray, 2, 0, 0}, 0x1d: {kindArray, 4, 0, 0},
	0x1e: {kindMap, 2, 0, 0}, 0x1f: {kindMap, 4, 0, 0},
}

func readUint(b []byte) uint64 {
	switch len(b) {
	case 1:
		return uint64(b[0])
	case 2:
		return uint64(binary.BigEndian.Uint16(b))
	case 4:
		return uint64(binary.BigEndian.Uint32(b))
	case 8:
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

// Scan checks that b is exactly one msgpack value that is safe to decode: nested at
// most [MaxDepth] deep, every declared length there, map keys that can be keys and come
// once, texts in UTF-8, no extension but msgpack's own timestamp, nothing after it. It uses
// no recursion, and memory for the keys of large maps alone, however the bytes are made: msgpack/v5 by
// itself asks for 64 GiB when shown five bytes, and overflows the stack on nested arrays.
func Scan(b []byte) error {
	at, err := scanFrame(b)
	if err == nil {
		at, err = checkTexts(b)
	}
	if w, ok := err.(*WireError); ok && len(b) > 0 {
		w.Path = pathTo(b, at)
	}
	return err
}

// scanFrame is Scan for bytes whose reader looks at texts, and for keys that come twice,
// itself. It returns where it stopped.
func scanFrame(b []byte) (at int, err error) {
	if len(b) == 0 {
		return 0, refuse("empty", "there are no bytes")
	}
	size, err := scanValue(b)
	if err != nil {
		return size, err
	}
	if size < len(b) {
		return 0, refuse("trailing", "%d bytes follow the value", len(b)-size)
	}
	return size, nil
}

// level is a container that is being scanned: how many values are still to come, and
// whether every other one is a key.
type level struct {
	left uint64
	keys bool
}

// scanValue returns the size of the value at the start of b, or where it is wrong.
func scanValue(b []byte) (int, error) {
	var levels [MaxDepth + 1]level
	levels[0] = level{left: 1}
	depth, at := 0, 0
	for {
		for levels[depth].left == 0 {
			if depth == 0 {
				return at, nil
			}
			depth--
		}
		l := &levels[depth]
		key := l.keys && l.left%2 == 0
		l.left--
		h, err := readHead(b[at:])
		if err != nil {
			return at, err
		}
		start := at
		if key && h.kind != kindString && h.kind != kindInt && h.kind != kindUint {
			return at, refuse("key", "the key at byte %d is neither a string nor an integer", at)
		}
		at += h.header
		left := uint64(len(b) - at)
		switch h.kind {
		case kindString, kindBytes, kindExt:
			if h.size > left {
				return start, refuse("truncated", "byte %d declares %d bytes, %d are left", at, h.size, left)
			}
			if h.kind == kindExt && (b[at-1] != 0xff || h.size != 4 && h.size != 8 && h.size != 12) {
				return start, refuse("ext", "the extension at byte %d is not a timestamp", at)
			}
			at += int(h.size)
		case kindArray, kindMap:
			values := h.size
			if h.kind == kindMap {
				values *= 2
			}
			if values > left {
				return start, refuse("truncated", "byte %d declares %d values, %d bytes are left", at, values, left)
			}
			if depth == MaxDepth {
				return start, refuse("depth", "values are nested deeper than %d", MaxDepth)
			}
			depth++
			levels[depth] = level{left: values, keys: h.kind == kindMap}
		}
	}
}
