package accept

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
)

var unmarshaler = reflect.TypeFor[json.Unmarshaler]()

// misfits says of every value that does not fit its Go type where it stands. encoding/json stops at the first one, names
// no place in a list, and none at all when a type such as an amount reads itself.
func misfits(pointer string, raw json.RawMessage, t reflect.Type) []Problem {
	raw = bytes.TrimSpace(raw)
	switch {
	case len(raw) == 0 || bytes.Equal(raw, []byte("null")):
		return nil
	case t.Kind() == reflect.Pointer:
		return misfits(pointer, raw, t.Elem())
	case reflect.PointerTo(t).Implements(unmarshaler):
	case t.Kind() == reflect.Struct && raw[0] == '{':
		return misfitsInFields(pointer, raw, t)
	case t.Kind() == reflect.Slice && raw[0] == '[':
		return misfitsInElements(pointer, raw, t)
	}
	if err := json.Unmarshal(raw, reflect.New(t).Interface()); err != nil {
		return []Problem{{pointer, reason(err, t)}}
	}
	return nil
}

func misfitsInFields(pointer string, raw json.RawMessage, t reflect.Type) (problems []Problem) {
	var values map[string]json.RawMessage
	if err := json.Unmarshal(raw, &values); err != nil {
		return []Problem{{pointer, reason(err, t)}}
	}
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		problems = append(problems, misfits(pointer+"/"+name, values[name], t.Field(i).Type)...)
	}
	return problems
}

func misfitsInElements(pointer string, raw json.RawMessage, t reflect.Type) (problems []Problem) {
	var values []json.RawMessage
	if err := json.Unmarshal(raw, &values); err != nil {
		return []Problem{{pointer, reason(err, t)}}
	}
	for i, value := range values {
		problems = append(problems, misfits(fmt.Sprintf("%s/%d", pointer, i), value, t.Elem())...)
	}
	return problems
}

func reason(err error, t reflect.Type) string {
	var wrongType *json.UnmarshalTypeError
	if !errors.As(err, &wrongType) {
		return err.Error()
	}
	wanted := map[reflect.Kind]string{
		reflect.String: "a string", reflect.Int64: "a whole number", reflect.Bool: "true or false",
		reflect.Struct: "an object", reflect.Slice: "an array",
	}
	return fmt.Sprintf("is a JSON %s; it must be %s", wrongType.Value, wanted[t.Kind()])
}
