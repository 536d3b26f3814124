package contracts

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// document is what the page shows of a description.
type document struct {
	Info struct {
		Title, Description string
	}
	Tags       []struct{ Name string }
	Paths      map[string]map[string]operation
	Components struct{ Schemas map[string]schema }
}

type operation struct {
	OperationID, Summary, Description string
	Tags                              []string
	Parameters                        []parameter
	RequestBody                       *content
	Responses                         map[string]content
	Resource                          string `json:"x-resource"`
	OneShop                           bool   `json:"x-one-shop"`

	Method, Path string `json:"-"`
}

type parameter struct {
	Name, In, Description string
	Required              bool
	Schema                schema
	Example               any
}

// content is a body in one or more media types.
type content struct {
	Description string
	Content     map[string]media
}

type media struct {
	Schema   schema
	Example  json.RawMessage
	Examples map[string]struct{ Value json.RawMessage }
}

type schema struct {
	Ref         string `json:"$ref"`
	Type        any    // a name, or a list of them
	Format      string
	Description string
	Enum        []any
	Properties  map[string]schema
	Required    []string
	Items       *schema
	AnyOf       []schema
	OneOf       []schema
	Extra       json.RawMessage `json:"additionalProperties"`
}

// group is the operations of one tag.
type group struct {
	Name       string
	Operations []operation
}

// Groups are the operations by their tags, in the order of the tags.
func (d document) Groups() []group {
	byTag := map[string][]operation{}
	for _, path := range slices.Sorted(maps.Keys(d.Paths)) {
		for _, method := range slices.Sorted(maps.Keys(d.Paths[path])) {
			o := d.Paths[path][method]
			o.Method, o.Path = strings.ToUpper(method), path
			byTag[o.Tags[0]] = append(byTag[o.Tags[0]], o)
		}
	}
	groups := make([]group, 0, len(d.Tags))
	for _, tag := range d.Tags {
		groups = append(groups, group{tag.Name, byTag[tag.Name]})
	}
	return groups
}

// Curl is a command that tries the operation.
func (o operation) Curl() string {
	path := o.Path
	for _, p := range o.Parameters {
		if p.In == "path" {
			path = strings.Replace(path, "{"+p.Name+"}", fmt.Sprint(p.Example), 1)
		}
	}
	line := "curl -sS -X " + o.Method + " http://localhost:8080" + path
	if o.Resource != "" {
		line += ` -H "Authorization: Bearer $TOKEN"`
	}
	for _, p := range o.Parameters {
		if p.In == "header" && p.Required {
			line += fmt.Sprintf(" -H '%s: %v'", p.Name, p.Example)
		}
	}
	if o.RequestBody != nil {
		line += " -H 'Content-Type: application/json' -d @body.json"
	}
	return line
}

// Component is the name of the component that the schema refers to, itself or as its elements; empty: none.
func (s schema) Component() string {
	switch {
	case s.Ref != "":
		return s.Ref[strings.LastIndex(s.Ref, "/")+1:]
	case s.Items != nil:
		return s.Items.Component()
	}
	for _, choice := range slices.Concat(s.AnyOf, s.OneOf) {
		if name := choice.Component(); name != "" {
			return name
		}
	}
	return ""
}

// Kind says in words what the schema takes.
func (s schema) Kind() string {
	switch choices := slices.Concat(s.AnyOf, s.OneOf); {
	case s.Ref != "":
		return s.Component()
	case s.Items != nil:
		return "list of " + s.Items.Kind()
	case len(choices) > 0:
		return kinds(choices)
	case len(s.Enum) > 0:
		return s.values()
	}
	switch t := s.Type.(type) {
	case string:
		return strings.TrimSpace(t + " " + s.Format)
	case []any:
		texts := make([]string, len(t))
		for i, name := range t {
			texts[i] = fmt.Sprint(name)
		}
		return strings.Join(texts, " or ")
	default:
		return "any"
	}
}

func kinds(choices []schema) string {
	texts := make([]string, len(choices))
	for i, c := range choices {
		texts[i] = c.Kind()
	}
	return strings.Join(texts, " or ")
}

// values are those of an enumeration.
func (s schema) values() string {
	var texts []string
	for _, value := range s.Enum {
		if value == nil {
			value = "null"
		}
		texts = append(texts, fmt.Sprint(value))
	}
	return strings.Join(texts, ", ")
}

// Must reports whether a member is always there.
func (s schema) Must(member string) bool { return slices.Contains(s.Required, member) }
