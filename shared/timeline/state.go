package timeline

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/postgres"
)

// What keeps a state from being told.
var (
	ErrNotYet  = errors.New("the sync was requested later")
	ErrDeleted = errors.New("the timeline of that time was deleted")
)

// State is what the timeline tells of a sync at a time. Of the row it has status, attempts, generation, error, and when it was created
// and updated; the other fields stand in the log only.
type State struct {
	domain.Row

	ErrorCode domain.ErrorCode // of the error; empty: there is none, or none with a code
}

// StateAt folds the facts up to a time, as the projector folds them, so it is what the projection had then. A fact that was written late
// counts from when it occurred. It returns ErrNotYet for a time before the sync, and ErrDeleted when older facts are gone
// (timeline_retention). An order has some tens of facts.
func StateAt(ctx context.Context, q postgres.Querier, syncID int64, at time.Time) (s State, err error) {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	rows, err := q.Query(ctx, `SELECT occurred_at, version, status, attempts, coalesce(error_code, ''), error, occurred_at <= $2
		FROM vendor_erp_sync_event WHERE sync_id = $1`, syncID, at)
	if err != nil {
		return s, fmt.Errorf("reading the timeline of sync %d: %w", syncID, err)
	}
	var f domain.Fact
	var row *domain.Row
	var then, whole bool
	_, err = pgx.ForEachRow(rows, []any{&f.Time, &f.Sync.Version, &f.Sync.Status, &f.Sync.Attempts, &f.Sync.ErrorCode, &f.Error, &then}, func() error {
		whole = whole || f.Sync.Version == domain.RequestVersion(1, 0)
		if then {
			f.Sync.SyncID, f.Sync.Generation = syncID, f.Sync.Version.Generation()
			row = s.add(row, f)
		}
		return nil
	})
	if err != nil {
		return s, fmt.Errorf("reading the timeline of sync %d: %w", syncID, err)
	}
	switch {
	case whole && row == nil:
		return s, ErrNotYet
	case !whole:
		return s, s.missing(ctx, q)
	}
	s.Row = *row
	return s, nil
}

// add folds a fact. The code goes with the error.
func (s *State) add(row *domain.Row, f domain.Fact) *domain.Row {
	next := domain.Fold(row, f)
	if next.Version == (domain.Stamp{Version: f.Sync.Version, Time: f.Time}) {
		s.ErrorCode = f.Sync.ErrorCode
	}
	return &next
}

// missing says why the first fact is not there: it was deleted, or it is yet to come.
func (s *State) missing(ctx context.Context, q postgres.Querier) error {
	floor, err := Floor(ctx, q)
	if err != nil {
		return err
	}
	if floor.IsZero() {
		return ErrNotYet
	}
	return ErrDeleted
}
