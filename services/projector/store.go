package projector

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/erpconnector/erpconnector/shared/deadletter"
	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/failpoint"
	"github.com/erpconnector/erpconnector/shared/history"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/postgres"
)

// batch is what one transaction applies.
type batch struct {
	facts         []fact
	deadLetters   []deadletter.Letter
	before, after map[kafka.TopicPartition]int64 // positions of the partitions that were read
}

// stretches are the parts of the log that the batch came from: one entry a partition, as arrays for unnest.
func (b batch) stretches() (topics []string, partitions []int32, before, after []int64) {
	for tp, next := range b.after {
		topics, partitions = append(topics, tp.Topic), append(partitions, tp.Partition)
		before, after = append(before, b.before[tp]), append(after, next)
	}
	return topics, partitions, before, after
}

// errMoved means that another instance applied records since the session began. The next session reads the new positions.
var errMoved = errors.New("the projection's positions were moved by another instance")

// target is where the fold keeps its rows and positions: the live tables, or those of a shadow. Only the live ones have a
// timeline and a write side.
type target struct {
	rows, positions string // tables
	history         string // table; empty: nobody counts
	mend            string // what to do when the log does not hold what the positions say comes next
}

var live = target{
	rows: "vendor_erp_sync", positions: "projector_position", history: history.Table,
	mend: "restore it, or empty vendor_erp_sync, vendor_erp_sync_event, vendor_erp_sync_history and projector_position to build them again",
}

// store writes the tables of one target. It is used by one goroutine.
type store struct {
	pool    *pgxpool.Pool
	into    target
	skipped bool           // there is something for catchUp: a gate or an order was locked
	known   bool           // the timeline has lines of the log that is read
	check   *timelineCheck // of a shadow; nil for the live one
	now     func() time.Time
}

func newStore(pool *pgxpool.Pool, into target) *store {
	return &store{pool: pool, into: into, now: time.Now}
}

// querier is a pool or a transaction.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// positions reads the offset that comes next in each partition that was read before.
func (s *store) positions(ctx context.Context, q querier) (map[kafka.TopicPartition]int64, error) {
	rows, err := q.Query(ctx, `SELECT topic, partition, next_offset FROM `+s.into.positions)
	if err != nil {
		return nil, fmt.Errorf("reading the projection's positions: %w", err)
	}
	out := map[kafka.TopicPartition]int64{}
	var tp kafka.TopicPartition
	var next int64
	_, err = pgx.ForEachRow(rows, []any{&tp.Topic, &tp.Partition, &next}, func() error {
		out[tp] = next
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading the projection's positions: %w", err)
	}
	return out, nil
}

// apply writes a batch in one transaction, with a handful of statements however large the batch is.
func (s *store) apply(ctx context.Context, b batch) error {
	var found compared
	err := postgres.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		// The positions come first: their rows are the lock. A second instance waits here, and then finds that they have moved.
		if err := s.movePositions(ctx, tx, b); err != nil {
			return err
		}
		before, rows, err := s.fold(ctx, tx, b.facts)
		if err != nil {
			return err
		}
		if err := s.writeRows(ctx, tx, before, rows); err != nil {
			return err
		}
		if s.into == live {
			err = s.applyEffects(ctx, tx, b, before, rows)
		} else {
			found, err = s.compare(ctx, tx, b)
		}
		if err != nil {
			return err
		}
		failpoint.Hit("projector.before_commit")
		return nil
	})
	if err != nil {
		return fmt.Errorf("applying %d facts: %w", len(b.facts), err)
	}
	failpoint.Hit("projector.after_commit")
	if s.check != nil {
		s.check.onProgress(found)
	}
	return nil
}

// compare is what a shadow does with a batch in place of applyEffects: it compares the timeline with the log.
func (s *store) compare(ctx context.Context, tx pgx.Tx, b batch) (compared, error) {
	// A crash of Postgres takes rows and positions back together, and the commit of the swap makes both durable.
	if _, err := tx.Exec(ctx, `SET LOCAL synchronous_commit = off`); err != nil {
		return compared{}, err
	}
	if err := s.writeHistory(ctx, tx, b); err != nil {
		return compared{}, err
	}
	return s.check.run(ctx, tx, b)
}

// applyEffects is what only the live projection does with a batch: counts, timeline, dead letters, write side.
func (s *store) applyEffects(ctx context.Context, tx pgx.Tx, b batch, before, after map[int64]*domain.Row) error {
	if err := s.count(ctx, tx, b, before, after); err != nil {
		return err
	}
	if err := s.writeTimeline(ctx, tx, b.facts); err != nil {
		return err
	}
	if err := deadletter.Add(ctx, tx, b.deadLetters, deadletter.ToJudge); err != nil {
		return err
	}
	return s.updateWriteSide(ctx, tx, b.facts)
}

// movePositions moves the positions of the batch's partitions. It fails with errMoved when one of them is not where the
// batch began.
func (s *store) movePositions(ctx context.Context, tx pgx.Tx, b batch) error {
	topics, partitions, before, after := b.stretches()
	tag, err := tx.Exec(ctx, `
		INSERT INTO `+s.into.positions+` AS p (topic, partition, next_offset)
		SELECT t, n, a FROM unnest($1::text[], $2::int[], $3::bigint[]) AS m (t, n, a) ORDER BY t, n
		ON CONFLICT (topic, partition) DO UPDATE SET next_offset = excluded.next_offset
		WHERE p.next_offset = (SELECT b FROM unnest($1::text[], $2::int[], $4::bigint[]) AS m (t, n, b) WHERE t = p.topic AND n = p.partition)`,
		topics, partitions, after, before)
	if err != nil {
		return fmt.Errorf("moving positions: %w", err)
	}
	if tag.RowsAffected() != int64(len(topics)) {
		return errMoved
	}
	return nil
}

// fold reads the rows of the syncs that the facts are about, and applies the facts to them. A sync that had no row has none in before.
func (s *store) fold(ctx context.Context, tx pgx.Tx, facts []fact) (before, rows map[int64]*domain.Row, err error) {
	var ids []int64
	before, rows = map[int64]*domain.Row{}, map[int64]*domain.Row{}
	for _, f := range facts {
		if _, seen := rows[f.Sync.SyncID]; !seen {
			rows[f.Sync.SyncID] = nil
			ids = append(ids, f.Sync.SyncID)
		}
	}
	found, err := tx.Query(ctx, `SELECT * FROM `+s.into.rows+` WHERE sync_id = ANY($1)`, ids)
	if err != nil {
		return nil, nil, fmt.Errorf("reading %d syncs: %w", len(ids), err)
	}
	existing, err := pgx.CollectRows(found, pgx.RowToStructByName[row])
	if err != nil {
		return nil, nil, fmt.Errorf("reading %d syncs: %w", len(ids), err)
	}
	for _, r := range existing {
		d := r.domain()
		before[r.SyncID], rows[r.SyncID] = &d, &d
	}
	for _, f := range facts {
		next := domain.Fold(rows[f.Sync.SyncID], f.Fact)
		rows[f.Sync.SyncID] = &next
	}
	return before, rows, nil
}

// writeRows writes folded rows, with a statement for those that are new and one for the others. As only the holder of the positions' lock
// writes rows, what had none before has none now. ON CONFLICT would look for each row again, and lock it.
func (s *store) writeRows(ctx context.Context, tx pgx.Tx, before, rows map[int64]*domain.Row) error {
	var added, changed []row
	for _, id := range slices.Sorted(maps.Keys(rows)) {
		if before[id] == nil {
			added = append(added, rowOf(*rows[id]))
		} else {
			changed = append(changed, rowOf(*rows[id]))
		}
	}
	names, from, arrays := columnsOf(added)
	if err := s.write(ctx, tx, len(added), `INSERT INTO `+s.into.rows+` (`+names+`) SELECT * FROM `+from, arrays); err != nil {
		return err
	}
	names, from, arrays = columnsOf(changed)
	return s.write(ctx, tx, len(changed), `UPDATE `+s.into.rows+` v SET
			order_id = r.order_id, status = r.status, attempts = r.attempts, max_attempts = r.max_attempts,
			last_attempt_at = r.last_attempt_at, next_attempt_at = r.next_attempt_at, last_error = r.last_error,
			erp_reference = r.erp_reference, idempotency_key = r.idempotency_key, payload = r.payload,
			response = r.response, created_at = r.created_at, updated_at = r.updated_at,
			generation = r.generation, attempt_version = r.attempt_version,
			attempt_version_at = r.attempt_version_at, version = r.version, version_at = r.version_at,
			reference_version = r.reference_version, reference_version_at = r.reference_version_at
		FROM `+from+` AS r (`+names+`) WHERE v.sync_id = r.sync_id`, arrays)
}

func (s *store) write(ctx context.Context, tx pgx.Tx, n int, sql string, arrays []any) error {
	if n == 0 {
		return nil
	}
	if _, err := tx.Exec(ctx, sql, arrays...); err != nil {
		return fmt.Errorf("writing %d syncs: %w", n, err)
	}
	return nil
}
