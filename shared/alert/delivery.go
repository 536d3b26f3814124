package alert

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/erpconnector/erpconnector/shared/domain"
)

// DeliveryState is what became of a notice at a destination.
type DeliveryState string

// The states of a delivery.
const (
	Pending   DeliveryState = "pending"
	Delivered DeliveryState = "delivered"
	Failed    DeliveryState = "failed" // it was given up
)

// Due is a notice that is to be sent now.
type Due struct {
	ID          int64
	MessageID   string
	Body        string
	Attempts    int
	CreatedAt   time.Time
	Destination Destination
}

// Due reads notices that are due, up to so many, and not two of one destination. A notice waits for those of its alert to the same
// destination that were made before it: nobody is to read that something is over, and then that it has begun.
func (s *Store) Due(ctx context.Context, now time.Time, limit int) ([]Due, error) {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	rows, err := s.pool.Query(ctx, `
		SELECT DISTINCT ON (d.destination_id) d.delivery_id, d.message_id, d.body, d.attempts, d.created_at,
			t.destination_id, t.name, t.kind, t.address, coalesce(t.secret, ''), t.alerts, t.enabled, t.created_at, t.created_by, t.changed_at, t.changed_by
		FROM alert_delivery d JOIN alert_destination t USING (destination_id)
		WHERE d.state = 'pending' AND d.next_at <= $1 AND t.enabled AND NOT EXISTS (
			SELECT FROM alert_delivery e WHERE e.alert_id = d.alert_id AND e.delivery_id < d.delivery_id AND e.destination_id = d.destination_id AND e.state = 'pending')
		ORDER BY d.destination_id, d.next_at, d.delivery_id LIMIT $2`, now, limit)
	if err != nil {
		return nil, fmt.Errorf("reading which notices are due: %w", err)
	}
	due, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (d Due, err error) {
		t := &d.Destination
		err = row.Scan(&d.ID, &d.MessageID, &d.Body, &d.Attempts, &d.CreatedAt,
			&t.ID, &t.Name, &t.Kind, &t.Address, &t.Secret, &t.Alerts, &t.Enabled, &t.CreatedAt, &t.CreatedBy, &t.ChangedAt, &t.ChangedBy)
		return d, err
	})
	if err != nil {
		return nil, fmt.Errorf("reading which notices are due: %w", err)
	}
	return due, nil
}

// Waiting is how many notices are not delivered, and when the first attempt of them is due; the zero time: there is none.
func (s *Store) Waiting(ctx context.Context) (n int64, next time.Time, err error) {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	var at *time.Time
	if err := s.pool.QueryRow(ctx, `SELECT count(*), min(next_at) FROM alert_delivery WHERE state = 'pending'`).Scan(&n, &at); err != nil {
		return 0, next, fmt.Errorf("counting the notices that wait: %w", err)
	}
	if at != nil {
		next = at.UTC()
	}
	return n, next, nil
}

// Attempt is what one attempt has led to.
type Attempt struct {
	State  DeliveryState // Pending: the next one is due at NextAt
	NextAt time.Time
	Answer Answer
}

// Note writes what an attempt has led to. A notice that has ended meanwhile, as its destination was removed, stays as it is.
func (s *Store) Note(ctx context.Context, d Due, a Attempt, now time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	var ended *time.Time
	if a.State != Pending {
		ended = &now
	}
	var status *int
	if a.Answer.HTTPStatus != 0 {
		status = &a.Answer.HTTPStatus
	}
	_, err := s.pool.Exec(ctx, `UPDATE alert_delivery SET state = $2, attempts = $3, next_at = CASE WHEN $2 = 'pending' THEN $4 ELSE next_at END, ended_at = $5, http_status = $6, said = $7
		WHERE delivery_id = $1 AND state = 'pending'`, d.ID, a.State, d.Attempts+1, a.NextAt, ended, status, a.Answer.Said)
	if err != nil {
		return fmt.Errorf("noting what became of a notice: %w", err)
	}
	return nil
}

// GiveUp ends the notices of destinations that are turned off once they are too old: nobody tries them.
func (s *Store) GiveUp(ctx context.Context, madeBefore, now time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	_, err := s.pool.Exec(ctx, `UPDATE alert_delivery d SET state = 'failed', ended_at = $2, said = 'the destination was turned off'
		WHERE d.state = 'pending' AND d.created_at < $1 AND NOT EXISTS (SELECT FROM alert_destination t WHERE t.destination_id = d.destination_id AND t.enabled)`,
		madeBefore, now)
	if err != nil {
		return fmt.Errorf("giving up notices of destinations that are turned off: %w", err)
	}
	return nil
}

// TurnOff turns a destination off that says by 410 that it is gone, unless its address was changed meanwhile.
func (s *Store) TurnOff(ctx context.Context, d Destination, by string) error {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	_, err := s.pool.Exec(ctx, `UPDATE alert_destination SET enabled = false, changed_at = $3, changed_by = $4 WHERE destination_id = $1 AND address = $2 AND enabled`,
		d.ID, d.Address, domain.NormalizeTime(s.now()), by)
	if err != nil {
		return fmt.Errorf("turning destination %d off: %w", d.ID, err)
	}
	return nil
}

// Clean deletes what ended before that time, up to so many deliveries and so many alerts.
func (s *Store) Clean(ctx context.Context, before time.Time, limit int) (deleted int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, 3*queryTimeout)
	defer cancel()
	for _, sql := range []string{
		`DELETE FROM alert_delivery WHERE delivery_id = ANY (ARRAY(SELECT delivery_id FROM alert_delivery WHERE ended_at < $1 ORDER BY ended_at LIMIT $2))`,
		`DELETE FROM alert WHERE alert_id = ANY (ARRAY(SELECT alert_id FROM alert a WHERE resolved_at < $1
			AND NOT EXISTS (SELECT FROM alert_delivery d WHERE d.alert_id = a.alert_id) ORDER BY resolved_at LIMIT $2))`,
	} {
		tag, err := s.pool.Exec(ctx, sql, before, limit)
		if err != nil {
			return deleted, fmt.Errorf("deleting old alerts: %w", err)
		}
		deleted += tag.RowsAffected()
	}
	return deleted, nil
}
