package domain

import "strings"

// value is a JSON value in an answer, as far as it is kept.
type value struct {
	kind  valueKind
	text  string   // of a text or number
	names []string // of an object's members
	parts []value  // of an object or list

	dropped bool   // there were more parts
	literal string // true, false or null
}

type valueKind byte

const (
	noValue valueKind = iota // none, or null, true and false
	textValue
	numberValue
	objectValue
	listValue
)

// scalar is a text or a number, in at most MaxErrorBytes; "" for any other value.
func (v value) scalar() string { return truncate(v.text) }

// reference is the value as a Reference; empty when it is none. The error says why a reference cannot be kept.
func (v value) reference() (Reference, error) {
	text := v.text
	switch v.kind {
	case textValue:
		text = trimmed(text)
	case numberValue:
		var err error
		if text, err = digits(text); err != nil {
			return "", err
		}
	default:
		return "", nil
	}
	r := Reference(KeepableText(text))
	return r, r.Validate()
}

// member is the last member with the name.
func (v value) member(name string) value {
	part, _ := v.find(name)
	return part
}

// wording lists the members in which objects say what is wrong, the best first: those of REST and OData services, of problem
// details and of validators.
var wording = []string{"message", "detail", "description", "msg", "text", "value", "title", "reason", "error", "errors", "code"}

// words is what a value says to people: a text or number itself, the message of an object, all entries of a list.
func (v value) words() string {
	switch v.kind {
	case textValue, numberValue:
		return v.scalar()
	case listValue:
		return v.eachWords()
	case objectValue:
		for _, name := range wording {
			if s := v.member(name).words(); s != "" {
				return s
			}
		}
		return v.eachWords()
	default:
		return ""
	}
}

// eachWords is what the parts say; those of an object with their names, as in {"sku": ["is unknown"]}. Bare numbers are left out.
func (v value) eachWords() string {
	var out []string
	for i, part := range v.parts {
		s := part.words()
		if s == "" || part.kind == numberValue {
			continue
		}
		if v.kind == objectValue {
			s = v.names[i] + ": " + s
		}
		out = append(out, s)
	}
	return truncate(strings.Join(out, "; "))
}
