package task

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"runtime"
	"slices"
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
// The fields are those of [Key], by exactly these names and each once. A changed file counts within a second or two, without a
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
	if err == nil && k.set != nil && bytes.Equal(text, k.text) {
		return
	}
	var set keyset
	if err == nil {
		set, err = parseKeys(text)
	}
	if err != nil {
		k.set, k.text, k.err = nil, nil, fmt.Errorf("%w: %q: %w", ErrNoKeys, k.path, err)
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

// keyFields are the fields of a key, each with an example.
var keyFields = map[string]string{
	"key": `"UA…"`, "name": `"web"`, "users": `[{"realm": "/site", "id": "alice"}]`, "realms": `["/site"]`, "anonymous": "true", "anyone": "true",
	"queues": `["docs"]`, "works": `["docs"]`, "into": `["mail"]`, "retired": `"2026-12-01T00:00:00Z"`,
}

var (
	fileFields = map[string]string{"keys": `[{"key": "UA…", "name": "web", "realms": ["/site"]}]`}
	userFields = map[string]string{"realm": `"/site"`, "id": `"alice"`}
)

func parseKeys(text []byte) (keyset, error) {
	if len(bytes.TrimSpace(text)) == 0 {
		return nil, fmt.Errorf("it is empty (write it like %s)", like(fileFields, "keys"))
	}
	var whole json.RawMessage
	if err := json.Unmarshal(text, &whole); err != nil {
		line := 1
		if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
			line += bytes.Count(text[:min(int(syntax.Offset), len(text))], []byte("\n"))
		}
		return nil, fmt.Errorf("line %d: it is no file of trusted keys: %w (write it like %s)", line, err, like(fileFields, "keys"))
	}
	file, err := fieldsOf(whole, fileFields)
	if err != nil {
		return nil, err
	}
	var entries []json.RawMessage
	if list, is := file["keys"]; is && json.Unmarshal(list, &entries) != nil {
		return nil, unlike(fileFields, "keys")
	}
	keys := make([]Key, len(entries))
	for i, entry := range entries {
		if err := parseKey(entry, &keys[i]); err != nil {
			return nil, fmt.Errorf("key %d%s: %w", i+1, named(entry), err)
		}
	}
	return newKeyset(keys)
}

func parseKey(text []byte, k *Key) error {
	fields, err := fieldsOf(text, keyFields)
	if err != nil {
		return err
	}
	var users []json.RawMessage
	_ = json.Unmarshal(fields["users"], &users) // what is no list is told below
	for i, user := range users {
		if _, err := fieldsOf(user, userFields); err != nil {
			return fmt.Errorf("user %d: %w", i+1, err)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if json.Unmarshal(fmt.Appendf(nil, "{%q: %s}", name, fields[name]), k) != nil {
			return unlike(keyFields, name)
		}
	}
	return nil
}

// named is what to call a key beside its number.
func named(entry []byte) string {
	var k struct{ Name string }
	if _ = json.Unmarshal(entry, &k); k.Name == "" {
		return ""
	}
	return ", " + Quote(k.Name)
}

// fieldsOf reads an object whose fields have exactly the known names and come once each: encoding/json takes a name in
// any case, and of two the last.
func fieldsOf(text []byte, known map[string]string) (map[string]json.RawMessage, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	if open, err := d.Token(); err != nil || open != json.Delim('{') {
		name := slices.Sorted(maps.Keys(known))[0]
		return nil, fmt.Errorf("it is no JSON object (write it like %s)", like(known, name))
	}
	fields := map[string]json.RawMessage{}
	for d.More() {
		token, err := d.Token()
		if err != nil {
			return nil, err
		}
		name, _ := token.(string)
		if known[name] == "" {
			return nil, fmt.Errorf("field %s: there is none of that name (the fields are %s)", Quote(name), strings.Join(slices.Sorted(maps.Keys(known)), ", "))
		}
		if _, is := fields[name]; is {
			return nil, fmt.Errorf("field %s: it comes twice (join the two)", Quote(name))
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return nil, err
		}
		fields[name] = value
	}
	return fields, nil
}

func like(known map[string]string, name string) string {
	return fmt.Sprintf("{%q: %s}", name, known[name])
}

func unlike(known map[string]string, name string) error {
	return fmt.Errorf("field %q: it cannot be read (write it like %q: %s)", name, name, known[name])
}
