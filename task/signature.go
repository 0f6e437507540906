package task

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"strconv"
	"strings"
	"time"
)

// Headers that prove who a message is from.
const (
	// HeaderSignature is "<public key> <time> <signature>": an nkey, microseconds since
	// 1970, and base64 for URLs without padding.
	HeaderSignature = "Async-Signature"
	// HeaderOrigin is what a worker shows beside its own signature: the job that a
	// producer signed and that its message comes of, as "<public key> <time> <signature>
	// <hash of the body> <subject>".
	HeaderOrigin = "Async-Origin"
)

const (
	// MaxSkew is how long after the time in its signature a record may have been stored, and
	// how long before it anything may.
	MaxSkew = 10 * time.Minute
	// MaxLate is how long after the time in its signature, or after it was due, a job may have
	// been stored: a connection or a server may be down so long. What comes later may be a
	// replay: outcomes are kept a day longer. Of a job with [Keep] it is half of that.
	MaxLate = 7 * 24 * time.Hour

	maxSignature = 512
	maxOrigin    = 2 << 10
)

// signature is the parsed form of both headers; hash and subject are an origin's.
type signature struct {
	key     string
	micros  string
	at      time.Time
	sig     []byte
	hash    string
	subject string
}

// statement is what is signed. The origin is "" for what a producer signs.
func statement(installation, subject, micros, hash, origin string) []byte {
	b := make([]byte, 0, 192+len(subject)+len(origin))
	b = append(b, "natsasync 1"...)
	for _, part := range [...]string{installation, subject, micros, hash, origin} {
		b = append(append(b, '\n'), part...)
	}
	return b
}

func hashOf(body []byte) string {
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:])
}

// parseSignature reads a header of n parts.
func parseSignature(field, text string, n, most int) (signature, error) {
	if len(text) > most {
		return signature{}, refuse("signature", "header %s has %d bytes (at most %d)", field, len(text), most)
	}
	parts := strings.Split(text, " ")
	if len(parts) != n {
		return signature{}, refuse("signature", "header %s has %d parts, not %d", field, len(parts), n)
	}
	s := signature{key: parts[0], micros: parts[1]}
	at, err := strconv.ParseUint(s.micros, 10, 53)
	if err != nil || strconv.FormatUint(at, 10) != s.micros {
		return signature{}, refuse("signature", "header %s: the time %s is no number of microseconds", field, Quote(s.micros))
	}
	s.at = time.UnixMicro(int64(at))
	if s.sig, err = base64.RawURLEncoding.Strict().DecodeString(parts[2]); err != nil || len(s.sig) != ed25519.SignatureSize {
		return signature{}, refuse("signature", "header %s: the signature is not %d bytes in base64 for URLs without padding", field, ed25519.SignatureSize)
	}
	if n > 3 {
		s.hash, s.subject = parts[3], parts[4]
		if len(s.hash) != 2*sha256.Size || s.subject == "" {
			return signature{}, refuse("signature", "header %s: it has no hash, or no subject", field)
		}
	}
	return s, nil
}

// ownerOf returns the owner token of a job's subject, "" if it is none.
func ownerOf(subject string) string {
	tokens := strings.SplitN(subject, ".", 6)
	if len(tokens) < 6 || tokens[1] != "job" {
		return ""
	}
	return tokens[4]
}
