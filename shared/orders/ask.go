package orders

import (
	"strings"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/problem"
)

// Check says what cannot be taken of the texts that somebody gave, by the names that the bodies of all doors have for them.
// What would come into the log here, every reader of it must be able to keep.
func (a Ask) Check() (wrong []problem.FieldError) {
	check := func(pointer string, kind domain.TextKind, text string) {
		if err := kind.Check(text); err != nil {
			wrong = append(wrong, problem.FieldError{Pointer: pointer, Code: problem.TextCode(err), Detail: err.Error()})
		}
	}
	if a.Request.NeedsReason() && strings.TrimSpace(a.Reason) == "" {
		wrong = append(wrong, problem.FieldError{
			Pointer: "/reason", Code: problem.CodeRequired, Detail: "is required: it stands in the order's log; name no customer in it",
		})
	}
	check("/reason", domain.ReasonText, a.Reason)
	if a.Reference != nil {
		check("/erpReference", domain.ReferenceText, *a.Reference)
	}
	check("/idempotencyKey", domain.KeyText, a.IdempotencyKey)
	return wrong
}
