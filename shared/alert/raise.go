package alert

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/erpconnector/erpconnector/shared/domain"
)

// openAlert is an open alert as it stands in the table.
type openAlert struct {
	domain.Alert

	id, version int64
}

// Open are the alerts that are open. Their number is bounded: see domain.GatherSubjects.
type Open struct{ alerts map[domain.AlertKey]openAlert }

// Alerts are the open ones, for the rules.
func (o Open) Alerts() (out []domain.Alert) {
	for _, a := range o.alerts {
		out = append(out, a.Alert)
	}
	return out
}

// Has reports whether the alert is open.
func (o Open) Has(key domain.AlertKey) bool {
	_, is := o.alerts[key]
	return is
}

// Open reads the alerts that are open.
func (s *Store) Open(ctx context.Context) (Open, error) {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	o := Open{alerts: map[domain.AlertKey]openAlert{}}
	rows, err := s.pool.Query(ctx, `SELECT alert_id, kind, subject, opened_at, told_at, told, clear_since, version FROM alert WHERE resolved_at IS NULL`)
	if err != nil {
		return o, fmt.Errorf("reading the open alerts: %w", err)
	}
	var a openAlert
	var clearSince *time.Time
	_, err = pgx.ForEachRow(rows, []any{&a.id, &a.Kind, &a.Subject, &a.OpenedAt, &a.ToldAt, &a.Told, &clearSince, &a.version}, func() error {
		a.OpenedAt, a.ToldAt, a.ClearSince = a.OpenedAt.UTC(), a.ToldAt.UTC(), time.Time{}
		if clearSince != nil {
			a.ClearSince = clearSince.UTC()
		}
		o.alerts[a.AlertKey] = a
		return nil
	})
	if err != nil {
		return o, fmt.Errorf("reading the open alerts: %w", err)
	}
	return o, nil
}

// Change is a change of an alert with what is to be told of it.
type Change struct {
	domain.AlertChange

	Data Data // without what follows from the change
}

// errOvertaken means that another process has changed the alert.
var errOvertaken = errors.New("the alert has been changed by another process")

// Apply writes a change and, in the same transaction, the notices for all destinations that want it. It reports false when another process
// was first: then nothing is written.
func (s *Store) Apply(ctx context.Context, o Open, c Change, now time.Time) (applied bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		id, err := write(ctx, tx, o.alerts[c.AlertKey], c)
		if err != nil || c.Event == domain.AlertNothing {
			return err
		}
		return s.tell(ctx, tx, id, c, now)
	})
	if errors.Is(err, errOvertaken) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("noting the alert %s %s: %w", c.Kind, c.Subject, err)
	}
	return true, nil
}

// write swaps the alert that is known for the changed one.
func write(ctx context.Context, tx pgx.Tx, known openAlert, c Change) (id int64, err error) {
	var clearSince, resolvedAt *time.Time
	if !c.ClearSince.IsZero() {
		clearSince = &c.ClearSince
	}
	if c.Event == domain.AlertResolved {
		resolvedAt = &c.ToldAt
	}
	if known.id == 0 {
		err = tx.QueryRow(ctx, `INSERT INTO alert (kind, subject, opened_at, told_at, told, clear_since, data) VALUES ($1, $2, $3, $4, $5, $6, '{}')
			ON CONFLICT (kind, subject) WHERE resolved_at IS NULL DO NOTHING RETURNING alert_id`,
			c.Kind, c.Subject, c.OpenedAt, c.ToldAt, c.Told, clearSince).Scan(&id)
	} else {
		err = tx.QueryRow(ctx, `UPDATE alert SET told_at = $3, told = $4, clear_since = $5, resolved_at = $6, version = version + 1
			WHERE alert_id = $1 AND version = $2 RETURNING alert_id`, known.id, known.version, c.ToldAt, c.Told, clearSince, resolvedAt).Scan(&id)
	}
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, errOvertaken
	}
	return id, err
}

// tell keeps the notice in the alert, and puts one delivery for each destination that wants it. All have one webhook-id.
func (s *Store) tell(ctx context.Context, tx pgx.Tx, id int64, c Change, now time.Time) error {
	n := noticeOf(id, c, now)
	body, err := n.Body()
	if err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `UPDATE alert SET data = $2 WHERE alert_id = $1`, id, n.Data); err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `INSERT INTO alert_delivery (alert_id, destination_id, destination, event, message_id, body, created_at, next_at)
		SELECT $1, destination_id, name, $2, $3, $4, $5, $5 FROM alert_destination
		WHERE enabled AND (alerts = '{}' OR $6 = ANY (alerts)) ORDER BY destination_id`,
		id, c.Event, NewMessageID(), body, now, c.Kind)
	return err
}
