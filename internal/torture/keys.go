package torture

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/nats-io/nkeys"

	"github.com/natsasync/natsasync/task"
)

const keyFile = "keys.json"

// writeKeys makes a key for workers and one for producers, and the file that says what they may do.
func writeKeys(dir string) error {
	workers, err := writeSeed(dir, "worker")
	if err != nil {
		return err
	}
	producers, err := writeSeed(dir, "producer")
	if err != nil {
		return err
	}
	text, err := json.Marshal(map[string]any{"keys": []task.Key{
		{Public: workers, Name: "workers", Works: []string{"*"}},
		{Public: producers, Name: "producers", Realms: []string{realm}},
	}})
	if err != nil {
		return fmt.Errorf("encode the keys: %w", err)
	}
	return os.WriteFile(filepath.Join(dir, keyFile), text, 0o600)
}

func writeSeed(dir, part string) (public string, err error) {
	pair, err := nkeys.CreateUser()
	if err != nil {
		return "", fmt.Errorf("make a key: %w", err)
	}
	seed, err := pair.Seed()
	if err != nil {
		return "", fmt.Errorf("make a key: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, part+".nk"), seed, 0o600); err != nil {
		return "", err
	}
	return pair.PublicKey()
}

// trust says whose word the process takes, and with what it signs itself.
func (r Role) trust() (task.Trust, *task.Signer, error) {
	if !r.Signed {
		return task.TrustBroker, nil, nil
	}
	signer, err := task.SignerFromFile(filepath.Join(r.Dir, r.Part+".nk"))
	return task.TrustFile(filepath.Join(r.Dir, keyFile)), signer, err
}
