package strictjson

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"
	"unicode"
)

// Shape is what a door knows of the JSON that it takes: the members of its objects, by the place where they stand. A
// place that it says nothing of may hold anything. The zero value, and nil, know nothing.
type Shape struct {
	members map[string]*Shape // by name
	folded  map[string]string // names by their folded form
	element *Shape            // of a list
	closed  bool              // other members are refused
}

var unmarshaler = reflect.TypeFor[json.Unmarshaler]()

// ShapeOf is the shape of a type as encoding/json reads it. Members that the type does not have are taken.
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

// memberName is the name that encoding/json has for a field; empty: none.
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

// Members is the shape of an object with these members, of which nothing more is known.
func Members(names ...string) *Shape {
	members := make(map[string]*Shape, len(names))
	for _, name := range names {
		members[name] = nil
	}
	return object(members)
}

// With is the shape with another one at a member that it knows nothing of, such as a json.RawMessage.
func (s *Shape) With(member string, at *Shape) *Shape {
	members := maps.Clone(s.members)
	members[member] = at
	out := object(members)
	out.closed = s.closed
	return out
}

// Closed is the shape of a door that knows all members: others are refused, with the nearest known name.
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

// names are those of the object's members.
func (s *Shape) names() []string { return slices.Sorted(maps.Keys(s.members)) }

// fold is the form that is the same for two names which encoding/json takes for one: the letters' cases do not count, nor
// the two letters of Unicode that stand for k and s.
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
