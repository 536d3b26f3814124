package event

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/erpconnector/erpconnector/shared/domain"
)

// Digest is the same for a repeated event, and another one for a changed event. The order of members, white space, escapes and
// exponents do not count, as jsonb changes them.
func Digest(body []byte) [sha256.Size]byte {
	c := canonical{rest: body, out: make([]byte, 0, len(body))}
	if !c.value(0) || len(bytes.TrimSpace(c.rest)) > 0 {
		return sha256.Sum256(decodedCanonical(body))
	}
	return sha256.Sum256(c.out)
}

// decodedCanonical says what the canonical form is: that of encoding/json, which sorts members by their names. It takes any text;
// accept has checked the body.
func decodedCanonical(body []byte) []byte {
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	var value any
	_ = dec.Decode(&value)
	encoded, _ := domain.EncodeJSON(withoutExponents(value))
	return encoded
}

// withoutExponents writes out the exponents of all numbers, as jsonb does.
func withoutExponents(v any) any {
	switch v := v.(type) {
	case json.Number:
		if amount, err := domain.ParseAmount(v.String()); strings.ContainsAny(v.String(), "eE") && err == nil {
			return amount
		}
	case []any:
		for i := range v {
			v[i] = withoutExponents(v[i])
		}
	case map[string]any:
		for name := range v {
			v[name] = withoutExponents(v[name])
		}
	}
	return v
}

// canonical writes the canonical form while it reads, in a quarter of the time. It gives up at whatever a usual event does not have, and
// leaves it to decodedCanonical.
type canonical struct {
	rest []byte // to read
	out  []byte
}

// maxCanonicalDepth is deeper than an event may be.
const maxCanonicalDepth = 100

// value copies one value. It is false where it gives up.
func (c *canonical) value(depth int) bool {
	c.space()
	if len(c.rest) == 0 || depth > maxCanonicalDepth {
		return false
	}
	switch c.rest[0] {
	case '{':
		return c.object(depth)
	case '[':
		return c.list(depth)
	case '"':
		_, ok := c.text()
		return ok
	default:
		return c.literal()
	}
}

func (c *canonical) space() {
	for len(c.rest) > 0 && (c.rest[0] == ' ' || c.rest[0] == '\n' || c.rest[0] == '\t' || c.rest[0] == '\r') {
		c.rest = c.rest[1:]
	}
}

// next copies the character if it comes next, after white space.
func (c *canonical) next(char byte) bool {
	c.space()
	if len(c.rest) == 0 || c.rest[0] != char {
		return false
	}
	c.rest, c.out = c.rest[1:], append(c.out, char)
	return true
}

// member is where one member of an object stands in the output.
type member struct {
	name     []byte
	from, to int
}

func (c *canonical) object(depth int) bool {
	var room [32]member
	members, sorted := room[:0], true
	c.next('{')
	begin := len(c.out)
	for !c.next('}') {
		if len(members) > 0 && !c.next(',') {
			return false
		}
		c.space()
		from := len(c.out)
		name, ok := c.text()
		if !ok || !c.next(':') || !c.value(depth+1) {
			return false
		}
		if n := len(members); n > 0 {
			sorted = sorted && bytes.Compare(members[n-1].name, name) < 0
		}
		members = append(members, member{name, from, len(c.out)})
	}
	return sorted || c.sort(begin, members)
}

// sort brings the members of the object that has just ended into order.
func (c *canonical) sort(begin int, members []member) bool {
	slices.SortFunc(members, func(a, b member) int { return bytes.Compare(a.name, b.name) })
	read := slices.Clone(c.out[begin:])
	c.out = c.out[:begin]
	for i, m := range members {
		if i > 0 {
			if bytes.Equal(members[i-1].name, m.name) {
				return false
			}
			c.out = append(c.out, ',')
		}
		c.out = append(c.out, read[m.from-begin:m.to-begin]...)
	}
	c.out = append(c.out, '}')
	return true
}

func (c *canonical) list(depth int) bool {
	c.next('[')
	for first := true; !c.next(']'); first = false {
		if !first && !c.next(',') || !c.value(depth+1) {
			return false
		}
	}
	return true
}

// text copies a string. The bytes of most are what they mean; one with an escape is decoded and encoded again.
func (c *canonical) text() (meaning []byte, ok bool) {
	if len(c.rest) == 0 || c.rest[0] != '"' {
		return nil, false
	}
	escaped := false
	for i := 1; i < len(c.rest); i++ {
		switch char := c.rest[i]; {
		case char == '\\':
			escaped = true
			i++
		case char < ' ':
			return nil, false
		case char == '"':
			quoted := c.rest[:i+1]
			c.rest = c.rest[i+1:]
			return c.copyText(quoted, escaped)
		}
	}
	return nil, false
}

// copyText copies a string with its quotes. encoding/json escapes two separators of lines that JSON does not.
func (c *canonical) copyText(quoted []byte, escaped bool) (meaning []byte, ok bool) {
	if !utf8.Valid(quoted) {
		return nil, false
	}
	if !escaped && !bytes.Contains(quoted, []byte("\u2028")) && !bytes.Contains(quoted, []byte("\u2029")) {
		c.out = append(c.out, quoted...)
		return quoted[1 : len(quoted)-1], true
	}
	var text string
	if err := json.Unmarshal(quoted, &text); err != nil {
		return nil, false
	}
	encoded, err := domain.EncodeJSON(text)
	c.out = append(c.out, encoded...)
	return []byte(text), err == nil
}

// literal copies a number, true, false or null.
func (c *canonical) literal() bool {
	end := 0
	for end < len(c.rest) && strings.IndexByte(" \t\r\n,]}", c.rest[end]) < 0 {
		end++
	}
	literal := c.rest[:end]
	c.rest = c.rest[end:]
	switch string(literal) {
	case "true", "false", "null":
	default:
		if bytes.ContainsAny(literal, "eE") || !jsontext.Value(literal).IsValid() { // an exponent is written out
			return false
		}
	}
	c.out = append(c.out, literal...)
	return true
}
