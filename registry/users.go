package registry

import (
	"context"
	"fmt"

	"github.com/natsasync/natsasync/task"
)

// Principal is a user's rights at the time of an attempt.
type Principal interface {
	// Can says whether the user has a permission on an object, "" for none: nil, or
	// an error that wraps task.ErrUnauthorized. Any error but those of "What errors
	// mean" in the package's text is taken for a directory that is down. It is asked
	// each time.
	Can(ctx context.Context, permission string, obj task.Object) error
}

type directory struct {
	place  string
	lookUp func(context.Context, task.User) (Principal, error)
}

// Users says who users are: fn is called for each attempt, for the anonymous user too,
// and returns the rights of now. It returns [task.ErrNoSuchUser] if the user is gone:
// the job fails with it. A nil Principal has no rights. Any error but those of
// "What errors mean" in the package's text is taken for a directory that is down. Users
// panics the second time.
func Users(r *Registry, fn func(context.Context, task.User) (Principal, error)) {
	at := place(1)
	r.change(at, func() {
		if fn == nil {
			panic(fmt.Sprintf("registry: users at %s: the function is nil", at))
		}
		if r.users != nil {
			panic(fmt.Sprintf("registry: users at %s: they are registered already, at %s (leave one out)", at, r.users.place))
		}
		r.users = &directory{place: at, lookUp: fn}
	})
}

// Check says whether the user that ctx works for has a permission on an object now: nil,
// or an error that wraps the answer of the attempt's [Principal], like
// [task.ErrUnauthorized], or [ErrUnavailable] if it cannot tell. It asks each time. Outside an attempt, and
// without [Users], nobody has any right.
func Check(ctx context.Context, permission string, obj task.Object) error {
	p := PrincipalFrom(ctx)
	if p == nil {
		return refused(permission, obj, task.ErrUnauthorized)
	}
	err := p.Can(ctx, permission, obj)
	if err == nil {
		return nil
	}
	return refused(permission, obj, err)
}

// PrincipalFrom returns the principal that [Users] made for the attempt of ctx, nil
// outside an attempt and if there is none.
func PrincipalFrom(ctx context.Context) Principal {
	c := callFrom(ctx)
	if c == nil {
		return nil
	}
	return c.principal
}

func refused(permission string, obj task.Object, err error) error {
	return fromDirectory("permission "+task.Quote(permission)+" on object", string(obj), err)
}

func (r *Registry) principal(ctx context.Context) (Principal, error) {
	if r.users == nil {
		return nil, nil
	}
	u := task.UserFrom(ctx)
	p, err := r.users.lookUp(ctx, u)
	if err != nil {
		return nil, fromDirectory("user", u.String(), err)
	}
	return p, nil
}

func checkAll(ctx context.Context, permissions []string, obj task.Object) error {
	for _, permission := range permissions {
		if err := Check(ctx, permission, obj); err != nil {
			return err
		}
	}
	return nil
}
