package registry

import (
	"context"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/natsasync/natsasync/task"
)

// Run is one attempt: what a middleware wraps.
type Run func(ctx context.Context) error

// Registry holds what a worker knows. Make it with [New]. Registering is safe for
// concurrent use until it is sealed; what reads is safe always.
type Registry struct {
	sealed atomic.Bool

	mu      sync.Mutex // until sealed; then nothing changes any more
	tasks   map[string]*handler
	objects []*resolver // the most specific first, see order
	users   *directory
	around  []func(next Run) Run
	run     Run
}

// New returns an empty registry.
func New() *Registry {
	return &Registry{tasks: make(map[string]*handler)}
}

// Use puts middleware around every attempt: of several the first is the outermost, also
// over several calls. Each is called once, when the registry is sealed, and what it
// returns runs for every attempt, concurrently: with the user, the principal and the
// object resolved and the permissions granted, in the goroutine of the attempt. It must
// hand on a context made from its own. An error that it returns is the attempt's error;
// nil without a result of the function makes the zero value the result.
func (r *Registry) Use(mw ...func(next Run) Run) {
	at := place(1)
	r.change(at, func() {
		for _, m := range mw {
			if m == nil {
				panic(fmt.Sprintf("registry: middleware at %s: it is nil (leave it out)", at))
			}
		}
		r.around = slices.Concat(r.around, mw)
	})
}

// Knows says whether a task has a function here. For workers.
func (r *Registry) Knows(name string) bool { return r.find(name) != nil }

// Names returns the names of the tasks that have a function here, sorted. For workers.
func (r *Registry) Names() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	names := make([]string, 0, len(r.tasks))
	for name := range r.tasks {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Seal ends registering: from now on it panics. Seal itself panics if a task works on
// objects of a type that no pattern makes. A second call does nothing. For workers.
func (r *Registry) Seal() {
	if r.sealed.Load() {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.sealed.Load() {
		return
	}
	r.checkObjects()
	r.run = runFunction
	for _, mw := range slices.Backward(r.around) {
		r.run = mw(r.run)
	}
	r.sealed.Store(true)
}

func (r *Registry) find(name string) *handler {
	if !r.sealed.Load() {
		r.mu.Lock()
		defer r.mu.Unlock()
	}
	return r.tasks[name]
}

// change runs a registration, which panics if it is wrong.
func (r *Registry) change(at string, register func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.sealed.Load() {
		panic(fmt.Sprintf("registry: registration at %s: a worker has the registry already (register before consumer.New)", at))
	}
	register()
}

// checkObjects finds tasks that no object fits.
func (r *Registry) checkObjects() {
	for _, h := range r.tasks {
		if h.object == nil || slices.ContainsFunc(r.objects, func(o *resolver) bool { return o.makes(h.object) }) {
			continue
		}
		var made []string
		for _, o := range r.objects {
			made = append(made, fmt.Sprintf("%s at %s makes %v", o.pattern, o.place, o.object))
		}
		if made == nil {
			made = []string{"there are none"}
		}
		panic(fmt.Sprintf("registry: task %q at %s: it works on %v and no objects are that: %s (register them with registry.Objects, or take a task.Object)",
			h.name, h.place, h.object, strings.Join(made, ", ")))
	}
}

// place is where a registration stands: a caller of the function that asks, as base
// name and line.
func place(above int) string {
	_, file, line, ok := runtime.Caller(above + 1)
	if !ok {
		return "an unknown place"
	}
	return fmt.Sprintf("%s:%d", filepath.Base(file), line)
}

// Option is an option of [Handle], [Registry.HandleRaw] and [Objects].
type Option func(*options)

type options struct{ permissions []string }

// Require names a permission that the user must have on the object: to see it, as an
// option of [Objects], or to run the task, as one of [Handle]. Of several all are
// needed.
func Require(permission string) Option {
	if permission == "" {
		panic(fmt.Sprintf(`registry: permission "" at %s: it has no name (like "View")`, place(1)))
	}
	return func(o *options) { o.permissions = append(o.permissions, permission) }
}

func permissions(opts []Option) []string {
	var o options
	for _, opt := range opts {
		opt(&o)
	}
	return o.permissions
}

// checkTask says why a name cannot be given a function.
func checkTask(name string) error {
	if err := task.CheckName(name); err != nil {
		return err
	}
	if strings.HasPrefix(name, "batch.") {
		return fmt.Errorf("task: name %s: names that begin with batch. are taken", task.Quote(name))
	}
	return nil
}
