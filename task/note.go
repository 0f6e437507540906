package task

// Notes is the progress and all notes of a job as they are stored. For workers and
// watchers.
type Notes struct {
	Progress float64
	Text     string
	Values   map[string][]byte
}

type notesFrame struct {
	Version  int               `msgpack:"v"`
	Progress float64           `msgpack:"pr"`
	Text     string            `msgpack:"tx"`
	Values   map[string][]byte `msgpack:"no"`
}

// sortedNotes is encoded like notesFrame, with its keys in order.
type sortedNotes struct {
	Version  int            `msgpack:"v"`
	Progress float64        `msgpack:"pr"`
	Text     string         `msgpack:"tx"`
	Values   map[string]any `msgpack:"no"`
}

// Encode returns the notes' bytes. The same notes give the same bytes.
func (n *Notes) Encode() ([]byte, error) {
	values := make(map[string]any, len(n.Values))
	for k, v := range n.Values {
		values[k] = v
	}
	return Marshal(sortedNotes{Version, n.Progress, n.Text, values})
}

// DecodeNotes measures, scans and decodes notes.
func DecodeNotes(b []byte) (*Notes, error) {
	if len(b) > 2*MaxNotes {
		return nil, refuse("too_large", "%d bytes are too many", len(b))
	}
	var w notesFrame
	if err := Unmarshal(b, &w); err != nil {
		return nil, err
	}
	if w.Version != Version {
		return nil, refuse("version", "version %d is unknown; this is version %d", w.Version, Version)
	}
	return &Notes{w.Progress, w.Text, w.Values}, nil
}
