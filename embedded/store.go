package embedded

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/gofrs/flock"
)

const (
	lockFile   = "natsasync.lock"
	streamsDir = "jetstream" // the server's own name for it
	nodePrefix = "node-"
)

// store is the directory of one server for as long as the server has it.
type store struct {
	dir  string
	lock *flock.Flock // nil for a temporary directory
}

func openStore(dir string) (*store, error) {
	if dir == "" {
		return temporaryStore()
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("embedded: store directory %q: finding it: %w", dir, err)
	}
	if err := os.MkdirAll(abs, 0o750); err != nil {
		return nil, fmt.Errorf("embedded: store directory %q: making it: %w", dir, err)
	}
	lock := flock.New(filepath.Join(abs, lockFile))
	locked, err := lock.TryLock()
	if err != nil {
		return nil, fmt.Errorf("embedded: store directory %q: locking it: %w", dir, err)
	}
	if !locked {
		return nil, fmt.Errorf("embedded: store directory %q: another server is using it (shut that one down, or give this one a StoreDir of its own)", dir)
	}
	return &store{dir: abs, lock: lock}, nil
}

func temporaryStore() (*store, error) {
	dir, err := os.MkdirTemp("", "natsasync-")
	if err != nil {
		return nil, fmt.Errorf("embedded: making a temporary store directory: %w", err)
	}
	return &store{dir: dir}, nil
}

func (s *store) close() error {
	if s.lock == nil {
		if err := os.RemoveAll(s.dir); err != nil {
			return fmt.Errorf("embedded: removing the temporary store directory: %w", err)
		}
		return nil
	}
	if err := s.lock.Unlock(); err != nil {
		return fmt.Errorf("embedded: store directory %q: unlocking it: %w", s.dir, err)
	}
	return nil
}

// checkSingle refuses a directory that holds a cluster: its streams would look
// as if they were gone.
func checkSingle(dir string) error {
	size, err := clusterSize(dir)
	if err != nil {
		return err
	}
	if size > 0 {
		return fmt.Errorf("embedded: store directory %q: holds a cluster of %d (use StartCluster(%[2]d, …), or another StoreDir)", dir, size)
	}
	return nil
}

// checkCluster refuses a directory that holds anything but a cluster of n: the
// server deletes the streams of a node that changes between alone and clustered.
func checkCluster(dir string, n int) error {
	size, err := clusterSize(dir)
	if err != nil {
		return err
	}
	if size > 0 && size != n {
		return fmt.Errorf("embedded: store directory %q: holds a cluster of %d, not of %d (use StartCluster(%[2]d, …), or another StoreDir)", dir, size, n)
	}
	if size == 0 && exists(filepath.Join(dir, streamsDir)) {
		return fmt.Errorf("embedded: store directory %q: holds a single server (use Start, or another StoreDir)", dir)
	}
	return nil
}

// clusterSize is the highest number of a node's directory below dir, 0 without any.
func clusterSize(dir string) (int, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("embedded: store directory %q: reading it: %w", dir, err)
	}
	size := 0
	for _, entry := range entries {
		number, ok := strings.CutPrefix(entry.Name(), nodePrefix)
		if !ok || !entry.IsDir() {
			continue
		}
		if i, err := strconv.Atoi(number); err == nil {
			size = max(size, i)
		}
	}
	return size, nil
}

func nodeDir(dir string, i int) string {
	if dir == "" {
		return ""
	}
	return filepath.Join(dir, nodePrefix+strconv.Itoa(i))
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
