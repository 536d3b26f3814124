package alert

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/erpconnector/erpconnector/shared/domain"
)

const queryTimeout = 10 * time.Second

// Errors of destinations.
var (
	ErrUnknown = errors.New("there is no such destination")
	ErrName    = errors.New("a destination of that name is there already; choose another name")
)

// Store keeps destinations, alerts and deliveries in Postgres. It is safe for concurrent use, in any number of processes.
type Store struct {
	pool *pgxpool.Pool
	now  func() time.Time
}

// NewStore makes a Store.
func NewStore(pool *pgxpool.Pool) *Store { return &Store{pool: pool, now: time.Now} }

const destinationColumns = `destination_id, name, kind, address, coalesce(secret, ''), alerts, enabled, created_at, created_by, changed_at, changed_by`

// Add makes a destination that Check has taken. It returns ErrName when one of that name is there.
func (s *Store) Add(ctx context.Context, d Destination, by string) (Destination, error) {
	return s.one(ctx, "making a destination", `INSERT INTO alert_destination (name, kind, address, secret, alerts, enabled, created_at, created_by, changed_at, changed_by)
		VALUES ($1, $2, $3, nullif($4, ''), $5, $6, $7, $8, $7, $8) RETURNING `+destinationColumns,
		d.Name, d.Kind, d.Address, d.Secret.Reveal(), kindsOf(d), d.Enabled, domain.NormalizeTime(s.now()), domain.WhoText.Fit(by))
}

// Change writes the destination as it is given, but for its kind, id and history. It returns ErrUnknown when there is none.
func (s *Store) Change(ctx context.Context, d Destination, by string) (Destination, error) {
	return s.one(ctx, "changing a destination", `UPDATE alert_destination SET name = $2, address = $3, secret = nullif($4, ''), alerts = $5, enabled = $6, changed_at = $7, changed_by = $8
		WHERE destination_id = $1 RETURNING `+destinationColumns,
		d.ID, d.Name, d.Address, d.Secret.Reveal(), kindsOf(d), d.Enabled, domain.NormalizeTime(s.now()), domain.WhoText.Fit(by))
}

// Get reads a destination with its secret. It returns ErrUnknown when there is none.
func (s *Store) Get(ctx context.Context, id int64) (Destination, error) {
	return s.one(ctx, "reading a destination", `SELECT `+destinationColumns+` FROM alert_destination WHERE destination_id = $1`, id)
}

// Remove deletes a destination. What was not delivered to it yet counts as failed. It returns ErrUnknown when there is none.
func (s *Store) Remove(ctx context.Context, id int64) (d Destination, err error) {
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `UPDATE alert_delivery SET state = 'failed', ended_at = $2, said = 'the destination was removed' WHERE destination_id = $1 AND state = 'pending'`,
			id, domain.NormalizeTime(s.now()))
		if err != nil {
			return fmt.Errorf("removing a destination: %w", err)
		}
		d, err = oneOf(ctx, tx, "removing a destination", `DELETE FROM alert_destination WHERE destination_id = $1 RETURNING `+destinationColumns, id)
		return err
	})
	return d, err
}

// Destinations are all, in the order in which they were made.
func (s *Store) Destinations(ctx context.Context) ([]Destination, error) {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	rows, err := s.pool.Query(ctx, `SELECT `+destinationColumns+` FROM alert_destination ORDER BY destination_id`)
	if err != nil {
		return nil, fmt.Errorf("listing destinations: %w", err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Destination])
	if err != nil {
		return nil, fmt.Errorf("listing destinations: %w", err)
	}
	return all, nil
}

func kindsOf(d Destination) []domain.AlertKind {
	if d.Alerts == nil {
		return []domain.AlertKind{}
	}
	return d.Alerts
}

func (s *Store) one(ctx context.Context, doing, sql string, args ...any) (Destination, error) {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	return oneOf(ctx, s.pool, doing, sql, args...)
}

// querier is a pool or a transaction.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

func oneOf(ctx context.Context, q querier, doing, sql string, args ...any) (d Destination, err error) {
	rows, err := q.Query(ctx, sql, args...)
	if err == nil {
		d, err = pgx.CollectExactlyOneRow(rows, pgx.RowToStructByPos[Destination])
	}
	var pgErr *pgconn.PgError
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return d, ErrUnknown
	case errors.As(err, &pgErr) && pgErr.ConstraintName == "alert_destination_name_key":
		return d, ErrName
	case err != nil:
		return d, fmt.Errorf("%s: %w", doing, err)
	}
	return d, nil
}
