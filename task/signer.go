package task

import (
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"time"

	"github.com/nats-io/nkeys"
)

// Signer signs what a producer queues and what a worker records, with an Ed25519 nkey.
// Make it with [NewSigner] or [SignerFromFile]. It never shows its seed, and is safe for
// concurrent use.
type Signer struct {
	public string
	key    ed25519.PrivateKey
}

// NewSigner makes a Signer of an nkey seed, as "nsc", "nk" and "natsasync auth key" make
// them. A user's own login to NATS will do. The caller may wipe the seed afterwards.
func NewSigner(seed []byte) (*Signer, error) {
	kind, raw, err := nkeys.DecodeSeed(seed)
	if err != nil {
		return nil, fmt.Errorf("task: signer: this is no nkey seed (it begins with S): %w", err)
	}
	key := ed25519.NewKeyFromSeed(raw)
	public, err := nkeys.Encode(kind, key.Public().(ed25519.PublicKey))
	if err != nil {
		return nil, fmt.Errorf("task: signer: %w", err)
	}
	return &Signer{public: string(public), key: key}, nil
}

// SignerFromFile reads the seed in a file of its own, or in a creds file of NATS. A file
// that others than its owner may read is refused.
func SignerFromFile(path string) (*Signer, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("task: signer: %w", err)
	}
	if info.Size() > 64<<10 {
		return nil, fmt.Errorf("task: signer: %q has %d bytes: it is neither a seed nor a creds file", path, info.Size())
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("task: signer: %w", err)
	}
	pair, err := nkeys.ParseDecoratedNKey(text)
	if err != nil {
		return nil, fmt.Errorf("task: signer: %q: %w (give a file that \"natsasync auth key\" has made, or a creds file of NATS)", path, err)
	}
	defer pair.Wipe()
	if mode := info.Mode().Perm(); runtime.GOOS != "windows" && mode&0o077 != 0 {
		return nil, fmt.Errorf("task: signer: %q holds a private key and has mode %#o (chmod 600 it)", path, mode)
	}
	seed, err := pair.Seed()
	if err != nil {
		return nil, fmt.Errorf("task: signer: %q: %w", path, err)
	}
	return NewSigner(seed)
}

// Public returns the public key, as it stands in [Key].
func (s *Signer) Public() string { return s.public }

// String returns the public key.
func (s *Signer) String() string { return s.public }

// GoString returns the public key.
func (s *Signer) GoString() string { return "task.Signer(" + s.public + ")" }

// Sign returns the header [HeaderSignature] for a message that is stored at about the
// time at. origin is the header [HeaderOrigin] beside it, "" for a job of this signer's
// own. For producers and workers.
func (s *Signer) Sign(installation, subject, origin string, body []byte, at time.Time) string {
	micros := strconv.FormatInt(max(at.UnixMicro(), 0), 10)
	sig := ed25519.Sign(s.key, statement(installation, subject, micros, hashOf(body), origin))
	b := make([]byte, 0, len(s.public)+len(micros)+96)
	b = append(append(b, s.public...), ' ')
	b = append(append(b, micros...), ' ')
	return string(base64.RawURLEncoding.AppendEncode(b, sig))
}
