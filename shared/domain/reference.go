package domain

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"strconv"
	"strings"
)

// MaxReferenceBytes bounds a reference of the ERP. A longer one is refused, not cut off: its start might name another order.
const MaxReferenceBytes = 2 << 10

// Reference is what the ERP calls an order; empty when it names none. In JSON it is a text, without blanks at its ends, or a number. A
// number keeps its digits, and an exponent is written out: 42 is "42", 1.50 is "1.50", 1.2345678E7 is "12345678". It is never read
// as a float.
type Reference string

var errReferenceSize = fmt.Errorf("has more than %d bytes", MaxReferenceBytes)

// UnmarshalJSON reads a text, a number or null.
func (r *Reference) UnmarshalJSON(raw []byte) error {
	switch raw[0] {
	case 'n':
		*r = ""
		return nil
	case '"':
		var text string
		if err := json.Unmarshal(raw, &text); err != nil {
			return err
		}
		*r = Reference(trimmed(text))
		return nil
	case '{', '[', 't', 'f':
		name := map[byte]string{'{': "object", '[': "array", 't': "bool", 'f': "bool"}[raw[0]]
		return &json.UnmarshalTypeError{Value: name, Type: reflect.TypeFor[Reference]()}
	}
	text, err := digits(string(raw))
	if errors.Is(err, errReferenceSize) { // Validate refuses it, with the member's name
		text, err = strings.Repeat("0", MaxReferenceBytes+1), nil
	}
	*r = Reference(text)
	return err
}

// JSONForm says which JSON a reference is read from, for error messages.
func (Reference) JSONForm() string { return "a string or a number" }

// Validate refuses what is too long.
func (r Reference) Validate() error {
	if len(r) > MaxReferenceBytes {
		return errReferenceSize
	}
	return nil
}

// Text is the reference in the form of records; nil when there is none.
func (r Reference) Text() *string {
	if r == "" {
		return nil
	}
	text := KeepableText(string(r))
	return &text
}

func trimmed(text string) string { return strings.TrimSpace(text) }

var numberParts = regexp.MustCompile(`^(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$`)

// digits writes out the exponent of a JSON number.
func digits(literal string) (string, error) {
	if len(literal) > MaxReferenceBytes {
		return "", errReferenceSize
	}
	m := numberParts.FindStringSubmatch(literal)
	if m == nil {
		return "", errors.New("is no number")
	}
	if m[4] == "" {
		return literal, nil
	}
	exponent, err := strconv.Atoi(m[4])
	if err != nil || exponent > MaxReferenceBytes || exponent < -MaxReferenceBytes {
		return "", errReferenceSize
	}
	whole, fraction := shift(m[2], m[3], exponent)
	if whole = strings.TrimLeft(whole, "0"); whole == "" {
		whole = "0"
	}
	if fraction != "" {
		whole += "." + fraction
	}
	return m[1] + whole, nil
}
