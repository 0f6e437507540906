package task

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"time"
)

// ErrNoKeys means that the file of trusted keys cannot be used at the moment. Nothing is
// believed then: jobs stay where they are until it can.
var ErrNoKeys = errors.New("task: trust: the keys cannot be read")

const (
	keysLook = time.Second // how often a file is looked at, at most
	maxKeys  = 1 << 20     // bytes of a file
)

// TrustFile takes the word of the keys in a JSON file:
//
//	{"keys": [
//	  {"key": "UA…", "name": "web", "realms": ["/plone/acl_users"]},
//	  {"key": "UB…", "name": "docs worker", "works": ["docs"], "into": ["mail"]},
//	  {"key": "UC…", "name": "old web", "anyone": true, "retired": "2026-12-01T00:00:00Z"}
//	]}
//
// The fields are those of [Key]. A changed file counts within a second or two, without a
// restart. While it is gone, cannot be read or is wrong, nothing is believed and no job is
// started, see [ErrNoKeys]; those that run go on. Replace it by renaming another over it. A
// file that everybody may write is refused, and one of more than 1 MiB.
func TrustFile(path string) *Keys { return &Keys{path: path} }

// current returns the keys as they are now.
func (k *Keys) current() (keyset, error) {
	if k.path == "" {
		return k.set, k.err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if now := time.Now(); k.checked.IsZero() || now.Sub(k.checked) >= keysLook {
		k.checked = now
		k.look()
	}
	return k.set, k.err
}

// look reads the file. Its bytes are compared, not its time and size: a file that is put in
// place of another may have both.
func (k *Keys) look() {
	text, err := readFile(k.path)
	if err == nil && k.err == nil && bytes.Equal(text, k.text) {
		return
	}
	var set keyset
	if err == nil {
		set, err = parseKeys(text)
	}
	if err != nil {
		k.set, k.text, k.err = nil, nil, fmt.Errorf("%w: %s: %w", ErrNoKeys, Quote(k.path), err)
		return
	}
	k.set, k.text, k.err = set, text, nil
}

// readFile opens nothing but a plain file: another could keep it waiting.
func readFile(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("it is no plain file")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	if info, err = f.Stat(); err != nil {
		return nil, err
	}
	if mode := info.Mode().Perm(); runtime.GOOS != "windows" && mode&0o002 != 0 {
		return nil, errors.New("it may be written by everybody (chmod o-w it)")
	}
	text, err := io.ReadAll(io.LimitReader(f, maxKeys+1))
	if err == nil && len(text) > maxKeys {
		err = fmt.Errorf("it has more than %d bytes (name realms, not single users)", maxKeys)
	}
	return text, err
}

func parseKeys(text []byte) (keyset, error) {
	var file struct {
		Keys []Key `json:"keys"`
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&file); err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows the keys")
	}
	if err := checkFields(json.NewDecoder(bytes.NewReader(text))); err != nil {
		return nil, err
	}
	return newKeyset(file.Keys)
}

// checkFields refuses what encoding/json takes: a field that comes twice, in whatever case,
// of which the last would count. What it reads has been decoded, so it is not deep.
func checkFields(d *json.Decoder) error {
	open, err := d.Token()
	if err != nil || open != json.Delim('{') && open != json.Delim('[') {
		return err
	}
	seen := map[string]bool{}
	for d.More() {
		if open == json.Delim('{') {
			token, err := d.Token()
			if err != nil {
				return err
			}
			name, _ := token.(string)
			if seen[strings.ToLower(name)] {
				return fmt.Errorf("field %s comes twice, before byte %d (join the two)", Quote(name), d.InputOffset())
			}
			seen[strings.ToLower(name)] = true
		}
		if err := checkFields(d); err != nil {
			return err
		}
	}
	_, err = d.Token()
	return err
}
