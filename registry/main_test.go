package registry_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/natsasync/natsasync/registry"
	"github.com/natsasync/natsasync/task"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type folder struct{ path, name string }

type page struct{ title string }

type addArgs struct{ A, B int }

var (
	add    = task.Define[addArgs, int]("math.add")
	rename = task.Define[string, string]("doc.rename")
	touch  = task.Define[task.None, task.None]("doc.touch")
)

var alice = task.User{Realm: "/plone/acl_users", ID: "alice"}

// rights are the permissions that somebody has everywhere.
type rights []string

func (r rights) Can(_ context.Context, permission string, obj task.Object) error {
	for _, p := range r {
		if p == permission {
			return nil
		}
	}
	return fmt.Errorf("%q is not among %q: %w", permission, []string(r), task.ErrUnauthorized)
}

// can makes a principal of a function.
type can func(ctx context.Context, permission string, obj task.Object) error

func (c can) Can(ctx context.Context, permission string, obj task.Object) error {
	return c(ctx, permission, obj)
}

// everybody gives all users the same principal.
func everybody(p registry.Principal) func(context.Context, task.User) (registry.Principal, error) {
	return func(context.Context, task.User) (registry.Principal, error) { return p, nil }
}

func openFolder(ctx context.Context, obj task.Object) (*folder, error) {
	return &folder{path: string(obj), name: registry.PathValue(ctx, "path")}, nil
}

func sum(_ context.Context, _ task.Object, in addArgs) (int, error) { return in.A + in.B, nil }

func nothing(context.Context, task.Object, task.None) (task.None, error) { return task.None{}, nil }

func asAlice(t testing.TB) context.Context { return task.WithUser(t.Context(), alice) }

func encode(t testing.TB, v any) []byte {
	t.Helper()
	b, err := task.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// panics runs fn and returns what it panicked with.
func panics(t testing.TB, fn func()) (said string) {
	t.Helper()
	defer func() {
		t.Helper()
		said = fmt.Sprint(recover())
		if said == "<nil>" {
			t.Error("it did not panic")
		}
	}()
	fn()
	return ""
}

// mentions reports each part that a text does not have.
func mentions(t testing.TB, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("%q does not mention %q", text, part)
		}
	}
}
