package access

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/httpapi"
	"github.com/erpconnector/erpconnector/shared/httpapi/problem"
)

// Errors of users.
var (
	ErrNoUser   = errors.New("there is no such user")
	ErrUserName = errors.New("a user of that name is there already, in whatever letters; choose another name")
)

// User is somebody who logs in with a password, as users are listed.
type User struct {
	ID         int64
	Name       string
	Resources  []httpapi.Resource
	Source     *string // the one shop that the user is for; nil: all
	CreatedAt  time.Time
	CreatedBy  string
	ChangedAt  *time.Time
	ChangedBy  *string
	DisabledAt *time.Time // nil: may log in
	DisabledBy *string
}

const userColumns = `user_id, name, resources, source, created_at, created_by, changed_at, changed_by, disabled_at, disabled_by`

// NewUser says what a user shall be.
type NewUser struct {
	Name      string
	Password  string
	Resources []httpapi.Resource
	Source    string // empty: all shops
	By        string // who makes it
}

// Check finds what cannot be taken. The errors name the members of a body.
func (n NewUser) Check() (wrong []problem.FieldError) {
	if strings.TrimSpace(n.Name) != n.Name || n.Name == "" {
		wrong = append(wrong, problem.FieldError{
			Pointer: "/name", Code: problem.CodeRequired, Detail: "is required, without a blank at either end: by it the user logs in, and the log names it",
		})
	} else if err := domain.WhoText.Check(n.Name); err != nil {
		wrong = append(wrong, problem.FieldError{Pointer: "/name", Code: problem.TextCode(err), Detail: err.Error()})
	} else if httpapi.IsReservedName(n.Name) {
		wrong = append(wrong, problem.FieldError{
			Pointer: "/name", Code: problem.CodeInvalid, Detail: fmt.Sprintf("is %q, by which the log and histories mean another; choose another one", n.Name),
		})
	}
	wrong = append(wrong, checkPassword(n.Password)...)
	wrong = append(wrong, checkResources(n.Resources, "the user")...)
	return append(wrong, checkSource(n.Source)...)
}

// checkPassword asks for length only: rules about digits and signs make people choose passwords that are guessed sooner.
func checkPassword(password string) []problem.FieldError {
	if len(password) < minPasswordBytes || len(password) > maxPasswordBytes {
		return []problem.FieldError{{
			Pointer: "/password", Code: problem.CodeRange,
			Detail: fmt.Sprintf("has %d bytes; it must have %d to %d, of any characters", len(password), minPasswordBytes, maxPasswordBytes),
		}}
	}
	return nil
}

// UserChange says what of a user shall be otherwise; nil: it stays.
type UserChange struct {
	Password  *string
	Resources []httpapi.Resource
	Source    *string // empty: all shops
	Disabled  *bool
	By        string
}

// Check finds what cannot be taken. The errors name the members of a body.
func (c UserChange) Check() (wrong []problem.FieldError) {
	if c.Password == nil && c.Resources == nil && c.Source == nil && c.Disabled == nil {
		wrong = append(wrong, problem.FieldError{Code: problem.CodeRequired, Detail: "names nothing to change: password, resources, source or disabled"})
	}
	if c.Password != nil {
		wrong = append(wrong, checkPassword(*c.Password)...)
	}
	if c.Resources != nil {
		wrong = append(wrong, checkResources(c.Resources, "the user")...)
	}
	if c.Source != nil {
		wrong = append(wrong, checkSource(*c.Source)...)
	}
	return wrong
}

// Gives reports whether the change lets somebody do what could not be done before: by a password that is known, by resources, by the shops,
// or by letting the user in again. Who makes such a change must be allowed all that the user is.
func (c UserChange) Gives() bool {
	return c.Password != nil || c.Resources != nil || c.Source != nil || (c.Disabled != nil && !*c.Disabled)
}

// endsSessions reports whether sessions that began before end with the change.
func (c UserChange) endsSessions() bool {
	return c.Password != nil || (c.Disabled != nil && *c.Disabled)
}
