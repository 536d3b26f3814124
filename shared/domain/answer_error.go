package domain

import (
	"bufio"
	"slices"
	"strings"
)

// AnswerError is what an ERP's answer says of an error to programs. It tells errors apart that read alike, and holds no customer's data:
// a code is a name that the ERP gave to a kind of error, and a field is a path of names.
type AnswerError struct {
	Code  string // the ERP's own, as ORD-17; "" when the answer has none
	Field string // what the ERP complains of, as items[#].sku; "" when the answer does not say
}

// MaxAnswerErrorBytes bounds what is read of a body to find its error. What says the kind of an error stands before traces and dumps.
const MaxAnswerErrorBytes = 8 << 10

// errorLevels are kept of a body's objects and lists: in SAP's, a code lies under error, innererror, errordetails and the entry.
const errorLevels = 6

// AnswerErrorOf finds code and field in the start of an answer's body, where it is JSON of a form that is common: problem details
// (RFC 9457), OData, JSON:API, Magento, Odoo, and whatever names a code or a field like them. A body that breaks off counts as far as it
// goes. The details of an error say more than the error around them, so they come first; of several, the first that names a field.
func AnswerErrorOf(body string) AnswerError {
	body = strings.TrimPrefix(body[:min(len(body), MaxAnswerErrorBytes)], byteOrderMark)
	s := jsonStream{in: bufio.NewReaderSize(strings.NewReader(body), min(len(body)+1, readBytes)), room: maxKeptBytes}
	first, err := s.next()
	if err != nil || first != '{' && first != '[' {
		return AnswerError{}
	}
	top, _ := s.value(first, errorLevels) // what came before it broke off is kept
	if top.kind == listValue {
		return pickedOf(top.parts)
	}
	out := AnswerError{}
	switch inner := top.named("error"); inner.kind {
	case objectValue:
		out = errorIn(inner)
	case listValue:
		out = pickedOf(inner.parts)
	default:
	}
	return out.or(errorIn(top)).or(AnswerError{Code: problemType(top)})
}

// or is the error with what it leaves out from another one.
func (e AnswerError) or(other AnswerError) AnswerError {
	if e.Code == "" {
		e.Code = other.Code
	}
	if e.Field == "" {
		e.Field = other.Field
	}
	return e
}

// Names of members, as named compares them: in small letters, without _ and -. The better ones come first.
var (
	codeNames    = []string{"code", "errorcode", "o:errorcode"}
	fieldNames   = []string{"field", "fieldname", "target", "pointer", "propertypath", "propertyname", "property", "propertyref", "o:errorpath", "attribute", "param", "parameter", "loc"}
	entryNames   = []string{"path", "instancepath", "fields"} // around an error they may mean the request's path, and what the request asked for
	detailsNames = []string{"errors", "details", "detail", "validationerrors", "fielderrors", "violations", "errordetails", "o:errordetails"}
)

// errorIn is the error that an object says: its details, or else itself.
func errorIn(o value) AnswerError {
	for _, name := range detailsNames {
		switch details := o.named(name); details.kind {
		case listValue:
			if e := pickedOf(details.parts); e != (AnswerError{}) {
				return e.or(ownOf(o))
			}
		case objectValue:
			e := ownOf(details)
			if e.Field == "" && name != "details" && name != "detail" {
				e.Field = keyOf(details)
			}
			if e != (AnswerError{}) {
				return e.or(ownOf(o))
			}
		default:
		}
	}
	if e := paramsOf(o); e != (AnswerError{}) {
		return e.or(ownOf(o))
	}
	inner := o.named("innererror")
	return pickedOf(inner.named("errordetails").parts).or(ownOf(o)).or(AnswerError{Code: normalCode(inner.named("type"))})
}

// pickedOf is the entry of a list that says most: the first that names a field, or else the first that has a code.
func pickedOf(entries []value) (picked AnswerError) {
	for _, entry := range entries {
		e := ownOf(entry).or(AnswerError{Field: entry.fieldIn(entryNames)})
		if e.Field != "" {
			return e
		}
		if picked.Code == "" {
			picked = e
		}
	}
	return picked
}

// paramsOf is the first of the invalid-params of RFC 7807: [{"name": "sku", "reason": "…"}].
func paramsOf(o value) AnswerError {
	for _, entry := range o.named("invalidparams").parts {
		if field := normalField(entry.named("name")); field != "" {
			return AnswerError{Field: field}
		}
	}
	return AnswerError{}
}

// ownOf is what an object itself says.
func ownOf(o value) AnswerError {
	e := AnswerError{Code: exceptionName(o), Field: o.fieldIn(fieldNames)}
	for _, name := range codeNames {
		if e.Code == "" {
			e.Code = codeIn(o.named(name))
		}
	}
	if e.Code == "" && o.named("loc").kind == listValue { // an entry of FastAPI's
		e.Code = normalCode(o.named("type"))
	}
	if e.Field == "" {
		e.Field = o.named("source").fieldIn([]string{"pointer", "parameter"}) // JSON:API
	}
	if e.Field == "" {
		e.Field = o.named("parameters").fieldIn([]string{"fieldname", "field"}) // Magento; the others hold values
	}
	return e
}

// fieldIn is the field that the first of the members names.
func (v value) fieldIn(names []string) string {
	for _, name := range names {
		if field := normalField(v.named(name)); field != "" {
			return field
		}
	}
	return ""
}

// codeIn is a code, or the one in an object like {"value": "ORD-17"}.
func codeIn(v value) string {
	if v.kind != objectValue {
		return normalCode(v)
	}
	for _, name := range []string{"value", "code"} {
		if code := normalCode(v.named(name)); code != "" {
			return code
		}
	}
	return ""
}

// exceptionName is the name of the exception of Odoo, whose code is always 200: {"data": {"name": "odoo.exceptions.UserError", "debug": …}}.
func exceptionName(o value) string {
	data := o.named("data")
	if data.named("debug").kind == noValue && data.named("arguments").kind == noValue {
		return ""
	}
	return normalCode(data.named("name"))
}

// keyOf is the first field of errors by field, like {"items[0].sku": ["is unknown"]}. An object that says what is wrong in members of its own
// is no such list.
func keyOf(errors value) (field string) {
	for i, part := range errors.parts {
		if slices.ContainsFunc(wording, func(word string) bool { return isNamed(errors.names[i], word) }) {
			return ""
		}
		if field == "" && (part.kind == textValue || part.kind == listValue) {
			field = FieldPath(errors.names[i])
		}
	}
	return field
}

// named is the last member with the name, whichever way it is written: errorCode, ErrorCode and error_code are the same.
func (v value) named(name string) value {
	for i := len(v.names) - 1; i >= 0; i-- {
		if isNamed(v.names[i], name) {
			return v.parts[i]
		}
	}
	return value{}
}

// isNamed reports whether a member has a name, which is given in small letters, without _ and -.
func isNamed(member, name string) bool {
	at := 0
	for i := range len(member) {
		c := member[i]
		switch {
		case c == '_' || c == '-':
			continue
		case 'A' <= c && c <= 'Z':
			c |= 0x20
		}
		if at == len(name) || name[at] != c {
			return false
		}
		at++
	}
	return at == len(name)
}
