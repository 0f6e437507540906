// Command casbin asks a Casbin policy what the user of a job may do, each time that a job starts.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/casbin/casbin/v2"
	"github.com/casbin/casbin/v2/model"

	"github.com/natsasync/natsasync/examples/internal/site"
	"github.com/natsasync/natsasync/producer"
	"github.com/natsasync/natsasync/registry"
	"github.com/natsasync/natsasync/task"
)

// Roles are given on a folder and hold for what lies under it.
const policyModel = `
[request_definition]
r = sub, obj, act
[policy_definition]
p = role, act
[role_definition]
g = _, _, _
[policy_effect]
e = some(where (p.eft == allow))
[matchers]
m = g(r.sub, p.role, r.obj) && r.act == p.act
`

var publish = task.Define[string, string]("doc.publish")

// principal is a user as the policy knows them.
type principal struct {
	enforcer *casbin.SyncedEnforcer
	id       string
}

// Can asks the policy of now.
func (p principal) Can(_ context.Context, permission string, obj task.Object) error {
	ok, err := p.enforcer.Enforce(p.id, string(obj), permission)
	switch {
	case err != nil:
		return err // the policy cannot be read: the job waits, and is not refused
	case !ok:
		return task.ErrUnauthorized
	}
	return nil
}

func main() {
	if err := site.Run(play); err != nil {
		log.Fatal(err)
	}
}

func play(ctx context.Context, s *site.Site) error {
	m, err := model.NewModelFromString(policyModel)
	if err != nil {
		return err
	}
	policy, err := casbin.NewSyncedEnforcer(m)
	if err != nil {
		return err
	}
	if _, err := policy.AddPolicy("editor", "Publish"); err != nil {
		return err
	}
	if _, err := policy.AddGroupingPolicy("alice", "editor", "/plone/news"); err != nil {
		return err
	}

	reg := registry.New()
	registry.Users(reg, func(_ context.Context, u task.User) (registry.Principal, error) {
		known, err := policy.GetRolesForUser(u.ID, "/plone/news")
		if err != nil {
			return nil, err
		}
		if len(known) == 0 && u.ID != "bob" {
			return nil, task.ErrNoSuchUser
		}
		return principal{policy, u.ID}, nil
	})
	registry.Handle(reg, publish, func(ctx context.Context, at task.Object, title string) (string, error) {
		return fmt.Sprintf("%s published %q at %s", task.UserFrom(ctx).ID, title, at), nil
	}, registry.Require("Publish"))
	if err := s.Work(ctx, reg); err != nil {
		return err
	}

	tell := func(who string, at task.Object) error {
		job, err := producer.Enqueue(task.WithUser(ctx, task.User{ID: who}), s.Client, publish.On(at, "Snow"))
		if err != nil {
			return err
		}
		out, err := job.Wait(ctx)
		var failed *task.Failure
		if errors.As(err, &failed) {
			fmt.Printf("%s at %s: %s\n", who, at, failed.Code)
			return nil
		}
		fmt.Println(out)
		return err
	}
	for _, try := range []struct {
		who string
		at  task.Object
	}{{"alice", "/plone/news"}, {"alice", "/plone/shop"}, {"bob", "/plone/news"}, {"mallory", "/plone/news"}} {
		if err := tell(try.who, try.at); err != nil {
			return err
		}
	}
	// Rights are looked up anew for each attempt: nothing has to be restarted.
	if _, err := policy.AddGroupingPolicy("bob", "editor", "/plone/news"); err != nil {
		return err
	}
	return tell("bob", "/plone/news")
}
