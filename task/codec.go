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
// [Scan], and then decodes strictly: a field that v does not know is an error, so that
// a value meant for another version is not taken for what it is not, and a number that
// does not fit its type is one too, never cut. As msgpack/v5 has it, nil is the zero value
// of any type, a text may fill bytes and bytes a text, and a shorter array leaves the rest.
func Unmarshal(b []byte, v any) error {
	if err := Scan(b); err != nil {
		return err
	}
	dec := msgpack.GetDecoder()
	defer msgpack.PutDecoder(dec)
	dec.Reset(bytes.NewReader(b))
	dec.DisallowUnknownFields(true)
	if err := dec.Decode(v); err != nil {
		return fmt.Errorf("decode: %w", err)
	}
	return checkNumbers(b, v)
}
