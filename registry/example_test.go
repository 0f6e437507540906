package registry_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/natsasync/natsasync/registry"
	"github.com/natsasync/natsasync/task"
)

// greet would stand in a package that producers import too.
var greet = task.Define[string, string]("doc.greet")

// document is what paths below /plone are.
type document struct{ id string }

// editor may edit, and no more.
type editor struct{}

func (editor) Can(_ context.Context, permission string, _ task.Object) error {
	if permission == "Edit" {
		return nil
	}
	return task.ErrUnauthorized
}

func Example() {
	reg := registry.New()
	registry.Users(reg, func(_ context.Context, u task.User) (registry.Principal, error) {
		if u.ID == "alice" {
			return editor{}, nil
		}
		return nil, task.ErrNoSuchUser
	})
	registry.Objects(reg, "/plone/{id}", func(ctx context.Context, _ task.Object) (*document, error) {
		return &document{registry.PathValue(ctx, "id")}, nil
	})
	registry.Handle(reg, greet, func(ctx context.Context, d *document, greeting string) (string, error) {
		return fmt.Sprintf("%s, %s, from %s", greeting, d.id, task.UserFrom(ctx).ID), nil
	}, registry.Require("Edit"))

	// A worker does this for each attempt.
	input, err := task.Marshal("hello")
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, id := range []string{"alice", "mallory"} {
		ctx := task.WithUser(context.Background(), task.User{ID: id})
		value, err := reg.Run(ctx, "doc.greet", "/plone/front-page", input)
		if err != nil {
			fmt.Println(errors.Is(err, task.ErrNoSuchUser), err)
			continue
		}
		fmt.Println(task.Result[string](task.Outcome{End: task.Succeeded, Value: value}))
	}
	// Output:
	// hello, front-page, from alice <nil>
	// true registry: user "mallory": task: there is no such user
}

func ExampleRegistry_Use() {
	reg := registry.New()
	reg.Use(func(next registry.Run) registry.Run {
		return func(ctx context.Context) error {
			fmt.Println("before")
			err := next(ctx)
			fmt.Println("after:", err)
			return err
		}
	})
	registry.Handle(reg, greet, func(_ context.Context, _ task.Object, greeting string) (string, error) {
		fmt.Println(greeting)
		return greeting, nil
	})
	input, err := task.Marshal("hello")
	if err != nil {
		fmt.Println(err)
		return
	}
	if _, err := reg.Run(context.Background(), "doc.greet", "", input); err != nil {
		fmt.Println(err)
	}
	// Output:
	// before
	// hello
	// after: <nil>
}
