package task

import (
	"strconv"
	"strings"
)

// within says in which part of a value err is; the outer parts are told last.
func within(err error, part string) error {
	if w, ok := err.(*WireError); ok {
		w.Path = part + w.Path
	}
	return err
}

func inField(name string) string { return string(appendField(nil, name)) }

func appendField(path []byte, name string) []byte {
	if name != "" && len(name) <= MaxName && all(name, isPlain) {
		return append(append(path, '.'), name...)
	}
	return append(append(append(path, '['), Quote(name)...), ']')
}

func inItem(i int) string { return "[" + strconv.Itoa(i) + "]" }

func isPlain(c byte) bool { return isID(c) && c != '-' }

// shortPath keeps the begin of a path, at most about 64 bytes of whole parts.
func shortPath(path string) string {
	const most = 64
	if len(path) <= most {
		return path
	}
	cut := strings.LastIndexAny(path[:most], ".[")
	if cut <= 0 {
		return Quote(path)
	}
	return path[:cut] + "…"
}

// crumb is a container on the way to a place: which of its values is read, and where its key
// is.
type crumb struct {
	level
	values uint64
	key    int
}

// pathTo is the path to the value that begins at at, which is where a scan of b stopped: all
// before it is good.
func pathTo(b []byte, at int) string {
	var way [MaxDepth + 2]crumb
	way[0] = crumb{level: level{left: 1}}
	depth := 0
	for pos := 0; ; {
		for way[depth].left == 0 {
			if depth == 0 {
				return ""
			}
			depth--
		}
		c := &way[depth]
		isKey := c.keys && c.left%2 == 0
		c.left--
		if pos >= at {
			if isKey {
				depth--
			}
			return follow(b, way[1:max(depth, 0)+1])
		}
		h, err := readHead(b[pos:])
		if err != nil {
			return ""
		}
		if isKey {
			c.key = pos
		}
		pos += h.header
		switch h.kind {
		case kindString, kindBytes, kindExt:
			pos += int(h.size)
		case kindArray, kindMap:
			values := h.size
			if h.kind == kindMap {
				values *= 2
			}
			depth++
			way[depth] = crumb{level{values, h.kind == kindMap}, values, 0}
		}
	}
}

func follow(b []byte, way []crumb) string {
	path := make([]byte, 0, 128)
	for _, c := range way {
		if !c.keys {
			path = append(strconv.AppendUint(append(path, '['), c.values-c.left-1, 10), ']')
			continue
		}
		path = appendKey(path, b, c.key)
	}
	return string(path)
}

// appendKey adds the part of a path that the key at at begins.
func appendKey(path, b []byte, at int) []byte {
	h, err := readHead(b[at:])
	switch {
	case err != nil:
		return path
	case h.isInteger():
		return append(append(append(path, '['), readNumber(b[at:], h).String()...), ']')
	}
	at += h.header
	return appendField(path, string(b[at:at+int(h.size)]))
}
