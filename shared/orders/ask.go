package orders

import (
	"strings"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/httpapi/problem"
)

// Check says what cannot be taken of the texts that somebody gave, by the names that the bodies of all doors have for them.
// What would come into the log here, every reader of it must be able to keep.
func (a Command) Check() (wrong []problem.FieldError) {
	if a.Request.NeedsReason() {
		wrong = required("/reason", a.Reason, "it stands in the order's log; name no customer in it")
	}
	wrong = append(wrong, checkText("/reason", domain.ReasonText, a.Reason)...)
	if a.Reference != nil {
		wrong = append(wrong, checkText("/erpReference", domain.ReferenceText, *a.Reference)...)
	}
	return append(wrong, checkText("/idempotencyKey", domain.KeyText, a.IdempotencyKey)...)
}

// Check says what cannot be taken of the reason, as Command.Check does.
func (a DeadLetterRequest) Check() []problem.FieldError {
	return append(required("/reason", a.Reason, "it is kept with the letter; name no customer in it"), checkText("/reason", domain.ReasonText, a.Reason)...)
}

func required(pointer, text, why string) []problem.FieldError {
	if strings.TrimSpace(text) != "" {
		return nil
	}
	return []problem.FieldError{{Pointer: pointer, Code: problem.CodeRequired, Detail: "is required: " + why}}
}

func checkText(pointer string, kind domain.TextKind, text string) []problem.FieldError {
	if err := kind.Check(text); err != nil {
		return []problem.FieldError{{Pointer: pointer, Code: problem.TextCode(err), Detail: err.Error()}}
	}
	return nil
}
