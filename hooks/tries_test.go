package hooks_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nkeys"

	"github.com/natsasync/natsasync/hooks"
	"github.com/natsasync/natsasync/internal/stream"
	"github.com/natsasync/natsasync/task"
)

// The server counts a delivery for each second without keys; the handler saw none of them.
func TestWhatNoHandlerSawIsNoneOfItsTries(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("as many deliveries as tries take 5 s")
	}
	o, d := newOffice(t), newDesk()
	path := filepath.Join(t.TempDir(), "keys.json")
	keys := o.sign(t)
	must(t, os.WriteFile(path, keys, 0o600))
	trust := task.TrustFile(path)
	var log journal
	failed := false
	o.subscribe(t, hooks.Handlers{Success: func(_ context.Context, out task.Outcome) error {
		d <- out.ID
		if failed {
			return nil
		}
		failed = true
		return errors.New("the mail server is away")
	}}, hooks.Config{Durable: "mailer", Trust: trust, Logger: log.logger()})

	must(t, os.Remove(path))
	eventually(t, "the keys are missed", func() bool { return trust.Check() != nil })
	o.succeed(t, "J1", "J2")
	eventually(t, "J1 was delivered five times", func() bool { return len(log.lines("ERROR", "the keys cannot be read")) >= 5 })
	must(t, os.WriteFile(path, keys, 0o600))
	d.holds(t, "J1", "J1", "J2")
	d.isEmpty(t)
	if lines := log.lines("WARN", "id=J1", "try=1"); len(lines) != 1 {
		t.Errorf("%d warnings of a first try, want 1", len(lines))
	}
	if lines := log.lines("ERROR", "given up"); len(lines) != 0 {
		t.Errorf("an outcome was given up: %q", lines)
	}
}

// sign has the office sign its records from now on; it returns the file of trusted keys.
func (o *office) sign(t testing.TB) (keys []byte) {
	t.Helper()
	pair, err := nkeys.CreateUser()
	must(t, err)
	seed, err := pair.Seed()
	must(t, err)
	signer, err := task.NewSigner(seed)
	must(t, err)
	o.b, err = stream.Open(t.Context(), o.js, stream.Config{BindOnly: true, Signer: signer})
	must(t, err)
	keys, err = json.Marshal(map[string]any{"keys": []task.Key{{Public: signer.Public(), Works: []string{"*"}}}})
	must(t, err)
	return keys
}

// eventually waits until something is so.
func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !is(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not so after %v: %s", patience, what)
		}
	}
}
