package orders

import (
	"strings"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/httpapi/problem"
)

// Check finds the texts of a command that cannot be taken. The errors name them as the bodies of requests do. What is taken here
// stands in the log, and every reader of the log must be able to keep it.
func (cmd Command) Check() (wrong []problem.FieldError) {
	if cmd.Request.NeedsReason() {
		wrong = required("/reason", cmd.Reason, "it stands in the order's log; name no customer in it")
	}
	wrong = append(wrong, checkText("/reason", domain.ReasonText, cmd.Reason)...)
	if cmd.Reference != nil {
		wrong = append(wrong, checkText("/erpReference", domain.ReferenceText, *cmd.Reference)...)
	}
	return append(wrong, checkText("/idempotencyKey", domain.KeyText, cmd.IdempotencyKey)...)
}

// Check finds what is wrong with the reason, as Command.Check does.
func (r DeadLetterRequest) Check() []problem.FieldError {
	return append(required("/reason", r.Reason, "it is kept with the dead letter; name no customer in it"), checkText("/reason", domain.ReasonText, r.Reason)...)
}

// required refuses a text that is missing or blank.
func required(pointer, text, why string) []problem.FieldError {
	if strings.TrimSpace(text) != "" {
		return nil
	}
	return []problem.FieldError{{Pointer: pointer, Code: problem.CodeRequired, Detail: "is required: " + why}}
}

// checkText refuses a text that its kind does not allow.
func checkText(pointer string, kind domain.TextKind, text string) []problem.FieldError {
	if err := kind.Check(text); err != nil {
		return []problem.FieldError{{Pointer: pointer, Code: problem.TextCode(err), Detail: err.Error()}}
	}
	return nil
}
