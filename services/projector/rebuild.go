package projector

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/erpconnector/erpconnector/shared/failpoint"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/postgres"
	"github.com/erpconnector/erpconnector/shared/run"
)

const (
	rebuildTable = "vendor_erp_sync_rebuild"
	maxSwaps     = 60
	swapTimeout  = 5 * time.Second // with the wait for the locks less than applyTimeout: the live projector only waits
	swapInterval = time.Second     // so that queries that queued up behind the lock get through, see rename
)

// Rebuilding says how to rebuild; OnProgress and Found are required.
type Rebuilding struct {
	Anew        bool // drop what an interrupted rebuild has left
	DropUnknown bool // swap also when the live table has rows that the log does not know
	OnProgress  func(Progress)
	Found       func(Difference) // what the swap changes
}

// ErrUnknownRows means that a swap would lose rows that stand in the live table and not in the log.
var ErrUnknownRows = errors.New("the live table has rows that the log does not know, and the swap would lose them")

// Rebuild folds the log from its start into a table of its own while the live projection goes on. It reports what differs, and
// swaps the table with vendor_erp_sync in one short transaction. Positions and write side stay as they are, as the live
// projection has kept them.
//
// Rebuild also mends the timeline: it writes the lines that are missing or differ, and keeps those that the log does not hold.
// After an interruption, the next call goes on from there.
func Rebuild(ctx context.Context, cfg kafka.Config, pool *pgxpool.Pool, log *slog.Logger, how Rebuilding) (v Verdict, err error) {
	release, ok, err := postgres.TryLease(ctx, pool, rebuildTable)
	if err != nil {
		return v, err
	}
	if !ok {
		return v, errors.New("another rebuild is at work on this database: wait until it has ended")
	}
	defer release()
	s := newShadow(cfg, pool, log, rebuildTable, how.OnProgress, &timelineCheck{mend: true, found: how.Found})
	s.store.into.history = rebuildTable + "_history"
	if err := s.requireNothingAttached(ctx); err != nil {
		return v, err
	}
	if how.Anew {
		if err := s.drop(ctx); err != nil {
			return v, err
		}
	}
	if err := s.requireHistory(ctx); err != nil {
		return v, err
	}
	if err := s.create(ctx, ""); err != nil { // not UNLOGGED: it becomes the live table, which a crash of Postgres must not empty
		return v, err
	}
	if err := s.requireSameColumns(ctx); err != nil {
		return v, err
	}
	if err := s.approach(ctx); err != nil {
		return v, err
	}
	err = pgx.BeginTxFunc(ctx, pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		v, err = s.compareAtSnapshot(ctx, tx, how.Found)
		return err
	})
	if err != nil {
		return v, err
	}
	if v.OnlyInLive > 0 && !how.DropUnknown {
		return v, fmt.Errorf("%w (%d, named above): if they are to go, call it again with --drop-unknown; the work so far is kept", ErrUnknownRows, v.OnlyInLive)
	}
	err = s.takePlace(ctx)
	v.Timeline, v.DeadLetters = s.store.check.lines, s.store.check.deadLetters
	return v, err
}

// requireSameColumns refuses to go on with a table that a rebuild of another release has left.
func (s *shadow) requireSameColumns(ctx context.Context) error {
	var same bool
	err := s.store.pool.QueryRow(ctx, `
		SELECT count(*) = 1 FROM (SELECT DISTINCT array_agg(attname || ' ' || format_type(atttypid, atttypmod) ORDER BY attnum)
			FROM pg_attribute WHERE attrelid IN ($1::text::regclass, $2::text::regclass) AND attnum > 0 AND NOT attisdropped GROUP BY attrelid) t`,
		live.rows, s.store.into.rows).Scan(&same)
	if err == nil && !same {
		err = fmt.Errorf("table %s of an earlier rebuild has other columns than %s: begin anew (--anew)", s.store.into.rows, live.rows)
	}
	return err
}

// requireNothingAttached refuses to rebuild while something hangs on the live table that a swap would lose, or fail on.
func (s *shadow) requireNothingAttached(ctx context.Context) error {
	rows, err := s.store.pool.Query(ctx, `
		SELECT 'trigger ' || tgname FROM pg_trigger WHERE tgrelid = $1::text::regclass AND NOT tgisinternal
		UNION ALL SELECT 'foreign key ' || conname || ' of ' || conrelid::regclass FROM pg_constraint WHERE confrelid = $1::text::regclass
		UNION ALL SELECT 'policy ' || polname FROM pg_policy WHERE polrelid = $1::text::regclass
		UNION ALL SELECT 'publication ' || pubname FROM pg_publication_rel JOIN pg_publication p ON p.oid = prpubid WHERE prrelid = $1::text::regclass
		UNION ALL SELECT DISTINCT 'view ' || ev_class::regclass FROM pg_depend d JOIN pg_rewrite r ON r.oid = d.objid
			WHERE d.classid = 'pg_rewrite'::regclass AND d.refobjid = $1::text::regclass AND ev_class <> d.refobjid`, live.rows)
	if err != nil {
		return err
	}
	attached, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err == nil && len(attached) > 0 {
		err = fmt.Errorf("table %s has what another table in its place would not have: %s; drop it, and make it again afterwards", live.rows, strings.Join(attached, ", "))
	}
	return err
}

// makeIndexes gives the shadow the indexes that create has dropped.
func (s *shadow) makeIndexes(ctx context.Context) error {
	err := s.each(ctx, `SELECT regexp_replace(pg_get_indexdef(indexrelid), ' INDEX \S+ ON \S+ ', format(' INDEX ON %s ', $2::text))
		FROM pg_index WHERE indrelid = $1::text::regclass AND NOT indisunique`, live.rows, s.store.into.rows)
	if err != nil {
		return fmt.Errorf("making the indexes of %s: %w", s.store.into.rows, err)
	}
	_, err = s.store.pool.Exec(ctx, `ANALYZE `+s.store.into.rows)
	return err
}

// takePlace swaps the tables. It tries again when somebody holds the live table, or when too many records came meanwhile.
func (s *shadow) takePlace(ctx context.Context) error {
	if err := s.makeIndexes(ctx); err != nil {
		return err
	}
	for try := 1; ; try++ {
		if err := s.approach(ctx); err != nil {
			return err
		}
		err := s.swap(ctx)
		if err == nil || ctx.Err() != nil || try == maxSwaps || !mayPass(err) {
			return err
		}
		s.log.Warn("the rebuilt table is not in the live one's place yet; trying again", "error", err)
		run.Sleep(ctx, swapInterval)
	}
}

// mayPass reports whether a further try may succeed.
func mayPass(err error) bool {
	const lockNotAvailable, deadlock = "55P03", "40P01"
	var pgErr *pgconn.PgError
	return errors.Is(err, context.DeadlineExceeded) || (errors.As(err, &pgErr) && (pgErr.Code == lockNotAvailable || pgErr.Code == deadlock))
}

// swap folds the rest and swaps the tables. It takes its locks in the order of a projector's batch: positions first, then
// rows. So it waits for a batch that is being written; the next batch waits for it, and goes on from the same positions with
// the new table.
func (s *shadow) swap(ctx context.Context) error {
	err := pgx.BeginFunc(ctx, s.store.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SET LOCAL lock_timeout = '2s'`); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `LOCK TABLE `+live.positions+` IN SHARE ROW EXCLUSIVE MODE`); err != nil {
			return err
		}
		until, err := s.live.positions(ctx, tx)
		if err != nil {
			return err
		}
		last, cancel := context.WithTimeout(ctx, swapTimeout)
		defer cancel()
		if err := s.foldTo(last, until); err != nil {
			return err
		}
		if err := s.replaceHistory(ctx, tx); err != nil {
			return err
		}
		if err := s.rename(ctx, tx); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `UPDATE vendor_erp_sync_counted SET offsets = -1`); err != nil { // the projector counts the new rows
			return err
		}
		failpoint.Hit("rebuild.before_commit")
		return nil
	})
	if err != nil {
		return fmt.Errorf("putting %s in the place of %s: %w", s.store.into.rows, live.rows, err)
	}
	failpoint.Hit("rebuild.after_commit")
	return nil
}

// rename puts the shadow's table in the place of the live one, with the live one's owner, rights, storage parameters and names
// of indexes. While it waits for a slow reader, all later queries wait behind it, so it does not wait for long.
func (s *shadow) rename(ctx context.Context, tx pgx.Tx) error {
	if _, err := tx.Exec(ctx, `SET LOCAL lock_timeout = '300ms'`); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `LOCK TABLE `+live.rows+` IN ACCESS EXCLUSIVE MODE`); err != nil {
		return err
	}
	return executeEach(ctx, tx, `
		WITH old AS (SELECT oid, relowner, reloptions, coalesce(relacl, acldefault('r', relowner)) AS acl FROM pg_class WHERE oid = $1::text::regclass),
		rights AS (
			SELECT grantee, privilege_type AS right, is_grantable FROM old, aclexplode(acl)
			UNION ALL
			SELECT grantee, format('%s (%I)', privilege_type, attname), is_grantable FROM old JOIN pg_attribute ON attrelid = old.oid, aclexplode(attacl)
		)
		SELECT statement FROM (
		SELECT 1, format('ALTER TABLE %s OWNER TO %I', $2::text, pg_get_userbyid(relowner)) FROM old
		UNION ALL
		SELECT 2, format('ALTER TABLE %s SET (%s)', $2, array_to_string(reloptions, ', ')) FROM old WHERE reloptions IS NOT NULL
		UNION ALL -- what default privileges gave
		SELECT DISTINCT 3, format('REVOKE ALL ON %s FROM %s', $2, CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END)
			FROM pg_class c, aclexplode(c.relacl) WHERE c.oid = $2::text::regclass
		UNION ALL
		SELECT 4, format('GRANT %s ON %s TO %s%s', "right", $2, CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END,
			CASE WHEN is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
		FROM rights WHERE grantee <> (SELECT relowner FROM old) OR (SELECT relacl IS NOT NULL FROM pg_class WHERE oid = $2::text::regclass)
			OR (SELECT relacl IS NOT NULL FROM pg_class WHERE oid = $1::text::regclass)
		UNION ALL
		SELECT 5, format('DROP TABLE %s', $1::text)
		UNION ALL
		SELECT 6, format('ALTER TABLE %s RENAME TO %s', $2::text, $1::text)
		UNION ALL
		SELECT 7, format('DROP TABLE %s', $3::text)
		UNION ALL
		SELECT 8, format('ALTER INDEX %I RENAME TO %I', new.name, old.name) FROM`+indexes("$1")+` old JOIN`+indexes("$2")+` new USING (definition)
		) AS t (step, statement) ORDER BY step`,
		live.rows, s.store.into.rows, s.store.into.positions)
}

// indexes are those of a table by their definitions without names.
func indexes(table string) string {
	return ` (SELECT indexrelid::regclass::text AS name, regexp_replace(pg_get_indexdef(indexrelid), ' INDEX \S+ ON \S+ ', ' ') AS definition
		FROM pg_index WHERE indrelid = ` + table + `::text::regclass)`
}
