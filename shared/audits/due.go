package audits

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/erpconnector/erpconnector/shared/domain"
)

// ofEverything are the audits that audit_interval counts from. A shop's, or that of a range, says nothing of the others; and a command's
// raises no alert.
const ofEverything = `made_by = 'scheduler' AND kind = 'audit' AND from_time IS NULL AND to_time IS NULL AND source IS NULL`

// StartDue asks for an audit of everything when the last one began longer ago than interval; r is nil when it asks for none. However
// often its time has passed, it asks for one. last is when the last one began, or was asked for; zero: there is none.
func (s *Store) StartDue(ctx context.Context, interval time.Duration) (r *Run, last time.Time, err error) {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	const newest = `(SELECT coalesce(started_at, asked_at) FROM audit_run WHERE ` + ofEverything + ` ORDER BY run_id DESC LIMIT 1)`
	now := domain.NormalizeTime(s.now())
	started, err := one(ctx, s.pool, `INSERT INTO audit_run (kind, reason, asked_by, asked_at)
		SELECT 'audit', '', $1, $2 WHERE coalesce(`+newest+` <= $3, true) ON CONFLICT DO NOTHING RETURNING `+brief, BySetting, now, now.Add(-interval))
	if err == nil {
		return &started, started.AskedAt, nil
	}
	var at *time.Time
	if errors.Is(err, pgx.ErrNoRows) {
		err = s.pool.QueryRow(ctx, `SELECT `+newest).Scan(&at)
	}
	if err != nil {
		return nil, last, fmt.Errorf("looking whether an audit is due: %w", err)
	}
	if at != nil {
		last = *at
	}
	return nil, last, nil
}
