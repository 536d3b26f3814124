// Package syncs finds syncs: by their state, their order, their error and their times, among ten million.
//
// An example: the failed orders of a shop whose error says that a number is unknown, the newest first, a hundred of them.
//
//	page, err := syncs.List(ctx, pool, syncs.Filter{Statuses: []domain.Status{domain.Failed}, Source: "outlet", Error: "no such sku", Limit: 100})
//
// How it stays quick. Each search walks along one index (query.go chooses which), in the order of the answer. It looks at so many rows at
// most, and at a page's end it says where the next search begins. So a page may hold less than was asked for, and even nothing, though
// there is a next one: the rows that were looked at did not match.
//
// What it reads is the projection. An order that was accepted a moment ago may not be in it yet.
package syncs

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/postgres"
)

const queryTimeout = 10 * time.Second

// ErrUnknown says that there is no such sync.
var ErrUnknown = errors.New("there is no such sync")

// Sync is one row of the projection, without what was sent and answered.
type Sync struct {
	SyncID           int64
	OrderID          *int64
	Source           string
	OrderIncrementID string
	Status           domain.Status
	Attempts         int
	MaxAttempts      int
	LastAttemptAt    *time.Time
	NextAttemptAt    *time.Time
	LastError        *string
	ErpReference     *string
	IdempotencyKey   string
	Generation       int
	CreatedAt        time.Time
	UpdatedAt        time.Time
	ErrorGroup       *int64  // of an error that stands: see Group
	HTTPStatus       *int    // of the answer that was the error; nil: no error, or no answer
	ErrorCode        *string // nil: no error, or one without a code
}

// columns are a Sync's, in the order of its fields, of the row v, its error e and the error's group g.
const columns = rowColumns + `, e.group_id, nullif(g.http_status, 0), nullif(g.error_code, '')`

const rowColumns = `v.sync_id, v.order_id, v.source, v.order_increment_id, v.status, v.attempts, v.max_attempts, v.last_attempt_at, v.next_attempt_at,
	v.last_error, v.erp_reference, v.idempotency_key, v.generation, v.created_at, v.updated_at`

const withError = ` LEFT JOIN vendor_erp_sync_error e ON e.sync_id = v.sync_id LEFT JOIN vendor_erp_sync_error_group g ON g.group_id = e.group_id`

// Contents is what was sent for an order and answered to it, as far as it is kept. It holds personal data.
type Contents struct {
	Payload, Response *string
}

// Get reads one sync. It returns ErrUnknown when there is none.
func Get(ctx context.Context, q postgres.Querier, syncID int64) (s Sync, err error) {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	rows, err := q.Query(ctx, `SELECT `+columns+` FROM vendor_erp_sync v`+withError+` WHERE v.sync_id = $1`, syncID)
	if err == nil {
		s, err = pgx.CollectExactlyOneRow(rows, pgx.RowToStructByPos[Sync])
	}
	if errors.Is(err, pgx.ErrNoRows) {
		return s, ErrUnknown
	}
	if err != nil {
		return s, fmt.Errorf("reading sync %d: %w", syncID, err)
	}
	return s, nil
}

// ReadContents reads what was sent for a sync and answered to it. It returns ErrUnknown when there is none.
func ReadContents(ctx context.Context, q postgres.Querier, syncID int64) (c Contents, err error) {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	err = q.QueryRow(ctx, `SELECT payload, response FROM vendor_erp_sync WHERE sync_id = $1`, syncID).Scan(&c.Payload, &c.Response)
	if errors.Is(err, pgx.ErrNoRows) {
		return c, ErrUnknown
	}
	if err != nil {
		return c, fmt.Errorf("reading what was sent for sync %d: %w", syncID, err)
	}
	return c, nil
}

// Page is a part of a list.
type Page struct {
	Syncs []Sync
	Next  *Cursor // nil: this is the last page
}

// List returns the syncs that match, in the filter's order, from its cursor on. Rows that change meanwhile may come twice or not at all in
// the order of changes; in the order of creation each row has its place for ever.
func List(ctx context.Context, q postgres.Querier, f Filter) (Page, error) {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	if f.groups() {
		ids, err := groupIDs(ctx, q, f)
		if err != nil || len(ids) == 0 {
			return Page{}, err
		}
		f.ofGroups = ids
	}
	sql, args, budget := f.query()
	rows, err := q.Query(ctx, sql, args...)
	if err != nil {
		return Page{}, fmt.Errorf("listing syncs: %w", err)
	}
	var p Page
	var last Cursor
	candidates := 0
	var s Sync
	var matches bool
	targets := []any{
		&s.SyncID, &s.OrderID, &s.Source, &s.OrderIncrementID, &s.Status, &s.Attempts, &s.MaxAttempts, &s.LastAttemptAt, &s.NextAttemptAt,
		&s.LastError, &s.ErpReference, &s.IdempotencyKey, &s.Generation, &s.CreatedAt, &s.UpdatedAt, &s.ErrorGroup, &s.HTTPStatus, &s.ErrorCode,
		&matches, &candidates,
	}
	_, err = pgx.ForEachRow(rows, targets, func() error {
		last = f.Sort.cursorOf(s)
		if matches {
			p.Syncs = append(p.Syncs, s)
		}
		return nil
	})
	if err != nil {
		return Page{}, fmt.Errorf("listing syncs: %w", err)
	}
	switch {
	case len(p.Syncs) > f.Limit:
		p.Syncs = p.Syncs[:f.Limit]
		p.Next = new(f.Sort.cursorOf(p.Syncs[f.Limit-1]))
	case candidates == budget:
		p.Next = &last
	}
	return p, nil
}
