package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/natsasync/natsasync/task"
)

// maxInput is more JSON than fits into an envelope as msgpack.
const maxInput = 8 * task.MaxEnvelope

// readInput reads the JSON of an --input flag: the text itself, @FILE, or - for stdin. It returns msgpack.
func readInput(flag string, stdin io.Reader) ([]byte, error) {
	name, text := "--input", []byte(flag)
	var err error
	switch {
	case flag == "-":
		name = "stdin"
		text, err = readBounded(stdin)
	case strings.HasPrefix(flag, "@"):
		name = flag[1:]
		text, err = readFile(name)
	}
	if err != nil {
		return nil, misuse("reading the input from %s: %w", name, err)
	}
	in := input{name: name, text: text, dec: json.NewDecoder(bytes.NewReader(text))}
	in.dec.UseNumber()
	value, err := in.whole()
	if err != nil {
		return nil, usageError{err}
	}
	b, err := task.MarshalWithin(value, task.MaxEnvelope)
	if err != nil {
		return nil, misuse("encoding the input: %w", err)
	}
	return b, nil
}

func readFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	return readBounded(f)
}

func readBounded(r io.Reader) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxInput+1))
	if err == nil && len(b) > maxInput {
		return nil, fmt.Errorf("it has more than %d bytes (put it into an object store and queue its name)", maxInput)
	}
	return b, err
}

// input is a JSON text that is read strictly: one value, no key twice, no number that loses digits.
type input struct {
	name  string
	text  []byte
	dec   *json.Decoder
	start int // of the token read last
}

func (in *input) whole() (any, error) {
	if len(bytes.TrimSpace(in.text)) == 0 {
		return nil, in.wrong(0, "it is empty (leave --input out for a task without input)")
	}
	if at := invalidUTF8(in.text); at >= 0 {
		return nil, in.wrong(at, "it is no UTF-8")
	}
	var all json.RawMessage
	if err := json.Unmarshal(in.text, &all); err != nil {
		at := len(in.text)
		if wrong, ok := errors.AsType[*json.SyntaxError](err); ok && !strings.HasPrefix(wrong.Error(), "unexpected end") {
			at = int(wrong.Offset) - 1
		}
		return nil, in.wrong(at, "%w", err)
	}
	if at := loneSurrogate(in.text); at >= 0 {
		return nil, in.wrong(at, "%s is half a character (a pair of them is one)", in.text[at:at+6])
	}
	return in.value(0)
}

func (in *input) value(depth int) (any, error) {
	token, err := in.token()
	if err != nil {
		return nil, err
	}
	switch v := token.(type) {
	case json.Delim:
		if depth == task.MaxDepth {
			return nil, in.wrong(in.start, "it is nested deeper than %d", task.MaxDepth)
		}
		if v == '[' {
			return in.list(depth)
		}
		return in.object(depth)
	case json.Number:
		return in.number(v.String())
	}
	return token, nil
}

func (in *input) list(depth int) (any, error) {
	values := []any{}
	for in.dec.More() {
		v, err := in.value(depth + 1)
		if err != nil {
			return nil, err
		}
		values = append(values, v)
	}
	_, err := in.token()
	return values, err
}

func (in *input) object(depth int) (any, error) {
	fields := map[string]any{}
	for in.dec.More() {
		token, err := in.token()
		if err != nil {
			return nil, err
		}
		key, _ := token.(string)
		if _, twice := fields[key]; twice {
			return nil, in.wrong(in.start, "the key %s is there twice", task.Quote(key))
		}
		if fields[key], err = in.value(depth + 1); err != nil {
			return nil, err
		}
	}
	_, err := in.token()
	return fields, err
}

func (in *input) number(text string) (any, error) {
	if !strings.ContainsAny(text, ".eE") {
		if n, err := strconv.ParseInt(text, 10, 64); err == nil {
			return n, nil
		}
		if n, err := strconv.ParseUint(text, 10, 64); err == nil {
			return n, nil
		}
		return nil, in.wrong(in.start, "the integer %s does not fit into 64 bits (write it as a string)", task.Quote(text))
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsInf(f, 0) {
		return nil, in.wrong(in.start, "the number %s is out of range", task.Quote(text))
	}
	return f, nil
}

// token reads on and remembers where the token begins.
func (in *input) token() (json.Token, error) {
	in.start = int(in.dec.InputOffset())
	in.start += len(in.text[in.start:]) - len(bytes.TrimLeft(in.text[in.start:], " \t\r\n,:"))
	return in.dec.Token()
}

func (in *input) wrong(at int, format string, args ...any) error {
	before := in.text[:min(at, len(in.text))]
	line := bytes.Count(before, []byte("\n")) + 1
	column := utf8.RuneCount(before[bytes.LastIndexByte(before, '\n')+1:]) + 1
	return fmt.Errorf("%s:%d:%d: "+format, append([]any{in.name, line, column}, args...)...)
}

func invalidUTF8(text []byte) int {
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRune(text[i:])
		if r == utf8.RuneError && size == 1 {
			return i
		}
		i += size
	}
	return -1
}

// loneSurrogate finds an escape like \ud800 without its other half, which encoding/json would change to U+FFFD. text
// is JSON.
func loneSurrogate(text []byte) int {
	for i := 0; i < len(text); i++ {
		if text[i] != '\\' {
			continue
		}
		first := escaped(text[i:])
		switch {
		case !utf16.IsSurrogate(first):
			i++
		case utf16.DecodeRune(first, escaped(text[i+6:])) == unicode.ReplacementChar:
			return i
		default:
			i += 11
		}
	}
	return -1
}

// escaped is the character of an escape like \u00e4 at the start of text, -1 if there is none.
func escaped(text []byte) rune {
	if len(text) < 6 || text[0] != '\\' || text[1] != 'u' {
		return -1
	}
	n, err := strconv.ParseUint(string(text[2:6]), 16, 16)
	if err != nil {
		return -1
	}
	return rune(n)
}
