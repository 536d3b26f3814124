package strictjson

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"
	"unicode"
)

// Shape is what an endpoint knows of the JSON that it takes: which members its objects have. A place that the shape says nothing
// about may hold anything. The zero value, and nil, know nothing. It is never changed, and safe for concurrent use.
type Shape struct {
	members map[string]*Shape // by name
	folded  map[string]string // names by their folded form
	element *Shape            // of a list
	closed  bool              // other members are refused
}

var unmarshaler = reflect.TypeFor[json.Unmarshaler]()

// ShapeOf returns the shape of a type as encoding/json reads it. Members that the type does not have are allowed.
func ShapeOf[T any]() *Shape { return shapeOf(reflect.TypeFor[T]()) }

func shapeOf(t reflect.Type) *Shape {
	switch {
	case reflect.PointerTo(t).Implements(unmarshaler):
		return nil // it reads itself
	case t.Kind() == reflect.Pointer:
		return shapeOf(t.Elem())
	case t.Kind() == reflect.Slice:
		return &Shape{element: shapeOf(t.Elem())}
	case t.Kind() != reflect.Struct:
		return nil
	}
	members := map[string]*Shape{}
	for i := range t.NumField() {
		if name := memberName(t.Field(i)); name != "" {
			members[name] = shapeOf(t.Field(i).Type)
		}
	}
	return object(members)
}

// memberName returns the name that encoding/json has for a field. It is empty for a field without one.
func memberName(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	switch {
	case !f.IsExported() || name == "-":
		return ""
	case name == "":
		return f.Name
	default:
		return name
	}
}

func object(members map[string]*Shape) *Shape {
	s := &Shape{members: members, folded: make(map[string]string, len(members))}
	for name := range members {
		s.folded[fold(name)] = name
	}
	return s
}

// Members returns the shape of an object with these members. Their values may be anything.
func Members(names ...string) *Shape {
	members := make(map[string]*Shape, len(names))
	for _, name := range names {
		members[name] = nil
	}
	return object(members)
}

// With returns the shape with another one at a member that may hold anything, such as a json.RawMessage.
func (s *Shape) With(member string, at *Shape) *Shape {
	members := maps.Clone(s.members)
	members[member] = at
	out := object(members)
	out.closed = s.closed
	return out
}

// Closed returns the shape for an endpoint that knows all members: others are refused, with the nearest known name.
func (s *Shape) Closed() *Shape {
	if s == nil {
		return nil
	}
	out := *s
	out.closed = s.members != nil
	out.element = s.element.Closed()
	out.members = maps.Clone(s.members)
	for name, at := range out.members {
		out.members[name] = at.Closed()
	}
	return &out
}

// names returns the names of the members, sorted.
func (s *Shape) names() []string { return slices.Sorted(maps.Keys(s.members)) }

// fold returns one form for all names that encoding/json takes for one. Case does not count, and the Kelvin sign and the long s
// of Unicode are k and s. The form has the smallest character of each set that SimpleFold goes round in.
func fold(name string) string {
	return strings.Map(func(r rune) rune {
		for {
			next := unicode.SimpleFold(r)
			if next <= r {
				return next
			}
			r = next
		}
	}, name)
}
