package accept

import (
	"fmt"
	"reflect"
	"strings"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
)

// names are the field names of each object we know, by its place (a list's elements share one, "*") and in lower case.
// encoding/json takes a name in any case; a subscriber, who gets the event as it was sent, would look for it in vain.
var names = func() map[string]map[string]string {
	out := map[string]map[string]string{}
	collectNames(out, "", reflect.TypeFor[event.Commerce]())
	collectNames(out, "/order", reflect.TypeFor[domain.Order]())
	return out
}()

func collectNames(out map[string]map[string]string, pointer string, t reflect.Type) {
	switch {
	case t.Kind() == reflect.Pointer:
		collectNames(out, pointer, t.Elem())
	case t.Kind() == reflect.Slice:
		collectNames(out, pointer+"/*", t.Elem())
	case t.Kind() == reflect.Struct && !reflect.PointerTo(t).Implements(unmarshaler):
		out[pointer] = map[string]string{}
		for i := range t.NumField() {
			name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
			out[pointer][strings.ToLower(name)] = name
			collectNames(out, pointer+"/"+name, t.Field(i).Type)
		}
	}
}

// checkName finds a field of ours that is written in another case, or twice in its object. kind is the object's place.
func checkName(kind, pointer, name string, seen map[string]bool) []Problem {
	fields := names[kind]
	if fields == nil {
		return nil
	}
	known, ours := fields[strings.ToLower(name)]
	switch {
	case !ours:
		return nil
	case known != name:
		return []Problem{{pointer, fmt.Sprintf("is written %q; write it %q", name, known)}}
	case seen[name]:
		return []Problem{{pointer, "stands there twice; send it once"}}
	}
	seen[name] = true
	return nil
}
