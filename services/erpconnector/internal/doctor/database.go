package doctor

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	oldestPostgres   = 140000 // server_version_num; docs/deploy.md
	slowRoundTrip    = 10 * time.Millisecond
	clockSkew        = 2 * time.Second // beyond it, due times and the ages that people see are off
	spareConnections = 20
)

func databaseChecks(in Installation) []check {
	ask := func(look func(context.Context, *pgxpool.Pool) Finding) func(context.Context) Finding {
		return func(ctx context.Context) Finding { return look(ctx, in.Pool) }
	}
	return []check{
		{"postgres", ask(version)},
		{"clock", ask(clock)},
		{"durability", ask(durability)},
		{"rights", ask(rights)},
		{"connections", ask(connections)},
		{"disk", ask(disk)},
	}
}

// version tells the release, and how long a statement takes there and back.
func version(ctx context.Context, pool *pgxpool.Pool) Finding {
	var number int
	var name string
	if err := pool.QueryRow(ctx, `SELECT current_setting('server_version_num')::int, current_setting('server_version')`).Scan(&number, &name); err != nil {
		return cannotTell(err)
	}
	took, err := roundTrip(ctx, pool)
	if err != nil {
		return cannotTell(err)
	}
	said := fmt.Sprintf("Postgres %s, a round trip takes %.1f ms", name, float64(took.Microseconds())/1000)
	switch {
	case number < oldestPostgres:
		return fail(said, "upgrade it to 14 or newer: this release was not tested with an older one")
	case took > slowRoundTrip:
		return warn(said, "run services near the database: each order takes several round trips")
	}
	return ok(said)
}

// roundTrip is the shortest of a few, as the first ones prepare the statement.
func roundTrip(ctx context.Context, pool *pgxpool.Pool) (shortest time.Duration, err error) {
	shortest = checkTimeout
	for range 5 {
		began := time.Now()
		if _, err := pool.Exec(ctx, `SELECT 1`); err != nil {
			return 0, err
		}
		shortest = min(shortest, time.Since(began))
	}
	return shortest, nil
}

// clock compares this machine's time with the database's. Half of the round trip is the most that the comparison itself can be off.
func clock(ctx context.Context, pool *pgxpool.Pool) Finding {
	var theirs time.Time
	began := time.Now()
	if err := pool.QueryRow(ctx, `SELECT clock_timestamp()`).Scan(&theirs); err != nil {
		return cannotTell(err)
	}
	return skew(began.Add(time.Since(began) / 2).Sub(theirs))
}

func skew(ahead time.Duration) Finding {
	side := "ahead of"
	if ahead < 0 {
		side = "behind"
	}
	if ahead.Abs() <= clockSkew {
		return ok("this machine and Postgres have the same time")
	}
	return warn(fmt.Sprintf("this machine's clock is %.1f s %s that of Postgres", ahead.Abs().Seconds(), side),
		"let both follow NTP: times of attempts and ages of orders are wrong by as much")
}

// durability finds settings with which an accepted event may be lost.
func durability(ctx context.Context, pool *pgxpool.Pool) Finding {
	rows, err := pool.Query(ctx, `SELECT name FROM pg_settings WHERE name IN ('fsync', 'full_page_writes', 'synchronous_commit') AND setting = 'off' ORDER BY name`)
	if err != nil {
		return cannotTell(err)
	}
	off, err := pgx.CollectRows(rows, pgx.RowTo[string])
	switch {
	case err != nil:
		return cannotTell(err)
	case len(off) > 0:
		return fail(fmt.Sprintf("Postgres runs with %s off", strings.Join(off, ", ")),
			"turn on what is off: an event that was accepted can be lost when the server dies (the Postgres of `up` is for development, and has it off)")
	}
	return ok("what is committed is on disk")
}

// rights asks for what the services need on each table of the schema.
func rights(ctx context.Context, pool *pgxpool.Pool) Finding {
	rows, err := pool.Query(ctx, `
		SELECT c.relname FROM pg_class c
		WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relname <> 'goose_db_version'
			AND NOT (has_table_privilege(c.oid, 'SELECT') AND has_table_privilege(c.oid, 'INSERT')
				AND has_table_privilege(c.oid, 'UPDATE') AND has_table_privilege(c.oid, 'DELETE'))
		ORDER BY c.relname LIMIT 5`)
	if err != nil {
		return cannotTell(err)
	}
	lacking, err := pgx.CollectRows(rows, pgx.RowTo[string])
	switch {
	case err != nil:
		return cannotTell(err)
	case len(lacking) > 0:
		return fail(fmt.Sprintf("this user may not read and write %s and perhaps others", strings.Join(lacking, ", ")), "grant what docs/deploy.md lists, as the schema's owner")
	}
	return ok("this user may do what services do")
}

func connections(ctx context.Context, pool *pgxpool.Pool) Finding {
	var used, most int
	if err := pool.QueryRow(ctx, `SELECT (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'),
		current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int`).Scan(&used, &most); err != nil {
		return cannotTell(err)
	}
	said := fmt.Sprintf("%d of %d connections are in use", used, most)
	if most-used < spareConnections {
		return warn(said, "raise max_connections: docs/deploy.md says how many are needed")
	}
	return ok(said)
}

// disk tells what the database takes. How much is free there cannot be asked over SQL.
func disk(ctx context.Context, pool *pgxpool.Pool) Finding {
	var all, outbox int64
	if err := pool.QueryRow(ctx, `SELECT pg_database_size(current_database()),
		coalesce((SELECT sum(pg_total_relation_size(inhrelid)) FROM pg_inherits WHERE inhparent = 'erp_outbox'::regclass), 0)::bigint`).Scan(&all, &outbox); err != nil {
		return cannotTell(err)
	}
	return ok(fmt.Sprintf("the database takes %s, %s of them the outbox (outbox_retention)", bytesOf(all), bytesOf(outbox)))
}

func bytesOf(n int64) string {
	if n < 1<<30 {
		return fmt.Sprintf("%.0f MB", float64(n)/1e6)
	}
	return fmt.Sprintf("%.1f GB", float64(n)/1e9)
}
