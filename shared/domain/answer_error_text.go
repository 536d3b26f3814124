package domain

import (
	"regexp"
	"strings"
	"unicode"
)

// Limits of what an answer calls a code or a field, in bytes. What is longer is none.
const (
	maxERPCode   = 100
	maxFieldPath = 120
)

var (
	plainCode  = regexp.MustCompile(`^[A-Za-z0-9_.:/#-]*[A-Za-z0-9][A-Za-z0-9_.:/#-]*$`)
	manyDigits = regexp.MustCompile(`[0-9]{11}`)
	uuid       = regexp.MustCompile(`(?i)^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)
	someDigits = regexp.MustCompile(`[0-9]{4,}`)
	statusCode = regexp.MustCompile(`^(4[0-3][0-9]|451|50[0-9]|51[01])$`)
	statusType = regexp.MustCompile(`/rfc-?[0-9]`) // what frameworks name as the type where nobody has chosen one: the place of the status in HTTP's RFC
)

// normalCode is the code in a value, or "" where it is none: words, an identifier of this one answer, an HTTP status.
func normalCode(v value) string {
	code := v.text
	if v.kind == textValue {
		code = strings.TrimSpace(code)
	}
	if len(code) > maxERPCode || !plainCode.MatchString(code) || manyDigits.MatchString(code) || uuid.MatchString(code) || statusCode.MatchString(code) {
		return ""
	}
	return code
}

// problemType is the type of problem details, a URI that names the kind of the problem.
func problemType(top value) string {
	kind := top.named("type")
	about := top.named("title").kind == textValue || top.named("detail").kind == textValue
	if !about || kind.kind != textValue || !strings.ContainsAny(kind.text, ":/") || kind.text == "about:blank" || statusType.MatchString(kind.text) {
		return ""
	}
	return normalCode(kind)
}

// normalField is the path in a value: a text, or a list of names and numbers like ["items", 0, "sku"].
func normalField(v value) string {
	switch v.kind {
	case textValue:
		return FieldPath(strings.TrimSpace(v.text))
	case listValue:
		var path strings.Builder
		for _, part := range v.parts {
			if part.kind != textValue && part.kind != numberValue || path.Len() > maxFieldPath {
				return ""
			}
			path.WriteString("." + part.text)
		}
		return FieldPath(path.String())
	default:
		return ""
	}
}

// FieldPath is a path within an order in one form, without what differs between orders: "/items/3/sku", "items[0].sku" and
// "$.items[12]['sku']" are all "items[#].sku". It is "" for what is no path of names, as words or an e-mail address.
func FieldPath(text string) string {
	if len(text) > maxFieldPath {
		return ""
	}
	p := pathReader{rest: strings.TrimPrefix(text, "#/")}
	for p.rest != "" {
		if !p.step() {
			return ""
		}
	}
	if path := p.out.String(); p.named && len(path) <= maxFieldPath {
		return path
	}
	return ""
}

// pathReader reads a path, step by step.
type pathReader struct {
	rest  string
	out   strings.Builder
	named bool // there was a name
}

// step reads a name, a number or a key. It reports whether what comes is one.
func (p *pathReader) step() bool {
	switch c := p.rest[0]; c {
	case '.', '/':
		p.rest = p.rest[1:]
		return true
	case '[', '(':
		inner, rest, closed := strings.Cut(p.rest[1:], map[byte]string{'[': "]", '(': ")"}[c])
		p.rest = rest
		if c == '(' { // a key, as in OData: lines(17)
			inner = "#"
		}
		return closed && p.add(unquoted(inner))
	}
	end := strings.IndexAny(p.rest, "./[(")
	if end < 0 {
		end = len(p.rest)
	}
	name := p.rest[:end]
	p.rest = p.rest[end:]
	return name == "$" || p.add(name) // $ is the root
}

func unquoted(text string) string {
	if n := len(text); n > 1 && (text[0] == '\'' || text[0] == '"') && text[n-1] == text[0] {
		return text[1 : n-1]
	}
	return text
}

// add adds a name, or [#] for a number or key. It reports whether it is one of them.
func (p *pathReader) add(name string) bool {
	if isKey(name) {
		p.out.WriteString("[#]")
		return true
	}
	if strings.ContainsFunc(name, isNoName) {
		return false
	}
	if p.out.Len() > 0 {
		p.out.WriteByte('.')
	}
	p.out.WriteString(someDigits.ReplaceAllString(name, "#"))
	p.named = true
	return true
}

// isKey reports whether a step of a path says which one of many, and not what.
func isKey(step string) bool {
	return strings.Trim(step, "0123456789") == "" || step == "#" || step == "*" || step == "-" || uuid.MatchString(step)
}

// isNoName reports whether the character is in no name of a field.
func isNoName(r rune) bool {
	return r != '_' && r != '-' && r != '$' && r != ':' && r != '#' && (r < '0' || r > '9') && !unicode.IsLetter(r)
}
