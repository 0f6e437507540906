package task

import (
	"context"
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// User is whoever queued a job. Realm says in which directory ID is known, like
// "/plone/acl_users". ID must stay with one person for ever: a login name that may
// later be given to somebody else is a bad ID. Rights are not part of it: they are
// looked up when the job runs. The zero User is anonymous, which means no rights.
type User struct {
	Realm string `msgpack:"r" json:"realm,omitempty"`
	ID    string `msgpack:"i" json:"id"`
}

// Anonymous says whether u is nobody.
func (u User) Anonymous() bool { return u == User{} }

// String shows u as realm and ID, "anonymous" for the zero User.
func (u User) String() string {
	switch {
	case u.Anonymous():
		return "anonymous"
	case u.Realm == "":
		return u.ID
	}
	return u.Realm + ":" + u.ID
}

// Owner is u as one token of a subject: the first 16 characters of the lower-case
// base32 of SHA-256(realm, 0, id), "anon" for the anonymous user.
func (u User) Owner() string {
	if u.Anonymous() {
		return anonymousOwner
	}
	var in [2*MaxUser + 1]byte
	b := append(in[:0], u.Realm...)
	b = append(b, 0)
	b = append(b, u.ID...)
	sum := sha256.Sum256(b)
	var out [ownerLength]byte
	owners.Encode(out[:], sum[:10])
	return string(out[:])
}

const (
	anonymousOwner = "anon"
	ownerLength    = 16
	ownerLetters   = "abcdefghijklmnopqrstuvwxyz234567"
)

var owners = base32.NewEncoding(ownerLetters).WithPadding(base32.NoPadding)

// CheckOwner says whether token is one that [User.Owner] makes.
func CheckOwner(token string) error {
	if token == anonymousOwner || len(token) == ownerLength && all(token, isOwner) {
		return nil
	}
	return fmt.Errorf("owner %s: it is %q, or %d characters of a-z and 2-7", Quote(token), anonymousOwner, ownerLength)
}

func isOwner(c byte) bool { return c >= 'a' && c <= 'z' || c >= '2' && c <= '7' }

// Check says whether a job can be queued for u: realm and ID are UTF-8 without characters
// that are not seen, of at most [MaxUser] bytes each, and who has a realm has an ID.
func (u User) Check() error { return u.check() }

func (u User) check() error {
	for _, f := range [...]struct{ field, value string }{{"user realm", u.Realm}, {"user id", u.ID}} {
		if len(f.value) > MaxUser {
			return fmt.Errorf("%s %s: %d bytes are too many (at most %d)", f.field, Quote(f.value), len(f.value), MaxUser)
		}
		if !utf8.ValidString(f.value) || strings.ContainsFunc(f.value, invisible) {
			return fmt.Errorf("%s %s: it must be UTF-8 without control, format and line separator characters", f.field, Quote(f.value))
		}
	}
	if u.ID == "" && u.Realm != "" {
		return fmt.Errorf("user id \"\": a user of realm %s needs an ID (use task.User{} for the anonymous user)", Quote(u.Realm))
	}
	return nil
}

// invisible says whether r could make one name look like another, turn the text around it, or
// begin a line of a log: controls, format characters, and the separators U+2028 and U+2029.
func invisible(r rune) bool { return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp) }

type userKey struct{}

// WithUser returns a context whose jobs are queued for u. Applications call it once,
// in middleware, with the user that they have authenticated. In a handler the
// job's own user is there already.
func WithUser(ctx context.Context, u User) context.Context {
	return context.WithValue(ctx, userKey{}, u)
}

// UserFrom returns the user of ctx, the anonymous one if there is none.
func UserFrom(ctx context.Context) User {
	u, _ := ctx.Value(userKey{}).(User)
	return u
}
