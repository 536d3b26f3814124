package outbox

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/erpconnector/erpconnector/shared/postgres"
)

// Partitions of erp_outbox, see migrations/0016 and ADR 0022.
const (
	// MinWidth and MaxWidth are how many ids a partition has at least and at most.
	MinWidth = 250_000
	MaxWidth = 10_000_000

	// Ahead is for how many ids after the last one there is a place at least. Beyond these, and before the scheduler has made
	// more, nothing can be written to the outbox.
	Ahead = 2_000_000
)

// Partition is one table of the outbox. It holds the ids From to To, without To. The last one holds the ids of later epochs, and
// has no To.
type Partition struct {
	Name      string
	From      int64
	To        int64 // 0: no end
	Detaching bool  // a drop was interrupted
}

// Partitions lists the partitions in the order of their ids.
func Partitions(ctx context.Context, on postgres.Querier) ([]Partition, error) {
	found, err := on.Query(ctx, `SELECT name, from_id, coalesce(to_id, 0), detaching FROM erp_outbox_partitions()`)
	if err != nil {
		return nil, fmt.Errorf("listing the outbox's partitions: %w", err)
	}
	ps, err := pgx.CollectRows(found, pgx.RowToStructByPos[Partition])
	if err != nil {
		return nil, fmt.Errorf("listing the outbox's partitions: %w", err)
	}
	return ps, nil
}

// Extend makes partitions of so many ids each, until so many ids after the last one that was given have a place. It returns how
// many it made.
func Extend(ctx context.Context, on postgres.Querier, width, ahead int64) (made int, err error) {
	if err := on.QueryRow(ctx, `SELECT erp_outbox_extend($1, $2)`, width, ahead).Scan(&made); err != nil {
		return 0, fmt.Errorf("making partitions of the outbox: %w", err)
	}
	return made, nil
}

// Width returns how many ids a new partition should have: as many as were given in a day, in steps of MinWidth, by the ids since the
// first row of the newest partition that has one.
func Width(ctx context.Context, on postgres.Querier, now time.Time) (int64, error) {
	var ids int64
	var since *time.Time
	err := on.QueryRow(ctx, `
		WITH last AS (`+lastIDQuery+`),
		current AS (SELECT from_id FROM erp_outbox_partitions(), last WHERE from_id <= last.id ORDER BY from_id DESC LIMIT 1)
		SELECT last.id - coalesce(first.id, last.id), first.created_at
		FROM last LEFT JOIN LATERAL (SELECT id, created_at FROM erp_outbox WHERE id >= (SELECT from_id FROM current) ORDER BY id LIMIT 1) AS first ON true`).
		Scan(&ids, &since)
	if err != nil {
		return 0, fmt.Errorf("counting the outbox's rows of a day: %w", err)
	}
	if since == nil {
		return MinWidth, nil
	}
	aDay := float64(ids) * float64(24*time.Hour) / float64(max(now.Sub(*since), time.Minute))
	return min(max(1, int64(aDay/MinWidth)+1)*MinWidth, MaxWidth), nil
}

// IsDone reports whether each row of the partition was written before then, and nobody may need one:
//   - No order is under way that was requested as early as that. If Kafka is lost, its request is sent again from here.
//   - No dead letter of the relay is undecided that may be of such a row. That letter's record is the row alone.
//
// A partition without rows is done.
func (p Partition) IsDone(ctx context.Context, on postgres.Querier, then time.Time) (done bool, err error) {
	err = on.QueryRow(ctx, `
		WITH newest AS (SELECT created_at FROM erp_outbox WHERE id >= $1 AND id < $2 ORDER BY id DESC LIMIT 1),
		oldest AS (SELECT created_at FROM erp_outbox WHERE id >= $1 AND id < $2 ORDER BY id LIMIT 1)
		SELECT coalesce((SELECT created_at < $3 FROM newest), true)
			AND NOT EXISTS (SELECT FROM erp_sync_gate, newest WHERE state = 'open' AND requested_at <= newest.created_at)
			AND NOT EXISTS (SELECT FROM erp_dead_letter, oldest WHERE state = 'open' AND written_by = 'relay' AND written_at >= oldest.created_at)`,
		p.From, p.To, then).Scan(&done)
	if err != nil {
		return false, fmt.Errorf("looking for the newest row of %s: %w", p.Name, err)
	}
	return done, nil
}

// toDrop is the comment on a table that Drop has taken out of the outbox.
const toDrop = "erpconnector: relayed and kept long enough, to be dropped"

var errNotOwner = errors.New("the services' role does not own the outbox, so it cannot drop partitions: GRANT the owner's role to it, as docs/deploy.md says")

// Drop takes a partition out of the outbox and drops it, without making anybody wait. It waits for transactions that have read or
// written the outbox before. When it is interrupted, DropRest ends it. on must be a connection or a pool, as a transaction cannot
// do this.
func (p Partition) Drop(ctx context.Context, on postgres.Execer) error {
	how := "CONCURRENTLY"
	if p.Detaching {
		how = "FINALIZE"
	}
	table := pgx.Identifier{p.Name}.Sanitize()
	for _, statement := range []string{
		"COMMENT ON TABLE " + table + " IS '" + toDrop + "'",
		"ALTER TABLE erp_outbox DETACH PARTITION " + table + " " + how,
		"DROP TABLE " + table,
	} {
		if _, err := on.Exec(ctx, statement); err != nil {
			var refused *pgconn.PgError
			if errors.As(err, &refused) && refused.Code == "42501" {
				err = errNotOwner
			}
			return fmt.Errorf("dropping %s: %w", p.Name, err)
		}
	}
	return nil
}

// Database is a connection or a pool.
type Database interface {
	postgres.Querier
	postgres.Execer
}

// DropRest drops tables that Drop had taken out of the outbox before it was interrupted, and returns their names.
func DropRest(ctx context.Context, on Database) ([]string, error) {
	found, err := on.Query(ctx, `
		SELECT c.relname FROM pg_class c JOIN pg_description d ON d.objoid = c.oid AND d.classoid = 'pg_class'::regclass AND d.objsubid = 0
		WHERE c.relkind = 'r' AND NOT c.relispartition AND d.description = $1 AND c.relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = 'erp_outbox'::regclass)`, toDrop)
	if err != nil {
		return nil, fmt.Errorf("looking for tables to drop: %w", err)
	}
	names, err := pgx.CollectRows(found, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("looking for tables to drop: %w", err)
	}
	for _, name := range names {
		if _, err := on.Exec(ctx, "DROP TABLE "+pgx.Identifier{name}.Sanitize()); err != nil {
			return nil, fmt.Errorf("dropping %s: %w", name, err)
		}
	}
	return names, nil
}
