package problem

import (
	"bytes"
	"encoding/json"
	"strings"

	"github.com/erpconnector/erpconnector/shared/domain"
)

// FieldError is one thing that is wrong with what somebody sent, where it stands, and what to do about it.
type FieldError struct {
	Pointer   string // into the body (RFC 6901); empty: the whole of it
	Parameter string // of the query, in place of a pointer
	Code      string // stable, for programs: one of those below
	Detail    string // begins with a verb, and goes on from the place: "is required: …"
}

// The codes of field errors. docs/limits.md lists them.
const (
	CodeNotJSON     = "not_json"    // the body is no JSON, or more than that
	CodeNotUTF8     = "not_utf8"    // its bytes are no UTF-8, or it begins with a byte order mark
	CodeTooDeep     = "too_deep"    // lists and objects are nested too deep
	CodeText        = "text"        // a text holds what cannot be kept or shown
	CodeUnknown     = "unknown"     // nothing of that name is taken here
	CodeCase        = "case"        // a name of ours in other letters
	CodeTwice       = "twice"       // the same name twice in one object, or one query
	CodeType        = "type"        // another kind of value
	CodeRange       = "range"       // a number or time that does not fit
	CodeTooLong     = "too_long"    // more bytes than are taken
	CodeRequired    = "required"    // it is missing
	CodeInvalid     = "invalid"     // the value is none that is taken
	CodeContradicts = "contradicts" // it does not go with something else
	CodeMisplaced   = "misplaced"   // it is taken elsewhere
	CodeForbidden   = "forbidden"   // the token does not allow it
	CodeTooLarge    = "too_large"   // the event or body as a whole
	CodeNotKnown    = "not_known"   // it names what the connector does not know
)

// Codes are all of them.
var Codes = []string{
	CodeNotJSON, CodeNotUTF8, CodeTooDeep, CodeText, CodeUnknown, CodeCase, CodeTwice, CodeType, CodeRange, CodeTooLong, CodeRequired,
	CodeInvalid, CodeContradicts, CodeMisplaced, CodeForbidden, CodeTooLarge, CodeNotKnown,
}

// fieldJSON is a FieldError as answers have it: with the one place that it has.
type fieldJSON struct {
	Pointer   *string `json:"pointer,omitempty"`
	Parameter string  `json:"parameter,omitempty"`
	Code      string  `json:"code,omitempty"`
	Detail    string  `json:"detail"`
}

// MarshalJSON writes the place, the code and the detail.
func (e FieldError) MarshalJSON() ([]byte, error) {
	out := fieldJSON{Parameter: e.Parameter, Code: e.Code, Detail: e.Detail}
	if e.Parameter == "" {
		out.Pointer = &e.Pointer
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(out)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}

// UnmarshalJSON reads what MarshalJSON has written, now or before there were codes.
func (e *FieldError) UnmarshalJSON(raw []byte) error {
	var in fieldJSON
	if err := json.Unmarshal(raw, &in); err != nil {
		return err
	}
	*e = FieldError{Parameter: in.Parameter, Code: in.Code, Detail: in.Detail}
	if in.Pointer != nil {
		e.Pointer = *in.Pointer
	}
	return nil
}

// Place is where the error stands, in words.
func (e FieldError) Place() string {
	if e.Parameter != "" {
		return "?" + e.Parameter
	}
	return e.Pointer
}

// Error is one line.
func (e FieldError) Error() string { return strings.TrimSpace(e.Place() + " " + e.Detail) }

var pointerToken = strings.NewReplacer("~", "~0", "/", "~1")

// PointerToken is a member's name as a part of a JSON pointer (RFC 6901, section 3).
func PointerToken(name string) string { return pointerToken.Replace(name) }

// TextCode is the code of what a check of texts says (see domain.TextKind).
func TextCode(err error) string {
	if domain.IsTooLong(err) {
		return CodeTooLong
	}
	return CodeText
}
