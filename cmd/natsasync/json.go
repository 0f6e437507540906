package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"unicode/utf16"
	"unicode/utf8"
)

// writeJSON prints v over several lines.
func (t *terminal) writeJSON(v any) error { return t.encode(v, "  ") }

// writeJSONLine prints v on one line.
func (t *terminal) writeJSONLine(v any) error { return t.encode(v, "") }

func (t *terminal) encode(v any, indent string) error {
	text, err := formatJSON(v, indent)
	if err != nil {
		return err
	}
	_, err = t.out.Write(text)
	return err
}

func formatJSON(v any, indent string) ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", indent)
	if err := enc.Encode(v); err != nil {
		return nil, fmt.Errorf("encoding JSON: %w", err)
	}
	return escapeJSON(buf.Bytes()), nil
}

// escapeJSON makes a JSON text printable. What is not printable and no ASCII control character, which JSON escapes
// anyway, stands within strings alone.
func escapeJSON(b []byte) []byte {
	out := make([]byte, 0, len(b))
	for i := 0; i < len(b); {
		r, size := utf8.DecodeRune(b[i:])
		switch {
		case r < 0x20 || !hidden(r):
			out = append(out, b[i:i+size]...)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			out = fmt.Appendf(out, `\u%04x\u%04x`, high, low)
		default:
			out = fmt.Appendf(out, `\u%04x`, r)
		}
		i += size
	}
	return out
}
