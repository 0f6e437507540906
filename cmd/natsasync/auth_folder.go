package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/nats-io/nkeys"

	"github.com/natsasync/natsasync/internal/access"
	"github.com/natsasync/natsasync/task"
)

// folder is where a setup lies. What is to be there is collected first, and then written.
type folder struct {
	dir   string
	files map[string]file
}

// configName is the server's configuration.
const configName = "accounts.conf"

type file struct {
	text []byte
	mode os.FileMode
}

// openFolder takes an empty folder, one that is not there, or that of an earlier setup.
func openFolder(dir string) (*folder, error) {
	there, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("look into the folder: %w", err)
	}
	known := func(e os.DirEntry) bool { return e.Name() == configName }
	if len(there) > 0 && !slices.ContainsFunc(there, known) {
		return nil, fmt.Errorf("folder %s: it is not empty, and holds no earlier setup (choose another)", task.Quote(dir))
	}
	return &folder{dir: dir, files: make(map[string]file)}, nil
}

func (f *folder) public(name string, text []byte)  { f.files[name] = file{text, 0o644} }
func (f *folder) private(name string, text []byte) { f.files[name] = file{text, 0o600} }

// key returns a login's key: the one that is there, or a new one.
func (f *folder) key(name string) (public string, seed []byte, err error) {
	if seed, err = f.seed(name + ".nk"); err != nil {
		return "", nil, err
	}
	if seed == nil {
		if public, seed, err = newKey(); err == nil {
			f.private(name+".nk", append(slices.Clone(seed), '\n'))
		}
		return public, seed, err
	}
	s, err := task.NewSigner(seed)
	if err != nil {
		return "", nil, fmt.Errorf("file %s: %w", task.Quote(filepath.Join(f.dir, name+".nk")), err)
	}
	return s.Public(), seed, nil
}

// seed reads a seed that is there, nil if it is not.
func (f *folder) seed(name string) ([]byte, error) {
	text, err := os.ReadFile(filepath.Join(f.dir, name))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the key: %w", err)
	}
	pair, err := nkeys.ParseDecoratedNKey(text)
	if err != nil {
		return nil, fmt.Errorf("file %s: it is there and holds no seed (move it away): %w", task.Quote(filepath.Join(f.dir, name)), err)
	}
	return pair.Seed()
}

// tokens makes the setup in the form of JWTs, and returns the server's configuration.
func (f *folder) tokens(setup access.Setup, seeds map[string][]byte) (string, error) {
	known := map[string][]byte{}
	for _, name := range setup.Signers() {
		seed, err := f.seed(signerFile(name))
		if err != nil {
			return "", err
		}
		if seed != nil {
			known[name] = seed
		}
	}
	earlier, err := os.ReadFile(filepath.Join(f.dir, configName))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("read the earlier setup: %w", err)
	}
	tokens, err := setup.Tokens(seeds, known, string(earlier))
	if err != nil {
		return "", err
	}
	for name, text := range tokens.Creds {
		f.private(name+".creds", text)
	}
	for name, seed := range tokens.Seeds {
		f.private(signerFile(name), append(slices.Clone(seed), '\n'))
	}
	return tokens.Config, nil
}

// signerFile is where the seed of the operator or of an account lies.
func signerFile(name string) string {
	if name == access.SignerOperator {
		return "operator.nk"
	}
	return name + ".account.nk"
}

// former is a login of an earlier setup that this one does not have.
type former struct {
	Name    string `json:"name"`
	File    string `json:"file"`
	Trusted bool   `json:"trusted"` // its word still counts
}

func (l former) text() string {
	text := fmt.Sprintf("login %s: it is none of this setup, and cannot log in after a reload (give its flag again to keep it); %s stays", task.Quote(l.Name), l.File)
	if l.Trusted {
		text += `, and keys.json trusts it (take it out there, or set "retired")`
	}
	return text
}

// formers are the logins whose keys are in the folder and that no flag has named. keys are those that are trusted.
func (f *folder) formers(actors map[string]*actor, keys []task.Key) ([]former, error) {
	files, err := os.ReadDir(f.dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("look into the folder: %w", err)
	}
	var all []former
	for _, file := range files {
		name, isKey := strings.CutSuffix(file.Name(), ".nk")
		if !isKey || actors[name] != nil {
			continue
		}
		seed, err := f.seed(file.Name())
		if err != nil {
			return nil, err
		}
		s, err := task.NewSigner(seed)
		if err != nil || !nkeys.IsValidPublicUserKey(s.Public()) {
			continue // it signs accounts, and logs nobody in
		}
		trusted := slices.ContainsFunc(keys, func(k task.Key) bool { return k.Public == s.Public() && k.Retired.IsZero() })
		all = append(all, former{name, filepath.Join(f.dir, file.Name()), trusted})
	}
	return all, nil
}

// trust adds the file of trusted keys: those of the setup, and others that are in the file already. It returns all.
func (f *folder) trust(keys []task.Key) ([]task.Key, error) {
	const name = "keys.json"
	old, err := os.ReadFile(filepath.Join(f.dir, name))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("read the trusted keys: %w", err)
	}
	var there struct{ Keys []task.Key }
	if len(old) > 0 {
		err := task.TrustFile(filepath.Join(f.dir, name)).Check()
		if err == nil {
			err = json.Unmarshal(old, &there)
		}
		if err != nil {
			return nil, fmt.Errorf("%w (mend it or move it away)", err)
		}
	}
	for _, k := range there.Keys {
		if !slices.ContainsFunc(keys, func(own task.Key) bool { return own.Public == k.Public }) {
			keys = append(keys, k)
		}
	}
	if len(keys) == 0 {
		return nil, nil
	}
	text, err := json.MarshalIndent(map[string]any{"keys": keys}, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode the keys: %w", err)
	}
	f.public(name, append(text, '\n'))
	return keys, nil
}

// write puts each file in its place whole: a server or a worker may be reading it.
func (f *folder) write() error {
	if err := os.MkdirAll(f.dir, 0o700); err != nil {
		return fmt.Errorf("make the folder: %w", err)
	}
	for _, name := range slices.Sorted(maps.Keys(f.files)) {
		path := filepath.Join(f.dir, name)
		if err := os.WriteFile(path+".new", f.files[name].text, f.files[name].mode); err != nil {
			return fmt.Errorf("write the setup: %w", err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			return fmt.Errorf("write the setup: %w", err)
		}
	}
	return nil
}
