package registry

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"

	"github.com/natsasync/natsasync/task"
)

// resolver makes objects of the paths that a pattern matches.
type resolver struct {
	pattern     pattern
	place       string
	object      reflect.Type
	permissions []string
	resolve     func(context.Context, task.Object) (any, error)
}

// makes says whether objects of this resolver are, or can be, a want.
func (o *resolver) makes(want reflect.Type) bool {
	switch {
	case o.object == want:
		return true
	case o.object.Kind() == reflect.Interface:
		return want.Kind() == reflect.Interface || want.Implements(o.object)
	}
	return want.Kind() == reflect.Interface && o.object.Implements(want)
}

// Objects says how the paths that a pattern matches become objects. Patterns are like
// those of net/http: "/plone/news" is itself, {name} is any one part, and {name...} at
// the end is the rest, none included: "/plone/{path...}" is "/plone" and all below. The
// most specific pattern that matches a path has it: a literal is more specific than
// {name}, and that than {name...}. Two that quarrel, like "/a/{x}" and "/{y}/b", panic.
// [PathValue] tells fn what a wildcard stands for.
//
// fn is called for each attempt. It returns [task.ErrNoSuchObject] if the object is
// gone: the job fails with it. nil without an error means that too. Any error but those
// of "What errors mean" in the package's text is taken for a directory that is down.
func Objects[T any](r *Registry, pattern string, fn func(context.Context, task.Object) (T, error), opts ...Option) {
	at := place(1)
	p, err := parsePattern(pattern)
	if err != nil {
		panic(fmt.Sprintf("registry: objects at %s: %v", at, err))
	}
	if fn == nil {
		panic(fmt.Sprintf("registry: objects %s at %s: the function is nil", p, at))
	}
	kind := reflect.TypeFor[T]()
	canBeNil := nilable(kind.Kind())
	r.addObjects(&resolver{
		pattern: p, place: at, object: kind, permissions: permissions(opts),
		resolve: func(ctx context.Context, path task.Object) (any, error) {
			v, err := fn(ctx, path)
			if err != nil {
				return nil, err
			}
			if canBeNil && (any(v) == nil || isNil(v)) {
				return nil, task.ErrNoSuchObject
			}
			return v, nil
		},
	})
}

// PathValue returns what a wildcard of the pattern stands for in the path of the object
// that ctx works on, without a slash at its beginning; "" if there is no such wildcard or
// no pattern was used.
func PathValue(ctx context.Context, name string) string {
	c := callFrom(ctx)
	if c == nil || c.by == nil {
		return ""
	}
	return c.by.pattern.value(c.object, name)
}

func (r *Registry) addObjects(o *resolver) {
	r.change(o.place, func() {
		for _, other := range r.objects {
			if order(o.pattern, other.pattern) == 0 || quarrel(o.pattern, other.pattern) {
				panic(fmt.Sprintf("registry: objects %s at %s: objects %s at %s match the same paths and neither is more specific (change one)",
					o.pattern, o.place, other.pattern, other.place))
			}
		}
		r.objects = append(r.objects, o)
		slices.SortFunc(r.objects, func(x, y *resolver) int { return order(x.pattern, y.pattern) })
	})
}

// resolve makes the object of c, which the user can see.
func (r *Registry) resolve(ctx context.Context, c *call) error {
	if c.object == "" {
		return fmt.Errorf("registry: task %s: it works on an object and the call names none: %w", c.handler.name, task.ErrNoSuchObject)
	}
	for _, o := range r.objects {
		if o.pattern.matches(c.object) {
			c.by = o
			break
		}
	}
	if c.by == nil {
		return noSuchObject(c.object)
	}
	resolved, err := c.by.resolve(ctx, c.object)
	if err == nil {
		c.resolved = resolved
		err = checkAll(ctx, c.by.permissions, c.object)
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, ErrUnavailable), errors.Is(err, task.ErrNoSuchUser):
		return err
	case answered(err):
		return noSuchObject(c.object)
	}
	return fromDirectory("object", string(c.object), err)
}

func nilable(k reflect.Kind) bool {
	switch k {
	case reflect.Pointer, reflect.Interface, reflect.Map, reflect.Slice, reflect.Func, reflect.Chan:
		return true
	}
	return false
}

func isNil(v any) bool {
	value := reflect.ValueOf(v)
	return nilable(value.Kind()) && value.IsNil()
}
