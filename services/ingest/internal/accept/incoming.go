package accept

import "github.com/erpconnector/erpconnector/shared/httpapi/problem"

// Incoming is one event as it came, with its trace.
type Incoming struct {
	Body        []byte
	Traceparent string
	Source      string // the one shop whose events whoever sends them may send; empty: all
	PathSource  string // the shop that the request's path names; empty: none
}

// foreign says what is wrong with an event of another shop than that of the path, or than the one that its sender may speak for.
func (in Incoming) foreign(source string) []problem.FieldError {
	switch {
	case in.PathSource != "" && in.PathSource != source:
		return []problem.FieldError{wrong("/source", problem.CodeContradicts, "is %s, and the path names the shop %s: name it in the event, too", source, in.PathSource)}
	case in.Source != "" && in.Source != source:
		return []problem.FieldError{wrong("/source", problem.CodeForbidden, "is %s, and the token is for the shop %s only", source, in.Source)}
	}
	return nil
}
