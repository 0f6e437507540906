package task_test

import (
	"crypto/sha256"
	"encoding/base32"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/natsasync/natsasync/task"
)

// The tokens were computed by another program: printf 'realm\0id' | sha256sum, base32.
func TestOwnersStayAsTheyWere(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		user task.User
		want string
	}{
		{task.User{}, "anon"},
		{task.User{Realm: "/plone/acl_users", ID: "alice"}, "e24jdy6rvneugqda"},
		{task.User{Realm: "/plone/acl_users", ID: "bob"}, "edd3qv5n6tpfdzbi"},
		{task.User{ID: "alice"}, "cjk5vsvgg73qznqg"},
		{task.User{ID: "Zoë"}, "pferkvlshi6czlav"},
	} {
		if got := test.user.Owner(); got != test.want {
			t.Errorf("owner of %v is %q, want %q", test.user, got, test.want)
		}
	}
}

func TestOwnersAreOneTokenOfTheHash(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		u := task.User{Realm: rapid.StringN(0, 300, -1).Draw(t, "realm"), ID: rapid.StringN(1, 300, -1).Draw(t, "id")}
		sum := sha256.Sum256([]byte(u.Realm + "\x00" + u.ID))
		if got, want := u.Owner(), strings.ToLower(base32.StdEncoding.EncodeToString(sum[:]))[:16]; got != want {
			t.Fatalf("owner of %v is %q, want %q", u, got, want)
		}
		if err := task.CheckToken("owner", u.Owner()); err != nil {
			t.Fatal(err)
		}
	})
}

func TestRealmAndIDDoNotRunTogether(t *testing.T) {
	t.Parallel()
	if (task.User{Realm: "a", ID: "bc"}).Owner() == (task.User{Realm: "ab", ID: "c"}).Owner() {
		t.Error("two users share an owner token")
	}
}

func TestUsersShowThemselves(t *testing.T) {
	t.Parallel()
	for want, u := range map[string]task.User{"anonymous": {}, "alice": {ID: "alice"}, "ldap:alice": {Realm: "ldap", ID: "alice"}} {
		if got := u.String(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// Rows 26 and 78 of the bad inputs: a user is one line, and looks like no other.
func TestUsersHaveNoCharactersThatAreNotSeen(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"\x00", "\n", "\r", "\x1b[31m", "\x7f", "\u0085", "\u200B", "\u200F", "\u2028", "\u2029", "\u202E", "\u2066", "\uFEFF", "\xff"} {
		for field, u := range map[string]task.User{"user id": {ID: "ali" + bad + "ce"}, "user realm": {Realm: "/a" + bad, ID: "alice"}} {
			err := u.Check()
			if err == nil || !strings.HasPrefix(err.Error(), field) || strings.Contains(err.Error(), bad) {
				t.Errorf("%q: %v", u, err)
			}
			if _, err := add.On("", addArgs{}).Spec().Seal(task.Sealing{User: u, Now: monday}); err == nil {
				t.Errorf("%q queues", u)
			}
		}
	}
	for _, good := range []task.User{{}, alice, {ID: "Zoë"}, {Realm: "/plone/acl_users", ID: "a b@c: 李"}} {
		if err := good.Check(); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
}

func TestTheUserTravelsInTheContext(t *testing.T) {
	t.Parallel()
	if u := task.UserFrom(t.Context()); !u.Anonymous() {
		t.Errorf("a context without a user has %v", u)
	}
	ctx := task.WithUser(t.Context(), alice)
	if u := task.UserFrom(ctx); u != alice {
		t.Errorf("%v, want %v", u, alice)
	}
	if u := task.UserFrom(task.WithUser(ctx, task.User{})); !u.Anonymous() {
		t.Errorf("nobody became %v", u)
	}
}
