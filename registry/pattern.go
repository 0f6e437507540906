package registry

import (
	"fmt"
	"slices"
	"strings"

	"github.com/natsasync/natsasync/task"
)

// pattern is a path with wildcards.
type pattern struct {
	text  string
	parts []part
}

// part is a literal, or a wildcard if it has a name; rest is the one of the end.
type part struct {
	literal, name string
	rest          bool
}

func (p pattern) String() string { return task.Quote(p.text) }

func parsePattern(text string) (pattern, error) {
	p := pattern{text: text}
	bad := func(why string) (pattern, error) {
		return pattern{}, fmt.Errorf("pattern %s: %s", task.Quote(text), why)
	}
	if !strings.HasPrefix(text, "/") {
		return bad(`patterns begin with a slash (like "/plone/{path...}")`)
	}
	if text == "/" {
		return p, nil
	}
	plain := ""
	for s := range strings.SplitSeq(text[1:], "/") {
		if len(p.parts) > 0 && p.parts[len(p.parts)-1].rest {
			return bad("{name...} stands at the end only")
		}
		if !strings.ContainsAny(s, "{}") {
			p.parts = append(p.parts, part{literal: s})
			plain += "/" + s
			continue
		}
		name, ok := strings.CutPrefix(s, "{")
		name, closed := strings.CutSuffix(name, "}")
		name, rest := strings.CutSuffix(name, "...")
		if !ok || !closed || !isWildcard(name) {
			return bad("a wildcard is a whole part, {name} or {name...}, named by letters, digits and _")
		}
		if slices.ContainsFunc(p.parts, func(o part) bool { return o.name == name }) {
			return bad(fmt.Sprintf("two wildcards are named %s (rename one)", name))
		}
		p.parts = append(p.parts, part{name: name, rest: rest})
		plain += "/x"
	}
	if _, err := task.ParseObject(plain); err != nil {
		return bad("it matches no path: " + err.Error())
	}
	return p, nil
}

func isWildcard(name string) bool {
	for i, c := range name {
		letter := c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return name != ""
}

// split takes the first part off a path that has lost its first slash.
func split(path string) (first, rest string, more bool) {
	if path == "" {
		return "", "", false
	}
	first, rest, _ = strings.Cut(path, "/")
	return first, rest, true
}

func (p pattern) matches(path task.Object) bool {
	left, ok := strings.CutPrefix(string(path), "/")
	if !ok {
		return false
	}
	for i := range p.parts {
		if p.parts[i].rest {
			return true
		}
		first, rest, more := split(left)
		if !more || p.parts[i].name == "" && p.parts[i].literal != first {
			return false
		}
		left = rest
	}
	return left == ""
}

// value returns what a wildcard stands for in a path that p matches.
func (p pattern) value(path task.Object, name string) string {
	left := strings.TrimPrefix(string(path), "/")
	for i := range p.parts {
		if p.parts[i].rest && p.parts[i].name == name {
			return left
		}
		first, rest, _ := split(left)
		if p.parts[i].name == name && name != "" {
			return first
		}
		left = rest
	}
	return ""
}

// rank orders parts by how specific they are; the end of a pattern is rank 0.
func (p pattern) rank(i int) int {
	switch {
	case i == len(p.parts):
		return 0
	case p.parts[i].rest:
		return 3
	case p.parts[i].name != "":
		return 2
	}
	return 1
}

// order sorts patterns so that of those that match a path the most specific is first. It
// is 0 for patterns that match the same paths.
func order(p, q pattern) int {
	for i := 0; ; i++ {
		x, y := p.rank(i), q.rank(i)
		if x != y {
			return x - y
		}
		if x == 0 || x == 3 {
			return 0
		}
		if c := strings.Compare(p.parts[i].literal, q.parts[i].literal); c != 0 {
			return c
		}
	}
}

// quarrel says whether some path fits both and neither is more specific: each is
// wider than the other somewhere.
func quarrel(p, q pattern) bool {
	var pWider, qWider bool
	for i := 0; ; i++ {
		x, y := p.rank(i), q.rank(i)
		switch {
		case x == 3 || y == 3:
			pWider = pWider || x > y && y > 0
			qWider = qWider || y > x && x > 0
			return pWider && qWider
		case x == 0 && y == 0:
			return pWider && qWider
		case x == 0 || y == 0:
			return false
		case x == 1 && y == 1 && p.parts[i].literal != q.parts[i].literal:
			return false
		}
		pWider = pWider || x > y
		qWider = qWider || y > x
	}
}
