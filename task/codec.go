package task

import (
	"bytes"
	"fmt"
	"math"
	"sync"

	"github.com/vmihailenco/msgpack/v5"
)

// Marshal encodes a value as it travels: msgpack, structs as maps by field name or
// `msgpack:"…"` tag, integers as short as they are, keys in order for maps
// from string to string, bool or any. What it returns can be read: a value that [Scan]
// refuses is an error, a [*WireError] with the path to what is wrong, and so is one that
// contains itself.
func Marshal(v any) ([]byte, error) { return MarshalWithin(v, math.MaxInt) }

// MarshalWithin is Marshal that gives up with [ErrTooLarge] before it has made more than
// most bytes.
func MarshalWithin(v any, most int) ([]byte, error) {
	if err := look(v, most); err != nil {
		return nil, err
	}
	b, err := encode(v, most)
	if err != nil {
		return nil, err
	}
	if err := Scan(b); err != nil {
		return nil, err
	}
	return b, nil
}

func encode(v any, most int) ([]byte, error) {
	buf := buffers.Get().(*bounded)
	defer buf.free()
	buf.Reset()
	buf.most = most
	enc := msgpack.GetEncoder()
	defer msgpack.PutEncoder(enc)
	enc.Reset(buf)
	enc.UseCompactInts(true)
	enc.SetSortMapKeys(true)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.Clone(buf.Bytes()), nil
}

var buffers = sync.Pool{New: func() any { return new(bounded) }}

// bounded is a buffer that takes so many bytes and no more.
type bounded struct {
	bytes.Buffer
	most int
}

func (b *bounded) Write(p []byte) (int, error) {
	if b.Len()+len(p) > b.most {
		return 0, b.overflow(len(p))
	}
	return b.Buffer.Write(p)
}

func (b *bounded) WriteByte(c byte) error {
	if b.Len() >= b.most {
		return b.overflow(1)
	}
	return b.Buffer.WriteByte(c)
}

func (b *bounded) overflow(more int) error {
	return tooLarge(fmt.Sprintf("it has at least %d bytes, at most %d are allowed (put it into an object store and pass its name)", b.Len()+more, b.most))
}

// free keeps the buffer for another value, unless it has become large.
func (b *bounded) free() {
	if b.Cap() <= 4*MaxEnvelope {
		buffers.Put(b)
	}
}

// Unmarshal decodes one value and nothing after it. It scans the bytes first, see
// [Scan], and holds them against the type of v: a field that it does not know is an error, so
// that a value meant for another version is not taken for what it is not, and so is a
// number that it does not hold exactly, or more memory than 32 MiB beyond eight times the
// bytes. Errors are a [*WireError] with the path to what is wrong.
//
// As msgpack/v5 has it, nil is the zero value of any type but a time, a field that is not there is zero,
// an empty list is the zero structure, a text may fill bytes, bytes in UTF-8 a text, and a
// shorter list leaves the rest of an array.
func Unmarshal(b []byte, v any) error {
	if err := Scan(b); err != nil {
		return err
	}
	unknown, err := fit(b, v)
	if err != nil {
		return err
	}
	dec := msgpack.GetDecoder()
	defer msgpack.PutDecoder(dec)
	dec.Reset(bytes.NewReader(b))
	dec.DisallowUnknownFields(true)
	switch err := dec.Decode(v); {
	case err == nil:
		return nil
	case unknown > 0:
		return within(refuse("unknown", "%T has no such field", v), pathTo(b, unknown))
	default:
		return fmt.Errorf("decode: %w", err)
	}
}
