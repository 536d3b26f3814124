package strictjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	fastjson "github.com/go-json-experiment/json/v1"

	"github.com/erpconnector/erpconnector/shared/httpapi/problem"
)

// Decode reads JSON that has passed Check into v. It returns every value that does not fit its type, with its place below base.
func Decode(base string, raw []byte, v any) []problem.FieldError {
	if fastjson.Unmarshal(raw, v) == nil { // reads the same as encoding/json, in less time
		return nil
	}
	err := json.Unmarshal(raw, v) // its messages are told to the sender
	if err == nil {
		return nil
	}
	if wrong := typeMismatches(base, raw, reflect.TypeOf(v)); len(wrong) > 0 {
		return wrong
	}
	return []problem.FieldError{{Pointer: base, Code: problem.CodeInvalid, Detail: err.Error()}}
}

// typeMismatches returns every value that does not fit its Go type, with its place. encoding/json stops at the first one. It
// names no index in a list, and no place at all when a type reads itself, as an amount does.
func typeMismatches(pointer string, raw json.RawMessage, t reflect.Type) []problem.FieldError {
	raw = bytes.TrimSpace(raw)
	switch {
	case len(raw) == 0 || bytes.Equal(raw, []byte("null")):
		return nil
	case t.Kind() == reflect.Pointer:
		return typeMismatches(pointer, raw, t.Elem())
	case reflect.PointerTo(t).Implements(unmarshaler):
	case t.Kind() == reflect.Struct && raw[0] == '{':
		return fieldMismatches(pointer, raw, t)
	case t.Kind() == reflect.Slice && raw[0] == '[':
		return elementMismatches(pointer, raw, t)
	}
	if err := json.Unmarshal(raw, reflect.New(t).Interface()); err != nil {
		return []problem.FieldError{mismatch(pointer, raw, err, t)}
	}
	return nil
}

func fieldMismatches(pointer string, raw json.RawMessage, t reflect.Type) (wrong []problem.FieldError) {
	var values map[string]json.RawMessage
	if err := json.Unmarshal(raw, &values); err != nil {
		return []problem.FieldError{mismatch(pointer, raw, err, t)}
	}
	for i := range t.NumField() {
		if name := memberName(t.Field(i)); name != "" {
			wrong = append(wrong, typeMismatches(pointer+"/"+problem.PointerToken(name), values[name], t.Field(i).Type)...)
		}
	}
	return wrong
}

func elementMismatches(pointer string, raw json.RawMessage, t reflect.Type) (wrong []problem.FieldError) {
	var values []json.RawMessage
	if err := json.Unmarshal(raw, &values); err != nil {
		return []problem.FieldError{mismatch(pointer, raw, err, t)}
	}
	for i, value := range values {
		if len(wrong) >= maxProblems {
			break
		}
		wrong = append(wrong, typeMismatches(fmt.Sprintf("%s/%d", pointer, i), value, t.Elem())...)
	}
	return wrong
}

// mismatch says what is wrong with one value: its range, its type, or what a type that reads itself says.
func mismatch(pointer string, raw json.RawMessage, err error, t reflect.Type) problem.FieldError {
	var wrongType *json.UnmarshalTypeError
	if !errors.As(err, &wrongType) {
		return problem.FieldError{Pointer: pointer, Code: problem.CodeInvalid, Detail: err.Error()}
	}
	wanted := wantedOf(t)
	if value := string(raw); doesNotFit(value, t) {
		return problem.FieldError{
			Pointer: pointer, Code: problem.CodeRange, Detail: fmt.Sprintf("is %s, which does not fit; it must be %s%s", shown(value), wanted, rangeOf(t)),
		}
	}
	return problem.FieldError{Pointer: pointer, Code: problem.CodeType, Detail: fmt.Sprintf("is a JSON %s; it must be %s", shown(wrongType.Value), wanted)}
}

// wantedOf names the type's JSON in words. A type that reads itself may name its own by JSONForm.
func wantedOf(t reflect.Type) string {
	form, named := reflect.Zero(t).Interface().(interface{ JSONForm() string })
	switch {
	case named:
		return form.JSONForm()
	case t.Kind() == reflect.String:
		return "a string"
	case t.Kind() == reflect.Bool:
		return "true or false"
	case isWhole(t):
		return "a whole number"
	case t.Kind() == reflect.Float64 || t.Kind() == reflect.Float32:
		return "a number"
	case t.Kind() == reflect.Slice:
		return "an array"
	default:
		return "an object"
	}
}

func isWhole(t reflect.Type) bool {
	return t.Kind() >= reflect.Int && t.Kind() <= reflect.Uint64
}

// doesNotFit reports whether the value is a number of the kind that the type takes, and too large for it.
func doesNotFit(value string, t reflect.Type) bool {
	if value == "" || (value[0] != '-' && (value[0] < '0' || value[0] > '9')) {
		return false
	}
	whole := !strings.ContainsAny(value, ".eE")
	switch t.Kind() {
	case reflect.Float32, reflect.Float64:
		return true
	default:
		return isWhole(t) && whole
	}
}

// rangeOf names the bounds of a type of whole numbers. It is empty for other types.
func rangeOf(t reflect.Type) string {
	switch {
	case t.Kind() >= reflect.Int && t.Kind() <= reflect.Int64:
		maximum := int64(1)<<(t.Bits()-1) - 1
		return fmt.Sprintf(" from %d to %d", -maximum-1, maximum)
	case isWhole(t):
		// Two shifts: one by 64 bits would give 0.
		return " from 0 to " + strconv.FormatUint(uint64(1)<<(t.Bits()-1)<<1-1, 10)
	default:
		return ""
	}
}

const maxShown = 40 // characters of a refused value in a message

func shown(value string) string {
	if runes := []rune(value); len(runes) > maxShown {
		return string(runes[:maxShown]) + "…"
	}
	return value
}
