package syncs

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/erpconnector/erpconnector/shared/domain"
)

// Filter says which syncs are asked for, and in which order. A field's zero value asks for all.
type Filter struct {
	Source       string
	Statuses     []domain.Status
	Order        string // the increment id
	OrderID      int64  // the shop's own number of the order
	Email        string // the customer's, in any case; personal data
	ErpReference string
	Key          string // the idempotency key

	ErrorCode  domain.ErrorCode
	Error      string // a part of the error's text, in any case; numbers and names in it match any others (domain.GroupText)
	HTTPStatus int    // of the answer that was the error
	ErrorGroup int64

	AttemptsFrom, AttemptsTo   int // both inclusive; 0: any
	CreatedSince, CreatedUntil time.Time
	UpdatedSince, UpdatedUntil time.Time // since is inclusive, until is not
	Sort                       Sort
	After                      Cursor // of the page before; the zero value: from the begin
	Limit                      int    // of syncs in a page; above 0
	WithoutErrors              bool   // ErrorGroup, HTTPStatus and ErrorCode are left nil, which spares a third of what a page reads

	ofGroups   []int64 // of the errors asked for
	candidates int     // in place of maxCandidates; 0: these
}

// Sort is the order of a list.
type Sort string

// The orders. The zero value is ByUpdateDown.
const (
	ByUpdateDown   Sort = "-updated_at" // the last changed first
	ByUpdate       Sort = "updated_at"
	ByCreationDown Sort = "-created_at"
	ByCreation     Sort = "created_at"
)

// Sorts are all orders.
var Sorts = []Sort{ByUpdateDown, ByUpdate, ByCreationDown, ByCreation}

func (s Sort) column() string {
	if s == ByCreation || s == ByCreationDown {
		return "created_at"
	}
	return "updated_at"
}

func (s Sort) down() bool { return s == "" || strings.HasPrefix(string(s), "-") }

func (s Sort) cursorOf(row Sync) Cursor {
	at := row.UpdatedAt
	if s.column() == "created_at" {
		at = row.CreatedAt
	}
	return Cursor{at.UnixMicro(), row.SyncID, s.column()[:1]}
}

// Cursor is the place of a row in a list's order.
type Cursor struct {
	micros int64
	syncID int64
	by     string // the first letter of the column
}

// String returns the cursor in the form that ParseCursor reads.
func (c Cursor) String() string { return fmt.Sprintf("%s.%d.%d", c.by, c.micros, c.syncID) }

func (c Cursor) time() time.Time { return time.UnixMicro(c.micros).UTC() }

// ParseCursor reads a cursor of an earlier page of the same order.
func ParseCursor(text string, of Sort) (Cursor, error) {
	parts := strings.Split(text, ".")
	if len(parts) != 3 {
		return Cursor{}, errCursor
	}
	micros, err := strconv.ParseInt(parts[1], 10, 64)
	syncID, err2 := strconv.ParseInt(parts[2], 10, 64)
	latest := time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro()
	switch {
	case errors.Join(err, err2) != nil || micros < 0 || micros > latest || (parts[0] != "u" && parts[0] != "c"):
		return Cursor{}, errCursor
	case parts[0] != of.column()[:1]:
		return Cursor{}, errors.New("is of another order; give the sort of the page that it came with")
	}
	return Cursor{micros, syncID, parts[0]}, nil
}

var errCursor = errors.New("is no cursor; give the next of an earlier page, or leave it out to begin anew")

// groups reports whether the filter asks for errors.
func (f Filter) groups() bool {
	return f.ErrorCode != "" || f.Error != "" || f.HTTPStatus != 0 || f.ErrorGroup != 0
}

// onlyCounted reports whether the filter asks for nothing but what counts know: shop, status and error.
func (f Filter) onlyCounted() bool {
	few := f.Order != "" || f.OrderID != 0 || f.Email != "" || f.ErpReference != "" || f.Key != ""
	times := !f.CreatedSince.IsZero() || !f.CreatedUntil.IsZero() || !f.UpdatedSince.IsZero() || !f.UpdatedUntil.IsZero()
	return !few && !times && f.AttemptsFrom == 0 && f.AttemptsTo == 0
}
