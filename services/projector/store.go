package projector

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/erpconnector/erpconnector/shared/deadletter"
	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/failpoint"
	"github.com/erpconnector/erpconnector/shared/postgres"
)

// fact is one record of the log and its coordinates.
type fact struct {
	domain.Fact
	at         topicPartition
	offset     int64
	httpStatus *int
	warnings   []string
	notSent    []string
	reference  *string // that the ERP's answer names
}

type batch struct {
	facts         []fact
	deadLetters   []deadletter.Letter
	before, after map[topicPartition]int64 // positions
}

// stretches are the parts of the log that the batch came from, one array a column.
func (b batch) stretches() (topics []string, partitions []int32, before, after []int64) {
	for tp, next := range b.after {
		topics, partitions = append(topics, tp.topic), append(partitions, tp.partition)
		before, after = append(before, b.before[tp]), append(after, next)
	}
	return topics, partitions, before, after
}

// errMoved means that somebody else applied records since the session began; it begins anew from the new positions.
var errMoved = errors.New("the projection's positions were moved by another instance")

// target is where the fold keeps its rows and positions: the live tables, or those of a shadow. Only the live ones have
// a timeline and a write side to tell.
type target struct {
	rows, positions string // tables
	mend            string // what to do when the log does not hold what the positions say comes next
}

var live = target{
	rows: "vendor_erp_sync", positions: "projector_position",
	mend: "restore it, or empty vendor_erp_sync, vendor_erp_sync_event and projector_position to build them again",
}

type store struct {
	pool    *pgxpool.Pool
	into    target
	skipped bool           // catchUp has work: somebody held a gate or an order locked
	check   *timelineCheck // of a shadow
}

func newStore(pool *pgxpool.Pool, into target) *store {
	return &store{pool: pool, into: into}
}

// querier is a pool or a transaction.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

func (s *store) positions(ctx context.Context, q querier) (map[topicPartition]int64, error) {
	rows, err := q.Query(ctx, `SELECT topic, partition, next_offset FROM `+s.into.positions)
	if err != nil {
		return nil, fmt.Errorf("reading the projection's positions: %w", err)
	}
	out := map[topicPartition]int64{}
	var tp topicPartition
	var next int64
	_, err = pgx.ForEachRow(rows, []any{&tp.topic, &tp.partition, &next}, func() error {
		out[tp] = next
		return nil
	})
	return out, err
}

// apply writes a batch in one transaction, a handful of statements however large it is.
func (s *store) apply(ctx context.Context, b batch) error {
	var found compared
	err := postgres.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		if err := s.movePositions(ctx, tx, b); err != nil {
			return err
		}
		rows, err := s.fold(ctx, tx, b.facts)
		if err != nil {
			return err
		}
		if err := s.writeRows(ctx, tx, rows); err != nil {
			return err
		}
		if s.into == live {
			err = s.tell(ctx, tx, b)
		} else {
			found, err = s.look(ctx, tx, b)
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

// look is what a shadow does in place of telling.
func (s *store) look(ctx context.Context, tx pgx.Tx, b batch) (compared, error) {
	// A stop of Postgres takes rows and positions back together, and the commit of the swap keeps both.
	if _, err := tx.Exec(ctx, `SET LOCAL synchronous_commit = off`); err != nil {
		return compared{}, err
	}
	return s.check.run(ctx, tx, b)
}

// tell is what only the live projection does with facts.
func (s *store) tell(ctx context.Context, tx pgx.Tx, b batch) error {
	if err := writeTimeline(ctx, tx, b.facts); err != nil {
		return err
	}
	if err := deadletter.Add(ctx, tx, b.deadLetters, deadletter.ToJudge); err != nil {
		return err
	}
	return s.tellWriteSide(ctx, tx, b.facts)
}

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

// row is a line of vendor_erp_sync, named as its columns.
type row struct {
	SyncID             int64         `db:"sync_id"`
	OrderID            *int64        `db:"order_id"`
	OrderIncrementID   string        `db:"order_increment_id"`
	Status             domain.Status `db:"status"`
	Attempts           int           `db:"attempts"`
	MaxAttempts        int           `db:"max_attempts"`
	LastAttemptAt      *time.Time    `db:"last_attempt_at"`
	NextAttemptAt      *time.Time    `db:"next_attempt_at"`
	LastError          *string       `db:"last_error"`
	ErpReference       *string       `db:"erp_reference"`
	IdempotencyKey     string        `db:"idempotency_key"`
	Payload            *string       `db:"payload"`
	Response           *string       `db:"response"`
	CreatedAt          time.Time     `db:"created_at"`
	UpdatedAt          time.Time     `db:"updated_at"`
	Source             string        `db:"source"`
	Generation         int           `db:"generation"`
	AttemptVersion     int64         `db:"attempt_version"`
	AttemptVersionAt   time.Time     `db:"attempt_version_at"`
	Version            int64         `db:"version"`
	VersionAt          time.Time     `db:"version_at"`
	ReferenceVersion   int64         `db:"reference_version"`
	ReferenceVersionAt *time.Time    `db:"reference_version_at"`
}

func (r row) domain() domain.Row {
	out := domain.Row{
		SyncID: r.SyncID, OrderID: r.OrderID, Source: r.Source, OrderIncrementID: r.OrderIncrementID, Status: r.Status,
		Attempts: r.Attempts, MaxAttempts: r.MaxAttempts, LastAttemptAt: r.LastAttemptAt, NextAttemptAt: r.NextAttemptAt,
		LastError: r.LastError, ErpReference: r.ErpReference, IdempotencyKey: r.IdempotencyKey, Payload: r.Payload,
		Response: r.Response, Generation: r.Generation, CreatedAt: r.CreatedAt, UpdatedAt: r.UpdatedAt,
		AttemptVersion: domain.Stamp{Version: domain.Version(r.AttemptVersion), Time: r.AttemptVersionAt},
		Version:        domain.Stamp{Version: domain.Version(r.Version), Time: r.VersionAt},
	}
	if r.ReferenceVersionAt != nil {
		out.ReferenceVersion = domain.Stamp{Version: domain.Version(r.ReferenceVersion), Time: *r.ReferenceVersionAt}
	}
	return out
}

func rowOf(d domain.Row) row {
	r := row{
		SyncID: d.SyncID, OrderID: d.OrderID, Source: d.Source, OrderIncrementID: d.OrderIncrementID, Status: d.Status,
		Attempts: d.Attempts, MaxAttempts: d.MaxAttempts, LastAttemptAt: d.LastAttemptAt, NextAttemptAt: d.NextAttemptAt,
		LastError: d.LastError, ErpReference: d.ErpReference, IdempotencyKey: d.IdempotencyKey, Payload: d.Payload,
		Response: d.Response, Generation: d.Generation, CreatedAt: d.CreatedAt, UpdatedAt: d.UpdatedAt,
		AttemptVersion: int64(d.AttemptVersion.Version), AttemptVersionAt: d.AttemptVersion.Time,
		Version: int64(d.Version.Version), VersionAt: d.Version.Time, ReferenceVersion: int64(d.ReferenceVersion.Version),
	}
	if !d.ReferenceVersion.Time.IsZero() {
		r.ReferenceVersionAt = &d.ReferenceVersion.Time
	}
	return r
}

// fold reads the rows that the facts touch and applies the facts to them.
func (s *store) fold(ctx context.Context, tx pgx.Tx, facts []fact) (map[int64]*domain.Row, error) {
	var ids []int64
	rows := map[int64]*domain.Row{}
	for _, f := range facts {
		if _, seen := rows[f.Sync.SyncID]; !seen {
			rows[f.Sync.SyncID] = nil
			ids = append(ids, f.Sync.SyncID)
		}
	}
	found, err := tx.Query(ctx, `SELECT * FROM `+s.into.rows+` WHERE sync_id = ANY($1)`, ids)
	if err != nil {
		return nil, fmt.Errorf("reading %d syncs: %w", len(ids), err)
	}
	existing, err := pgx.CollectRows(found, pgx.RowToStructByName[row])
	if err != nil {
		return nil, fmt.Errorf("reading %d syncs: %w", len(ids), err)
	}
	for _, r := range existing {
		d := r.domain()
		rows[r.SyncID] = &d
	}
	for _, f := range facts {
		next := domain.Fold(rows[f.Sync.SyncID], f.Fact)
		rows[f.Sync.SyncID] = &next
	}
	return rows, nil
}

func (s *store) writeRows(ctx context.Context, tx pgx.Tx, rows map[int64]*domain.Row) error {
	out := make([]row, 0, len(rows))
	for _, d := range rows {
		out = append(out, rowOf(*d))
	}
	names, from, arrays := columnsOf(out)
	_, err := tx.Exec(ctx, `
		INSERT INTO `+s.into.rows+` (`+names+`) SELECT * FROM `+from+` AS r (`+names+`) ORDER BY sync_id
		ON CONFLICT (sync_id) DO UPDATE SET
			order_id = excluded.order_id, status = excluded.status, attempts = excluded.attempts, max_attempts = excluded.max_attempts,
			last_attempt_at = excluded.last_attempt_at, next_attempt_at = excluded.next_attempt_at, last_error = excluded.last_error,
			erp_reference = excluded.erp_reference, idempotency_key = excluded.idempotency_key, payload = excluded.payload,
			response = excluded.response, created_at = excluded.created_at, updated_at = excluded.updated_at,
			generation = excluded.generation, attempt_version = excluded.attempt_version,
			attempt_version_at = excluded.attempt_version_at, version = excluded.version, version_at = excluded.version_at,
			reference_version = excluded.reference_version, reference_version_at = excluded.reference_version_at`, arrays...)
	if err != nil {
		return fmt.Errorf("writing %d syncs: %w", len(out), err)
	}
	return nil
}
