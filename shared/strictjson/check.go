// Package strictjson reads JSON that comes from outside. Programs differ about what some JSON means: which of two members of
// one name counts, whether upper and lower case differ, what half a character is. JSON that may mean two things is refused,
// with each place and what to do about it.
package strictjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/erpconnector/erpconnector/shared/httpapi/problem"
	"github.com/erpconnector/erpconnector/shared/spelling"
)

// MaxDepth is how deep lists and objects may be nested.
const MaxDepth = 64

// Read checks the JSON and reads it into v, a pointer to a struct, a slice or a map. It returns everything that is wrong at
// once; then v must not be used.
func Read(raw []byte, v any, s *Shape) []problem.FieldError {
	if wrong := s.Check(raw); len(wrong) > 0 {
		return wrong
	}
	return Decode("", raw, v)
}

// Check refuses invalid JSON and what Postgres cannot keep as text: bytes that are not UTF-8, U+0000 and half characters, in
// names and values. It refuses a name twice in an object, a known name in another case, and JSON that is nested too deep. A
// closed shape refuses every unknown name.
func (s *Shape) Check(raw []byte) []problem.FieldError {
	if e := encoding(raw); e != "" {
		return []problem.FieldError{{Code: problem.CodeNotUTF8, Detail: e}}
	}
	if !Valid(raw) {
		return []problem.FieldError{{Code: problem.CodeNotJSON, Detail: NotJSON(raw)}}
	}
	var names [32][]byte
	var path [8]step
	w := walker{raw: raw, names: names[:0], path: path[:0]}
	if !w.value(s) {
		return []problem.FieldError{{Code: problem.CodeTooDeep, Detail: fmt.Sprintf("is nested deeper than %d levels", MaxDepth)}}
	}
	return w.wrong
}

// Valid is json.Valid, in a quarter of the time.
func Valid(raw []byte) bool { return jsontext.Value(raw).IsValid(lenient...) || json.Valid(raw) }

// lenient are the rules of encoding/json.
var lenient = []jsontext.Options{jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)}

// Compact is the JSON without white space between its values: the given bytes, when they have none. JSON that is not valid stays as it is.
func Compact(raw []byte) []byte {
	if isCompact(raw) {
		return raw
	}
	out := jsontext.Value(bytes.Clone(raw))
	_ = out.Compact(lenient...) // fails only for what is not valid
	return out
}

// isCompact reports whether no white space stands outside of strings.
func isCompact(raw []byte) bool {
	for i := 0; i < len(raw); i++ {
		switch raw[i] {
		case ' ', '\t', '\r', '\n':
			return false
		case '"':
			for i++; i < len(raw) && raw[i] != '"'; i++ {
				if raw[i] == '\\' {
					i++
				}
			}
		}
	}
	return true
}

// NotJSON says what is wrong with a text that is not JSON, and at which byte.
func NotJSON(raw []byte) string {
	if e := encoding(raw); e != "" {
		return e
	}
	if len(bytes.TrimSpace(raw)) == 0 {
		return "is empty: send JSON"
	}
	err := json.Unmarshal(raw, new(json.RawMessage))
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		return fmt.Sprintf("is not valid JSON: byte %d: %v", syntax.Offset, err)
	}
	return fmt.Sprintf("is not valid JSON: %v", err)
}

// encoding says what the bytes are instead of UTF-8; it is empty when they are UTF-8. A sender sees "is UTF-16", and not a syntax
// error at byte 1.
func encoding(raw []byte) string {
	switch {
	case bytes.HasPrefix(raw, []byte("\xEF\xBB\xBF")):
		return "begins with a byte order mark (EF BB BF): send UTF-8 without it"
	case bytes.HasPrefix(raw, []byte("\xFF\xFE")), bytes.HasPrefix(raw, []byte("\xFE\xFF")):
		return "is UTF-16: send UTF-8"
	case bytes.HasPrefix(raw, []byte("\x1F\x8B")):
		return "is compressed (gzip): send it as it is"
	case len(raw) > 1 && (raw[0] == 0 || raw[1] == 0):
		return "holds bytes of zero, as UTF-16 and UTF-32 do: send UTF-8"
	case !utf8.Valid(raw):
		return fmt.Sprintf("is not valid UTF-8: byte %d", firstInvalid(raw)+1)
	default:
		return ""
	}
}

// firstInvalid returns the index of the first byte that is not UTF-8. U+FFFD itself is valid, and three bytes long.
func firstInvalid(raw []byte) int {
	for at := 0; at < len(raw); {
		r, size := utf8.DecodeRune(raw[at:])
		if r == utf8.RuneError && size == 1 {
			return at
		}
		at += size
	}
	return len(raw)
}

// walker goes once through valid JSON. It relies on the validity: it checks no bounds. It decodes nothing that has no escapes, as
// it runs for every event.
type walker struct {
	raw   []byte
	at    int
	path  []step
	names [][]byte // of all objects that the walker is in, the innermost last
	wrong []problem.FieldError
}

// step is one part of a place: a member's name as it is written, or a position in a list. The name is decoded only for a
// message.
type step struct {
	literal  []byte
	position int
}

// value goes through one value. It is false when the value is nested too deep; then the walk ends.
func (w *walker) value(s *Shape) bool {
	w.space()
	switch w.raw[w.at] {
	case '{':
		return len(w.path) < MaxDepth && w.object(s)
	case '[':
		return len(w.path) < MaxDepth && w.list(s)
	case '"':
		if literal := w.literal(); bytes.IndexByte(literal, '\\') >= 0 {
			w.text(literal)
		}
	default:
		w.scalar()
	}
	return true
}

// scalar steps over a number, true, false or null.
func (w *walker) scalar() {
	for ; w.at < len(w.raw); w.at++ {
		switch w.raw[w.at] {
		case ',', ']', '}', ' ', '\t', '\r', '\n':
			return
		}
	}
}

// list goes through a list. Its elements have one shape.
func (w *walker) list(s *Shape) bool {
	var element *Shape
	if s != nil {
		element = s.element
	}
	w.at++
	for i := 0; w.more(']'); i++ {
		w.path = append(w.path, step{position: i})
		if !w.value(element) {
			return false
		}
		w.path = w.path[:len(w.path)-1]
	}
	return true
}

// object goes through an object. Its names are compared by what they mean: an escape in a name makes no other name.
func (w *walker) object(s *Shape) bool {
	first := len(w.names)
	var many map[string]bool
	w.at++
	for w.more('}') {
		literal := w.literal()
		w.path = append(w.path, step{literal: literal})
		name := literal[1 : len(literal)-1]
		if bytes.IndexByte(name, '\\') >= 0 {
			w.text(literal)
			name = unquoted(literal)
		}
		child := w.member(s, name)
		many = w.once(name, first, many)
		w.space()
		w.at++ // the colon
		if !w.value(child) {
			return false
		}
		w.path = w.path[:len(w.path)-1]
	}
	w.names = w.names[:first]
	return true
}

// manyMembers is the number of members from which on an object's names are kept in a map. Below it, comparing with each is
// faster; above it, the cost would grow with the square.
const manyMembers = 24

// once refuses a name that the object has already. The names of the object begin at first; many is their map, or nil while they
// are few.
func (w *walker) once(name []byte, first int, many map[string]bool) map[string]bool {
	seen := false
	if many == nil {
		for _, other := range w.names[first:] {
			seen = seen || bytes.Equal(other, name)
		}
		w.names = append(w.names, name)
		if len(w.names)-first >= manyMembers {
			many = make(map[string]bool, 2*manyMembers)
			for _, other := range w.names[first:] {
				many[string(other)] = true
			}
		}
	} else {
		seen = many[string(name)]
		many[string(name)] = true
	}
	if seen {
		w.refuse(problem.CodeTwice, "stands there twice; send it once")
	}
	return many
}

// member returns the shape of a member's value. It refuses a name that differs from a known one only in case, as decoders differ
// about it. A closed shape refuses every name that it does not have.
func (w *walker) member(s *Shape, name []byte) *Shape {
	if s == nil || s.members == nil {
		return nil
	}
	if child, known := s.members[string(name)]; known {
		return child
	}
	if known, similar := s.folded[fold(string(name))]; similar {
		w.refuse(problem.CodeCase, fmt.Sprintf("is written %s; write it %q", quoted(name), known))
		return nil
	}
	if s.closed {
		w.refuse(problem.CodeUnknown, "is not known here: "+spelling.Hint(string(name), s.names()))
	}
	return nil
}

// quoted shortens a name, which may be of any length.
func quoted(name []byte) string { return fmt.Sprintf("%.64q", name) }

// maxProblems bounds the answer to one body.
const maxProblems = 100

func (w *walker) refuse(code, detail string) {
	if len(w.wrong) < maxProblems {
		w.wrong = append(w.wrong, problem.FieldError{Pointer: w.pointer(), Code: code, Detail: detail})
	}
}

// pointer returns the JSON pointer of the walker's place.
func (w *walker) pointer() string {
	var b bytes.Buffer
	for _, s := range w.path {
		b.WriteByte('/')
		if s.literal == nil {
			_, _ = fmt.Fprint(&b, s.position)
		} else {
			b.WriteString(problem.PointerToken(string(unquoted(s.literal))))
		}
	}
	return b.String()
}

// unquoted decodes a string.
func unquoted(literal []byte) []byte {
	var s string
	_ = json.Unmarshal(literal, &s) // it is valid
	return []byte(s)
}

func (w *walker) space() {
	for w.at < len(w.raw) {
		switch w.raw[w.at] {
		case ' ', '\t', '\r', '\n':
			w.at++
		default:
			return
		}
	}
}

// more steps over a comma and is true, or steps over the end and is false. The first element has no comma before it.
func (w *walker) more(end byte) bool {
	w.space()
	if w.raw[w.at] == ',' {
		w.at++
		w.space()
	}
	if w.raw[w.at] == end {
		w.at++
		return false
	}
	return true
}

// literal steps over a string and returns it with its quotes, as it is written.
func (w *walker) literal() []byte {
	start := w.at
	for w.at++; w.raw[w.at] != '"'; w.at++ {
		if w.raw[w.at] == '\\' {
			w.at++
		}
	}
	w.at++
	return w.raw[start:w.at]
}
