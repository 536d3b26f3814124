package domain

import (
	"fmt"
	"regexp"
	"strings"
)

// AnswerField is the place of a member in an answer's JSON object: the names that lead to it, like data.order.number.
type AnswerField string

// MaxFieldNames is how deep a field may lie: so many levels of an answer are kept.
const MaxFieldNames = keptNesting

var fieldName = regexp.MustCompile(`^[A-Za-z0-9_$@-]{1,64}$`)

// IsValid reports whether the field is 1 to MaxFieldNames names with dots between them.
func (f AnswerField) IsValid() bool {
	names := strings.Split(string(f), ".")
	for _, name := range names {
		if !fieldName.MatchString(name) {
			return false
		}
	}
	return len(names) <= MaxFieldNames
}

// member is the name of the object's own member that the field lies in.
func (f AnswerField) member() string {
	name, _, _ := strings.Cut(string(f), ".")
	return name
}

// FailureField is a field whose value means that a 2xx is a failure, like success=false.
type FailureField struct {
	Field AnswerField
	Value string // as it is written in JSON; of a text, its content
}

func (f FailureField) String() string { return string(f.Field) + "=" + f.Value }

// Members are the members of an answer's object that the policy reads, beside those that always have a meaning. Whoever reads an answer
// gives them to ReadAnswerBody.
func (p AnswerPolicy) Members() (names []string) {
	for _, f := range p.FailureFields {
		names = append(names, f.Field.member())
	}
	for _, f := range p.ReferenceFields {
		names = append(names, f.member())
	}
	return names
}

// at is the value of a field. It is not known when there is none in what was read, and there may be one in what was not.
func (b AnswerBody) at(f AnswerField) (v value, isKnown bool) {
	first, rest, isNested := strings.Cut(string(f), ".")
	v, ok := b.members[first]
	isKnown = ok || b.isWhole || !b.isObject
	for isNested && ok {
		var name string
		name, rest, isNested = strings.Cut(rest, ".")
		outer := v
		v, ok = outer.find(name)
		isKnown = ok || !outer.dropped
	}
	return v, isKnown
}

// referenceAt is the reference in the first of the fields that holds one.
func (b AnswerBody) referenceAt(fields []AnswerField) (Reference, error) {
	for _, f := range fields {
		v, _ := b.at(f)
		if r, err := v.reference(); r != "" || err != nil {
			if err != nil {
				err = fmt.Errorf("%s %w", f, err)
			}
			return r, err
		}
	}
	return "", nil
}

// disguised is the outcome of a 2xx that is no success by the policy. A field that may lie in what was not read leaves it open: the
// order is sent again, under the same key.
func disguised(a Answer, p AnswerPolicy) (o Outcome, is bool) {
	if p.RetryPages && a.Body.isPage() {
		return Outcome{Kind: OutcomeRetryable, Code: ErrorUnavailable, Error: withWords(errorText(a), fmt.Sprintf("HTTP %d, and retry_html_pages is on", a.StatusCode))}, true
	}
	for _, f := range p.FailureFields {
		switch v, isKnown := a.Body.at(f.Field); {
		case v.isWritten(f.Value):
			return Outcome{Kind: OutcomeFinal, Code: ErrorRejected, Error: withWords(errorText(a), fmt.Sprintf("HTTP %d says %s", a.StatusCode, f))}, true
		case !isKnown:
			return Outcome{Kind: OutcomeRetryable, Code: ErrorNetwork, Error: truncate(fmt.Sprintf("HTTP %d does not show whether it says %s: its answer is too long or broke off", a.StatusCode, f))}, true
		}
	}
	return Outcome{}, false
}

// isPage reports whether the body is an HTML page.
func (b AnswerBody) isPage() bool {
	_, is := pageTitle(strings.TrimSpace(strings.TrimPrefix(KeepableText(string(b.Start)), byteOrderMark)))
	return is
}

// isWritten reports whether the value stands in JSON as this text, with or without quotes.
func (v value) isWritten(text string) bool {
	return v.literal == text && text != "" || (v.kind == textValue || v.kind == numberValue) && v.text == text
}

// find is the last member with the name.
func (v value) find(name string) (value, bool) {
	for i := len(v.names) - 1; i >= 0; i-- {
		if v.names[i] == name {
			return v.parts[i], true
		}
	}
	return value{}, false
}
