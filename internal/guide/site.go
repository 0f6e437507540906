package guide

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

// Paths and people of the site.
const (
	Portal task.Object = "/plone"
	Folder task.Object = "/plone/folder"
)

// Alice may add content in the folder, and not in the portal itself.
var Alice = task.User{Realm: "/plone/acl_users", ID: "alice"}

// Permissions that the site knows.
const (
	AddContent = "Add portal content"
	Submit     = "Submit for publication"
)

// Site is what the tasks work on: folders that hold documents, each with a review
// state. It stands for the application's own database.
type Site struct {
	mu   sync.Mutex
	docs map[task.Object]string // path → review state
	told []string               // what callbacks and handlers were told, in order
}

// NewSite returns a site with a portal and an empty folder.
func NewSite() *Site { return &Site{docs: map[task.Object]string{}} }

// Place is a folder or the portal, as it is when a task works on it.
type Place struct {
	Path task.Object
	site *Site
}

// State returns the review state of a document, "" if there is none.
func (s *Site) State(doc task.Object) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.docs[doc]
}

// Told returns what callbacks and handlers were told since the last call.
func (s *Site) Told() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	told := s.told
	s.told = nil
	return told
}

func (s *Site) tell(line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.told = append(s.told, line)
}

// find resolves a path. Anything outside the portal does not exist.
func (s *Site) find(_ context.Context, o task.Object) (*Place, error) {
	if o != Portal && o != Folder && !strings.HasPrefix(string(o), string(Folder)+"/") {
		return nil, fmt.Errorf("%s: %w", o, task.ErrNoSuchObject)
	}
	return &Place{Path: o, site: s}, nil
}

// member is a user with the rights that the site gives now.
type member struct{ user task.User }

func (s *Site) user(_ context.Context, u task.User) (registry.Principal, error) {
	if u != Alice && !u.Anonymous() {
		return nil, fmt.Errorf("%s: %w", u, task.ErrNoSuchUser)
	}
	return member{u}, nil
}

// Can makes member a [registry.Principal].
func (m member) Can(_ context.Context, permission string, o task.Object) error {
	if m.user == Alice && strings.HasPrefix(string(o), string(Folder)) {
		return nil
	}
	return fmt.Errorf("%s in %s: %w", permission, o, task.ErrUnauthorized)
}

func (p *Place) create(id string) (string, error) {
	p.site.mu.Lock()
	defer p.site.mu.Unlock()
	doc := task.Object(path.Join(string(p.Path), id))
	if _, there := p.site.docs[doc]; there {
		return "", fmt.Errorf("%s is there already", doc)
	}
	p.site.docs[doc] = "private"
	return id, nil
}

func (p *Place) submit(id string) error {
	p.site.mu.Lock()
	defer p.site.mu.Unlock()
	doc := task.Object(path.Join(string(p.Path), id))
	if p.site.docs[doc] != "private" {
		return fmt.Errorf("%s: %w", doc, errors.New("there is nothing to submit"))
	}
	p.site.docs[doc] = "pending"
	return nil
}
