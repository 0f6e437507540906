package task

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"time"
)

// ErrNoKeys means that the file of trusted keys cannot be used at the moment. Nothing is
// believed then: jobs stay where they are until it can.
var ErrNoKeys = errors.New("task: trust: the keys cannot be read")

const (
	keysLook = time.Second // how often a file is looked at, at most
	maxKeys  = 16 << 20    // bytes of a file
)

// stamp tells one version of a file from the next.
type stamp struct {
	mod  time.Time
	size int64
}

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
// started, see [ErrNoKeys]: replace it by renaming another over it. A file that everybody
// may write is refused.
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

// look reads the file if it has changed, or if there was trouble with it.
func (k *Keys) look() {
	now, err := stampOf(k.path)
	if err == nil && now == k.stamp && k.err == nil {
		return
	}
	var set keyset
	if err == nil {
		set, err = readKeys(k.path)
	}
	k.stamp, k.set, k.err = now, set, nil
	if err != nil {
		k.set, k.err = nil, fmt.Errorf("%w: %w", ErrNoKeys, err)
	}
}

func stampOf(path string) (stamp, error) {
	info, err := os.Stat(path)
	if err != nil {
		return stamp{}, err
	}
	if mode := info.Mode().Perm(); runtime.GOOS != "windows" && mode&0o002 != 0 {
		return stamp{}, fmt.Errorf("%s may be written by everybody (chmod o-w it)", Quote(path))
	}
	if info.Size() > maxKeys {
		return stamp{}, fmt.Errorf("%s has %d bytes (at most %d)", Quote(path), info.Size(), maxKeys)
	}
	return stamp{info.ModTime(), info.Size()}, nil
}

func readKeys(path string) (keyset, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var file struct {
		Keys []Key `json:"keys"`
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&file); err != nil {
		return nil, fmt.Errorf("%s: %w", Quote(path), err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: something follows the keys", Quote(path))
	}
	set, err := newKeyset(file.Keys)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", Quote(path), err)
	}
	return set, nil
}
