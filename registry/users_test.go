package registry_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/natsasync/natsasync/registry"
	"github.com/natsasync/natsasync/task"
)

var errDown = errors.New("connection refused")

// office is a registry of one task on folders. The zero value lets everybody do all.
type office struct {
	users   func(context.Context, task.User) (registry.Principal, error)
	objects func(context.Context, task.Object) (*folder, error)
	noUsers bool
}

func (o office) run(t testing.TB, ctx context.Context, obj task.Object) (ran bool, err error) {
	t.Helper()
	if o.users == nil {
		o.users = everybody(rights{"View", "Edit"})
	}
	if o.objects == nil {
		o.objects = openFolder
	}
	reg := registry.New()
	if !o.noUsers {
		registry.Users(reg, o.users)
	}
	registry.Objects(reg, "/plone/{path...}", o.objects, registry.Require("View"))
	registry.Handle(reg, touch, func(context.Context, *folder, task.None) (task.None, error) {
		ran = true
		return task.None{}, nil
	}, registry.Require("Edit"))
	_, err = reg.Run(ctx, "doc.touch", obj, nil)
	return ran, err
}

func TestEveryAttemptAsksForTheRightsOfNow(t *testing.T) {
	t.Parallel()
	var asked []task.User
	now := rights{"Edit"}
	reg := registry.New()
	registry.Users(reg, func(_ context.Context, u task.User) (registry.Principal, error) {
		asked = append(asked, u)
		return now, nil
	})
	registry.Handle(reg, touch, nothing, registry.Require("Edit"))

	if _, err := reg.Run(asAlice(t), "doc.touch", "/a", nil); err != nil {
		t.Errorf("with the right: %v", err)
	}
	now = nil
	if _, err := reg.Run(asAlice(t), "doc.touch", "/a", nil); !errors.Is(err, task.ErrUnauthorized) {
		t.Errorf("after the right was taken: error %v, want unauthorized", err)
	}
	if _, err := reg.Run(t.Context(), "doc.touch", "/a", nil); !errors.Is(err, task.ErrUnauthorized) {
		t.Errorf("the anonymous user: error %v, want unauthorized", err)
	}
	if diff := cmp.Diff([]task.User{alice, alice, {}}, asked); diff != "" {
		t.Errorf("who was asked for (-want +got):\n%s", diff)
	}
}

func TestAllThatIsRequiredIsNeeded(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		has  rights
		want error
	}{
		{rights{"View", "Edit"}, nil},
		{rights{"View"}, task.ErrUnauthorized},
		{rights{"Edit"}, task.ErrNoSuchObject},
		{rights{}, task.ErrNoSuchObject},
	} {
		ran, err := office{users: everybody(c.has)}.run(t, asAlice(t), "/plone/a")
		if !errors.Is(err, c.want) || ran != (c.want == nil) {
			t.Errorf("with %q: ran %v, error %v; want %v", []string(c.has), ran, err, c.want)
		}
	}

	reg := registry.New()
	registry.Users(reg, everybody(rights{"Edit"}))
	registry.Handle(reg, touch, nothing, registry.Require("Edit"), registry.Require("Publish"))
	_, err := reg.Run(asAlice(t), "doc.touch", "/a", nil)
	if !errors.Is(err, task.ErrUnauthorized) {
		t.Fatalf("with one of two: error %v, want unauthorized", err)
	}
	mentions(t, err.Error(), `"Publish"`, `"/a"`)
}

func TestAbsentAndInvisibleAreTheSameError(t *testing.T) {
	t.Parallel()
	gone := func(context.Context, task.Object) (*folder, error) {
		return nil, fmt.Errorf("row 7 is not there: %w", task.ErrNoSuchObject)
	}
	denied := func(ctx context.Context, _ task.Object) (*folder, error) {
		return nil, registry.Check(ctx, "Delete", "/plone/a")
	}
	null := func(context.Context, task.Object) (*folder, error) { return nil, nil }
	texts := map[string]bool{}
	for _, o := range []office{
		{objects: gone},
		{objects: denied},
		{objects: null},
		{users: everybody(rights{"Edit"})},
		{users: everybody(nil)},
		{noUsers: true},
	} {
		ran, err := o.run(t, asAlice(t), "/plone/a")
		if !errors.Is(err, task.ErrNoSuchObject) || errors.Is(err, task.ErrUnauthorized) || errors.Is(err, registry.ErrUnavailable) || ran {
			t.Errorf("ran %v, error %v; want no such object and nothing else", ran, err)
			continue
		}
		texts[err.Error()] = true
		texts[task.FailureOf(err).Code] = true
	}
	if len(texts) != 2 {
		t.Errorf("the errors can be told apart: %v", texts)
	}
}

func TestAUserWhoIsGoneFailsTheJob(t *testing.T) {
	t.Parallel()
	ran, err := office{users: func(context.Context, task.User) (registry.Principal, error) {
		return nil, fmt.Errorf("deleted last week: %w", task.ErrNoSuchUser)
	}}.run(t, asAlice(t), "/plone/a")
	if !errors.Is(err, task.ErrNoSuchUser) || errors.Is(err, registry.ErrUnavailable) || ran {
		t.Fatalf("ran %v, error %v; want no such user", ran, err)
	}
	mentions(t, err.Error(), "alice", "deleted last week")
}

func TestADirectoryThatIsDownIsNoFailure(t *testing.T) {
	t.Parallel()
	down := can(func(context.Context, string, task.Object) error { return errDown })
	half := can(func(_ context.Context, permission string, _ task.Object) error {
		if permission == "View" {
			return nil
		}
		return errDown
	})
	for story, o := range map[string]office{
		"users":                   {users: func(context.Context, task.User) (registry.Principal, error) { return nil, errDown }},
		"objects":                 {objects: func(context.Context, task.Object) (*folder, error) { return nil, errDown }},
		"rights to see an object": {users: everybody(down)},
		"rights to run a task":    {users: everybody(half)},
		"rights inside objects": {users: everybody(down), objects: func(ctx context.Context, obj task.Object) (*folder, error) {
			return nil, registry.Check(ctx, "Delete", obj)
		}},
	} {
		ran, err := o.run(t, asAlice(t), "/plone/a")
		if !errors.Is(err, registry.ErrUnavailable) || !errors.Is(err, errDown) || ran {
			t.Errorf("%s: ran %v, error %v; want unavailable", story, ran, err)
		}
	}
}

func TestAnAttemptThatIsCancelledWhileTheDirectoryIsAskedSaysSo(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(asAlice(t))
	_, err := office{users: func(ctx context.Context, _ task.User) (registry.Principal, error) {
		cancel()
		return nil, ctx.Err()
	}}.run(t, ctx, "/plone/a")
	if !errors.Is(err, registry.ErrUnavailable) || !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want unavailable and cancelled", err)
	}
}

func TestWithoutUsersNobodyHasRightsAndTasksWithoutRequireRun(t *testing.T) {
	t.Parallel()
	reg := registry.New()
	registry.Handle(reg, touch, nothing)
	registry.Handle(reg, add, sum, registry.Require("Add"))
	if _, err := reg.Run(asAlice(t), "doc.touch", "/a", nil); err != nil {
		t.Errorf("a task that requires nothing: %v", err)
	}
	if _, err := reg.Run(asAlice(t), "math.add", "/a", encode(t, addArgs{})); !errors.Is(err, task.ErrUnauthorized) {
		t.Errorf("a task that requires something: error %v, want unauthorized", err)
	}
}

func TestPermissionsOnAPathAreAskedForThatPath(t *testing.T) {
	t.Parallel()
	var asked []string
	reg := registry.New()
	registry.Users(reg, everybody(can(func(ctx context.Context, permission string, obj task.Object) error {
		asked = append(asked, fmt.Sprintf("%v %s %s", task.UserFrom(ctx).ID, permission, obj))
		return nil
	})))
	registry.Handle(reg, touch, func(ctx context.Context, obj task.Object, _ task.None) (task.None, error) {
		return task.None{}, registry.Check(ctx, "Submit", obj+"/sub")
	}, registry.Require("Edit"))
	if _, err := reg.Run(asAlice(t), "doc.touch", "/a", nil); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"alice Edit /a", "alice Submit /a/sub"}, asked); diff != "" {
		t.Errorf("what was asked (-want +got):\n%s", diff)
	}
}

func TestCheckAsksLiveAndRefusesOutsideAnAttempt(t *testing.T) {
	t.Parallel()
	if err := registry.Check(asAlice(t), "View", "/a"); !errors.Is(err, task.ErrUnauthorized) {
		t.Errorf("outside an attempt: error %v, want unauthorized", err)
	}
	answer := error(nil)
	reg := registry.New()
	registry.Users(reg, everybody(can(func(context.Context, string, task.Object) error { return answer })))
	registry.Handle(reg, touch, func(ctx context.Context, obj task.Object, _ task.None) (task.None, error) {
		for _, c := range []struct{ answer, want error }{
			{nil, nil},
			{fmt.Errorf("not yours: %w", task.ErrUnauthorized), task.ErrUnauthorized},
			{errDown, registry.ErrUnavailable},
			{nil, nil},
		} {
			answer = c.answer
			if err := registry.Check(ctx, "View", obj); !errors.Is(err, c.want) {
				t.Errorf("the answer %v is %v, want %v", c.answer, err, c.want)
			}
		}
		return task.None{}, nil
	})
	if _, err := reg.Run(asAlice(t), "doc.touch", "/a", nil); err != nil {
		t.Fatal(err)
	}
}

func TestNoPrincipalHasNoRights(t *testing.T) {
	t.Parallel()
	reg := registry.New()
	registry.Users(reg, everybody(nil))
	registry.Handle(reg, touch, func(ctx context.Context, obj task.Object, _ task.None) (task.None, error) {
		if p := registry.PrincipalFrom(ctx); p != nil {
			t.Errorf("the principal is %v, want none", p)
		}
		return task.None{}, registry.Check(ctx, "View", obj)
	})
	if _, err := reg.Run(asAlice(t), "doc.touch", "/a", nil); !errors.Is(err, task.ErrUnauthorized) {
		t.Errorf("error %v, want unauthorized", err)
	}
}

func TestTheFunctionGetsThePrincipalOfItsAttempt(t *testing.T) {
	t.Parallel()
	reg := registry.New()
	registry.Users(reg, func(_ context.Context, u task.User) (registry.Principal, error) { return rights{u.ID}, nil })
	registry.Handle(reg, touch, func(ctx context.Context, _ task.Object, _ task.None) (task.None, error) {
		if diff := cmp.Diff(registry.Principal(rights{"alice"}), registry.PrincipalFrom(ctx)); diff != "" {
			t.Errorf("principal (-want +got):\n%s", diff)
		}
		return task.None{}, nil
	})
	if _, err := reg.Run(asAlice(t), "doc.touch", "/a", nil); err != nil {
		t.Fatal(err)
	}
	if p := registry.PrincipalFrom(asAlice(t)); p != nil {
		t.Errorf("outside an attempt the principal is %v", p)
	}
}
