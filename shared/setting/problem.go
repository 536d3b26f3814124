package setting

import (
	"strings"

	"github.com/erpconnector/erpconnector/shared/httpapi/problem"
)

// Problem is one value that cannot be taken. The environment tells it by the variable, the CLI by the setting's name, and the
// API by its place in the body.
type Problem struct {
	Name     string // the setting's, as the API, the CLI and the table have it
	Variable string // the environment's name for it
	Code     string // of the field error
	Said     string // what follows either name: the value, and what is taken
	with     string // the other setting that it does not go together with
}

// Error names the setting, its value and what is taken.
func (p Problem) Error() string { return p.Name + " " + p.Said }

// FieldError is the problem in the form of the API.
func (p Problem) FieldError() problem.FieldError {
	return problem.FieldError{Pointer: "/" + problem.PointerToken(p.Name), Code: p.Code, Detail: p.Said}
}

// Problems are all that is wrong with a change, or with a set of values, at once.
type Problems []Problem

// Error is one line for each.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.Error()
	}
	return strings.Join(lines, "\n")
}

// FieldErrors are the problems in the form of the API.
func (ps Problems) FieldErrors() (out []problem.FieldError) {
	for _, p := range ps {
		out = append(out, p.FieldError())
	}
	return out
}

// err is nil when there are none.
func (ps Problems) err() error {
	if len(ps) == 0 {
		return nil
	}
	return ps
}
