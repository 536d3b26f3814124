package event

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/erpconnector/erpconnector/shared/domain"
)

// Digest is the same for a repeated event, and another one for a changed event. The order of members, white space, escapes and
// exponents do not count, as jsonb changes them.
func Digest(body []byte) [sha256.Size]byte {
	c := canonicals.Get().(*canonical) //nolint:forcetypeassert // it holds nothing else
	defer canonicals.Put(c)
	c.read(body)
	if !isUsual(body) || !c.value(0) || c.peek() != 0 {
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

// canonical writes the canonical form while it reads, in a sixth of the time. It gives up at whatever a usual event does not have, and
// leaves it to decodedCanonical. It keeps places, not slices: storing a pointer costs more than a byte while the collector runs.
type canonical struct {
	body    []byte
	at      int // the first byte of body that is not read
	out     []byte
	members []member // of all objects that are being read, the innermost last
	scratch []byte   // of sort
}

// canonicals keeps their room for the next event.
var canonicals = sync.Pool{New: func() any { return new(canonical) }}

// read begins with a text.
func (c *canonical) read(body []byte) {
	*c = canonical{body: body, out: c.out[:0], members: c.members[:0], scratch: c.scratch[:0]}
}

// maxCanonicalDepth is deeper than an event may be.
const maxCanonicalDepth = 100

// isUsual reports whether the bytes of texts mean themselves: UTF-8, without two separators of lines, which encoding/json escapes though JSON
// does not.
func isUsual(body []byte) bool {
	return utf8.Valid(body) && !bytes.Contains(body, []byte("\u2028")) && !bytes.Contains(body, []byte("\u2029"))
}

// value copies one value. It is false where it gives up.
func (c *canonical) value(depth int) bool {
	if depth > maxCanonicalDepth {
		return false
	}
	switch c.peek() {
	case '{':
		return c.object(depth)
	case '[':
		return c.list(depth)
	case '"':
		return c.text()
	default:
		return c.literal()
	}
}

// peek is the next character after white space; 0 at the end.
func (c *canonical) peek() byte {
	for ; c.at < len(c.body); c.at++ {
		switch char := c.body[c.at]; char {
		case ' ', '\n', '\t', '\r':
		default:
			return char
		}
	}
	return 0
}

// next copies the character if it comes next, after white space.
func (c *canonical) next(char byte) bool {
	if c.peek() != char {
		return false
	}
	c.at++
	c.out = append(c.out, char)
	return true
}

// member is where one member of an object stands in the output.
type member struct{ from, nameTo, to int }

func (c *canonical) object(depth int) bool {
	first, begin, sorted := len(c.members), len(c.out)+1, true
	c.next('{')
	for !c.next('}') {
		if len(c.members) > first && !c.next(',') {
			return false
		}
		m := member{from: len(c.out)}
		if c.peek() != '"' || !c.name() {
			return false
		}
		m.nameTo = len(c.out)
		if !c.next(':') || !c.value(depth+1) {
			return false
		}
		m.to = len(c.out)
		sorted = sorted && (len(c.members) == first || c.compare(c.members[len(c.members)-1], m) < 0)
		c.members = append(c.members, m)
	}
	ok := sorted || c.sort(begin, c.members[first:])
	c.members = c.members[:first]
	return ok
}

// compare orders members by their names.
func (c *canonical) compare(a, b member) int {
	return bytes.Compare(c.out[a.from+1:a.nameTo-1], c.out[b.from+1:b.nameTo-1])
}

// sort brings the members of the object that has just ended into order. It is false when two have one name.
func (c *canonical) sort(begin int, members []member) bool {
	slices.SortFunc(members, c.compare)
	for i := 1; i < len(members); i++ {
		if c.compare(members[i-1], members[i]) == 0 {
			return false
		}
	}
	c.scratch = append(c.scratch[:0], c.out[begin:]...)
	c.out = c.out[:begin]
	for i, m := range members {
		if i > 0 {
			c.out = append(c.out, ',')
		}
		c.out = append(c.out, c.scratch[m.from-begin:m.to-begin]...)
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

// name copies a member's name. It gives up at an escape, as members are sorted by what their names mean.
func (c *canonical) name() bool {
	quoted, escaped := c.quoted()
	c.out = append(c.out, quoted...)
	return len(quoted) > 0 && !escaped
}

// text copies a string. The bytes of most are what they mean; one with an escape is decoded and encoded again.
func (c *canonical) text() bool {
	quoted, escaped := c.quoted()
	if !escaped {
		c.out = append(c.out, quoted...)
		return len(quoted) > 0
	}
	var text string
	if err := json.Unmarshal(quoted, &text); err != nil {
		return false
	}
	encoded, err := domain.EncodeJSON(text)
	c.out = append(c.out, encoded...)
	return err == nil
}

// quoted steps over a string and returns it as it is written, with its quotes. It is empty where there is no whole string.
func (c *canonical) quoted() (quoted []byte, escaped bool) {
	for i := c.at + 1; i < len(c.body); i++ {
		switch char := c.body[i]; {
		case char == '\\':
			escaped = true
			i++
		case char < ' ':
			return nil, false
		case char == '"':
			quoted = c.body[c.at : i+1]
			c.at = i + 1
			return quoted, escaped
		}
	}
	return nil, false
}

// literal copies a number, true, false or null.
func (c *canonical) literal() bool {
	end := c.at
	for end < len(c.body) && strings.IndexByte(" \t\r\n,]}", c.body[end]) < 0 {
		end++
	}
	literal := c.body[c.at:end]
	c.at = end
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
