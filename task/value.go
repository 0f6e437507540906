package task

import "github.com/vmihailenco/msgpack/v5"

// Outcomes and failures are inputs and results too: of callbacks, and of batches.
// They look the same there as in a record.
var (
	_ msgpack.CustomEncoder = Outcome{}
	_ msgpack.CustomDecoder = (*Outcome)(nil)
	_ msgpack.CustomEncoder = Failure{}
	_ msgpack.CustomDecoder = (*Failure)(nil)
)

// EncodeMsgpack writes o as the map that records begin with.
func (o Outcome) EncodeMsgpack(enc *msgpack.Encoder) error {
	f := openFields(nil)
	f.outcome(&o)
	_, err := enc.Writer().Write(f.done())
	return err
}

// DecodeMsgpack reads what EncodeMsgpack writes.
func (o *Outcome) DecodeMsgpack(dec *msgpack.Decoder) error {
	f, err := rawFrame(dec)
	if err != nil {
		return err
	}
	*o = Outcome{}
	f.each(func(key string) uint { return o.field(f, key) })
	return f.err
}

// EncodeMsgpack writes f as it stands in a record.
func (f Failure) EncodeMsgpack(enc *msgpack.Encoder) error {
	_, err := enc.Writer().Write(f.append(nil))
	return err
}

// DecodeMsgpack reads what EncodeMsgpack writes.
func (f *Failure) DecodeMsgpack(dec *msgpack.Decoder) error {
	r, err := rawFrame(dec)
	if err != nil {
		return err
	}
	x := decodeFailure(r, maxCauses+1)
	if r.err != nil {
		return r.err
	}
	*f = *x
	return nil
}

func rawFrame(dec *msgpack.Decoder) (*frame, error) {
	raw, err := dec.DecodeRaw()
	if err != nil {
		return nil, err
	}
	return openFrame(raw, len(raw)) // whoever has the bytes has measured them
}
