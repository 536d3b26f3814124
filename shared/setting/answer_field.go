package setting

import (
	"strings"

	"github.com/erpconnector/erpconnector/shared/domain"
)

// failureFields are fields of a 2xx whose value means a failure.
var failureFields = kind[[]domain.FailureField]{
	typ: Places, forms: formTexts + formList,
	allowed: "fields of the answer's JSON with the value that means a failure, like success=false or result.status=error; in JSON a list of texts",
	parse: func(list string) (fields []domain.FailureField, ok bool) {
		return parseList(list, func(part string) (domain.FailureField, bool) {
			field, value, ok := strings.Cut(part, "=")
			f := domain.FailureField{Field: domain.AnswerField(strings.TrimSpace(field)), Value: strings.TrimSpace(value)}
			return f, ok && f.Value != "" && f.Field.IsValid()
		})
	},
	format: func(fields []domain.FailureField) string { return strings.Join(texts(fields), ",") },
	encode: func(fields []domain.FailureField) any { return texts(fields) },
}

// referenceFields are places of the ERP's number in an answer.
var referenceFields = kind[[]domain.AnswerField]{
	typ: Places, forms: formTexts + formList,
	allowed: "fields of the answer's JSON, names with dots between them, like data.order.number; in JSON a list of texts",
	parse: func(list string) (fields []domain.AnswerField, ok bool) {
		return parseList(list, func(part string) (domain.AnswerField, bool) {
			f := domain.AnswerField(part)
			return f, f.IsValid()
		})
	},
	format: func(fields []domain.AnswerField) string { return strings.Join(texts(fields), ",") },
	encode: func(fields []domain.AnswerField) any { return texts(fields) },
}

// parseList reads a list with commas. Its order counts.
func parseList[T any](list string, parse func(part string) (T, bool)) (out []T, ok bool) {
	for part := range strings.SplitSeq(list, ",") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		v, ok := parse(part)
		if !ok {
			return nil, false
		}
		out = append(out, v)
	}
	return out, true
}

// texts is never nil: null is the environment's value.
func texts[T domain.AnswerField | domain.FailureField](fields []T) []string {
	out := make([]string, len(fields))
	for i, f := range fields {
		switch f := any(f).(type) {
		case domain.AnswerField:
			out[i] = string(f)
		case domain.FailureField:
			out[i] = f.String()
		}
	}
	return out
}
