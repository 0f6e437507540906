package natsasync_test

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"
	"sync"

	"github.com/natsasync/natsasync/registry"
	"github.com/natsasync/natsasync/task"
)

// Inputs of the site's tasks.
type (
	AddArgs struct{ A, B int }
	NewDoc  struct{ ID, Title string }
)

// The tasks of the site: a package that both sides import, without implementation.
var (
	Add    = task.Define[AddArgs, int]("math.add")
	Create = task.Define[NewDoc, string]("doc.create")
	Submit = task.Define[string, string]("doc.submit")
	Break  = task.Define[task.None, int]("site.break")
	Tell   = task.Define[int, task.None]("mail.sum")
	Alert  = task.Define[task.Failure, task.None]("mail.alert")
	Log    = task.Define[task.Outcome, task.None]("audit.log")
)

// Folder is what a path of the site is when a task works on it.
type Folder struct {
	path task.Object
	site *Site
}

// Site stands for the application's own database.
type Site struct {
	mu    sync.Mutex
	state map[string]string // review state of each document
}

// open makes an object of a path.
func (s *Site) open(_ context.Context, at task.Object) (*Folder, error) {
	if strings.Contains(string(at), "gone") {
		return nil, task.ErrNoSuchObject
	}
	return &Folder{at, s}, nil
}

// member is a user with the rights of now.
type member struct{ user task.User }

// find says who a user is. It is asked for each attempt.
func (s *Site) find(_ context.Context, u task.User) (registry.Principal, error) {
	if u != alice && !u.Anonymous() {
		return nil, task.ErrNoSuchUser
	}
	return member{u}, nil
}

// Can lets alice do everything in and below her folder, and everybody see everything.
func (m member) Can(_ context.Context, permission string, at task.Object) error {
	if permission == "View" || m.user == alice && strings.HasPrefix(string(at), "/plone/folder") {
		return nil
	}
	return fmt.Errorf("%s on %s: %w", permission, at, task.ErrUnauthorized)
}

func createDocument(_ context.Context, f *Folder, doc NewDoc) (string, error) {
	f.site.mu.Lock()
	defer f.site.mu.Unlock()
	f.site.state[path.Join(string(f.path), doc.ID)] = "private"
	return doc.ID, nil
}

func submitDocument(_ context.Context, f *Folder, id string) (string, error) {
	f.site.mu.Lock()
	defer f.site.mu.Unlock()
	name := path.Join(string(f.path), id)
	if f.site.state[name] == "" {
		return "", fmt.Errorf("there is no document %s", name)
	}
	f.site.state[name] = "pending"
	return "pending", nil
}

// siteRegistry is what a worker of the site knows.
func siteRegistry() *registry.Registry {
	site := &Site{state: map[string]string{}}
	reg := registry.New()
	registry.Users(reg, site.find)
	registry.Objects(reg, "/plone/{path...}", site.open, registry.Require("View"))
	registry.Handle(reg, Add, func(ctx context.Context, f *Folder, in AddArgs) (int, error) {
		return in.A + in.B, nil
	})
	registry.Handle(reg, Create, createDocument, registry.Require("Add content"))
	registry.Handle(reg, Submit, submitDocument, registry.Require("Submit"))
	registry.Handle(reg, Break, func(context.Context, *Folder, task.None) (int, error) {
		return 0, errors.New("FooBared")
	})
	registry.Handle(reg, Tell, func(ctx context.Context, f *Folder, sum int) (task.None, error) {
		fmt.Println("Success:", sum)
		return task.None{}, nil
	})
	registry.Handle(reg, Alert, func(ctx context.Context, f *Folder, why task.Failure) (task.None, error) {
		fmt.Println("Failure:", why.Message)
		return task.None{}, nil
	})
	registry.Handle(reg, Log, func(ctx context.Context, f *Folder, o task.Outcome) (task.None, error) {
		fmt.Println("Log:", o.Task, o.End)
		return task.None{}, nil
	})
	return reg
}
