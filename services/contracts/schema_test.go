package contracts_test

import (
	"encoding/json"
	"maps"
	"path"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/services/mockerp"
	"github.com/erpconnector/erpconnector/shared/alert"
	"github.com/erpconnector/erpconnector/shared/bulk"
	"github.com/erpconnector/erpconnector/shared/deadletter"
	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/httpapi"
	"github.com/erpconnector/erpconnector/shared/httpapi/problem"
)

type object = map[string]any

// schemas makes JSON Schemas of Go types, and keeps those of named structs as components.
type schemas struct {
	t          *testing.T
	components object
	owners     map[string]reflect.Type // which type a component is of
}

func newSchemas(t *testing.T) *schemas {
	s := &schemas{t: t, components: object{}, owners: map[string]reflect.Type{}}
	s.addEvents()
	s.structure("Problem", problem.BodyType(), true)
	s.structure("FieldError", problem.FieldErrorType(), true)
	return s
}

// written are the schemas of types that write or read themselves.
var written = map[reflect.Type]object{
	reflect.TypeFor[time.Time]():          {"type": "string", "format": "date-time"},
	reflect.TypeFor[time.Duration]():      {"type": "integer", "format": "int64", "description": "nanoseconds"},
	reflect.TypeFor[mockerp.Delay]():      {"anyOf": []any{object{"type": "string"}, object{"type": "integer", "format": "int64"}}},
	reflect.TypeFor[json.RawMessage]():    {},
	reflect.TypeFor[json.Number]():        {"type": "number"},
	reflect.TypeFor[domain.Reference]():   {"anyOf": []any{object{"type": "string"}, object{"type": "number"}}},
	reflect.TypeFor[problem.FieldError](): reference("FieldError"),
}

// open are types of texts that may be others than those that have names; those of bulk jobs, as a client would have two names Failed.
var open = []reflect.Type{
	reflect.TypeFor[alert.DeliveryState](), reflect.TypeFor[deadletter.Writer](), reflect.TypeFor[domain.ErrorCode](), reflect.TypeFor[bulk.Command](), reflect.TypeFor[bulk.State](),
	reflect.TypeFor[bulk.CanaryState](), reflect.TypeFor[bulk.Result](),
}

// of is the schema of a type: in an answer a member without omitempty is always there, in a request only what is required.
func (s *schemas) of(t reflect.Type, answer bool) object {
	if schema, known := written[t]; known {
		return maps.Clone(schema)
	}
	if part, ok := reflect.Zero(t).Interface().(interface{ Of() reflect.Type }); ok {
		return s.part(part.Of())
	}
	switch t.Kind() { //nolint:exhaustive // the others have no JSON
	case reflect.Pointer:
		return s.of(t.Elem(), answer)
	case reflect.Struct:
		return s.structure(componentName(t), t, answer)
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return object{"type": "string", "contentEncoding": "base64"}
		}
		return object{"type": "array", "items": s.of(t.Elem(), answer)}
	case reflect.Map:
		return object{"type": "object", "additionalProperties": s.of(t.Elem(), answer)}
	case reflect.String:
		if names := constantsOf(s.t, t); len(names) > 0 && !slices.Contains(open, t) {
			s.keep(componentName(t), t, object{"type": "string", "enum": names})
			return reference(componentName(t))
		}
		return object{"type": "string"}
	case reflect.Bool:
		return object{"type": "boolean"}
	case reflect.Int64, reflect.Uint64:
		return object{"type": "integer", "format": "int64"}
	case reflect.Int, reflect.Int32, reflect.Uint32:
		return object{"type": "integer"}
	case reflect.Float64:
		return object{"type": "number"}
	case reflect.Interface:
		return object{}
	}
	require.Fail(s.t, "no schema for "+t.String())
	return nil
}

// componentNames are names for types whose own says too little outside of their package.
var componentNames = map[string]string{
	"api.absence": "WhyNoSync", "api.absent": "NoSync", "api.callback": "Callback", "api.result": "CommandResult", "api.settings": "Settings", "api.status": "SyncStatus",
	"alert.Delivery": "AlertDelivery", "alert.Kind": "AlertDestinationKind",
	"api.destination": "AlertDestination", "api.destinationChange": "AlertDestinationChange", "api.destinationList": "AlertDestinationList",
	"api.newDestination": "NewAlertDestination", "api.shownAlert": "Alert", "api.testResult": "AlertTestResult",
	"accept.Result": "EventResult", "accept.Verdict": "EventVerdict", "deadletter.State": "DeadLetterState", "setting.Type": "SettingType",
	"quarantine.State": "QuarantineState", "quarantine.Door": "QuarantineDoor",
	"httpapi.liveness": "Liveness", "httpapi.readiness": "Readiness", "pace.Past": "ErpChange", "pace.Report": "ErpState",
	"mockerp.Call": "MockCall", "mockerp.Fault": "MockFault", "mockerp.Stats": "MockStats", "mockerp.booked": "MockBooking", "mockerp.faultCount": "MockFaultCount",
	"mockerp.health": "MockHealth", "mockerp.refusal": "MockRefusal", "mockerp.stock": "MockStock", "mockerp.updated": "MockUpdated", "mockerp.updatedItem": "MockUpdatedItem",
}

// componentName is the type's name with a capital; an instance of a generic type has that of the type.
func componentName(t reflect.Type) string {
	name, _, _ := strings.Cut(t.Name(), "[")
	if name == "" {
		return ""
	}
	if better, known := componentNames[path.Base(t.PkgPath())+"."+name]; known {
		return better
	}
	return strings.ToUpper(name[:1]) + name[1:]
}

// structure adds the schema of a struct, and refers to it. A struct without a name stands where it is used.
func (s *schemas) structure(name string, t reflect.Type, answer bool) object {
	if name == "" {
		return s.members(t, answer)
	}
	if s.owners[name] != t {
		s.keep(name, t, object{}) // a type may hold itself
		s.components[name] = s.members(t, answer)
	}
	return reference(name)
}

// keep adds a component.
func (s *schemas) keep(name string, of reflect.Type, schema object) {
	if owner, known := s.owners[name]; known {
		require.Same(s.t, owner, of, "two types are called %s: add one to componentNames", name)
	}
	s.owners[name], s.components[name] = of, schema
}

func reference(name string) object { return object{"$ref": "#/components/schemas/" + name} }

// part is the schema of a struct of which all members may lack.
func (s *schemas) part(t reflect.Type) object {
	name := componentName(t)
	s.structure(name, t, true)
	schema := maps.Clone(s.components[name].(object))
	delete(schema, "required")
	s.components["Some"+name] = schema
	s.owners["Some"+name] = t
	delete(s.components, name)
	delete(s.owners, name)
	return reference("Some" + name)
}

func (s *schemas) members(t reflect.Type, answer bool) object {
	properties, required := object{}, []string{}
	for f := range t.Fields() {
		tag, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous && tag == "" {
			inner := s.members(f.Type, answer)
			for name, schema := range inner["properties"].(object) {
				if _, own := properties[name]; !own {
					properties[name] = schema
				}
			}
			if names, ok := inner["required"].([]string); ok {
				required = append(required, names...)
			}
			continue
		}
		if tag == "-" || !f.IsExported() {
			continue
		}
		properties[tag] = s.member(t, f, answer, options)
		if answer && !strings.Contains(options, "omit") {
			required = append(required, tag)
		}
	}
	schema := object{"type": "object", "properties": properties}
	if slices.Sort(required); len(required) > 0 {
		schema["required"] = slices.Compact(required)
	}
	return schema
}

// member is the schema of one member, with the comment of its field.
func (s *schemas) member(owner reflect.Type, f reflect.StructField, answer bool, options string) object {
	schema := s.of(f.Type, answer)
	if f.Type.Kind() == reflect.Pointer && !strings.Contains(options, "omit") {
		schema = orNull(schema)
	}
	if meaning := meaningOf(s.t, owner, f); meaning != "" {
		schema["description"] = meaning
	}
	return schema
}

func orNull(schema object) object {
	kind, plain := schema["type"].(string)
	if !plain {
		return object{"anyOf": []any{schema, object{"type": "null"}}}
	}
	out := maps.Clone(schema)
	out["type"] = []string{kind, "null"}
	return out
}

// addEvents takes the schema of a shop's event from shared/event, with the definitions that it refers to.
func (s *schemas) addEvents() {
	const prefix = "event_"
	root, definitions := eventSchema(s.t, event.TopicSalesOrder), eventDefinitions(s.t)
	root["title"] = "Event"
	s.components["Event"], s.owners["Event"] = root, nil
	for wanted := references(root); len(wanted) > 0; wanted = wanted[1:] {
		if name := wanted[0]; s.components[prefix+name] == nil {
			s.components[prefix+name] = definitions[name]
			wanted = append(wanted, references(definitions[name])...)
		}
	}
	for name, schema := range s.components {
		split(schema)
		s.components[name] = renamed(schema, prefix)
	}
}

// renamed is a schema whose references begin with a prefix.
func renamed(value any, prefix string) any {
	switch value := value.(type) {
	case object:
		out := object{}
		for key, member := range value {
			out[key] = renamed(member, prefix)
			if ref, ok := member.(string); ok && key == "$ref" {
				out[key] = strings.Replace(ref, "/schemas/", "/schemas/"+prefix, 1)
			}
		}
		return out
	case []any:
		out := make([]any, len(value))
		for i, member := range value {
			out[i] = renamed(member, prefix)
		}
		return out
	default:
		return value
	}
}

// split writes a choice between types, but for null, as anyOf: generators of clients do not know lists of types.
func split(value any) {
	switch value := value.(type) {
	case object:
		if kinds, several := value["type"].([]any); several && (len(kinds) > 2 || !slices.Contains(kinds, any("null"))) {
			delete(value, "type")
			choices := make([]any, len(kinds))
			for i, kind := range kinds {
				choices[i] = object{"type": kind}
			}
			value["anyOf"] = choices
		}
		for _, member := range value {
			split(member)
		}
	case []any:
		for _, member := range value {
			split(member)
		}
	}
}

// references are the names of the components that a value refers to.
func references(value any) (names []string) {
	switch value := value.(type) {
	case object:
		for key, member := range value {
			if ref, ok := member.(string); ok && key == "$ref" {
				names = append(names, strings.TrimPrefix(ref, "#/components/schemas/"))
			}
			names = append(names, references(member)...)
		}
	case []any:
		for _, member := range value {
			names = append(names, references(member)...)
		}
	}
	return names
}

// body is the schema of what a Description has as a body.
func (s *schemas) body(body any, answer bool) object {
	switch body := body.(type) {
	case httpapi.Schema:
		name, _ := body["title"].(string)
		s.components[name], s.owners[name] = object(maps.Clone(body)), nil // tests run side by side, and some change their document
		return reference(name)
	case httpapi.OneOf:
		kinds := make([]any, len(body))
		for i, kind := range body {
			kinds[i] = s.body(kind, answer)
		}
		return object{"oneOf": kinds}
	default:
		return s.of(reflect.TypeOf(body), answer)
	}
}
