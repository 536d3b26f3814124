// Package gate keeps domain.Gate in Postgres, one row for each order. To request, release or settle an order, lock its row first.
// To lock several, lock them in the order of their keys, so that no two transactions wait for each other.
package gate

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/erpconnector/erpconnector/shared/domain"
)

const columns = `order_key, source, increment_id, coalesce(sync_id, 0), generation, state, coalesce(held_by, ''),
	coalesce(closed_by, ''), coalesce(idempotency_key, ''), key_number, key_answered, max_attempts, request_number,
	callback_number, coalesce(callback, ''), version, coalesce(requested_at, 'epoch'), updated_at`

// New is the gate of an order that was never requested, as Lock makes it.
func New(ref domain.OrderRef, now time.Time) domain.Gate {
	return domain.Gate{Ref: ref, State: domain.GateNone, RequestedAt: epoch, UpdatedAt: domain.NormalizeTime(now)}
}

// epoch stands for the time of no request.
var epoch = time.Unix(0, 0).UTC()

// Lock locks the gates of the orders until tx ends, in the order of their keys. It makes those that are missing.
func Lock(ctx context.Context, tx pgx.Tx, refs []domain.OrderRef, now time.Time) (map[string]domain.Gate, error) {
	gates := map[string]domain.Gate{}
	for _, ref := range refs {
		gates[ref.Key()] = New(ref, now)
	}
	made, known, err := LockAnd(ctx, tx, gates, func(*pgx.Batch) {})
	maps.Copy(known, made)
	return known, err
}

// LockAnd is Lock, and reads what the gates guard in the same round trip: read queues the statements, which run under all the locks. Where
// a gate was there already it is called again, and the statements run a second time.
//
// A gate that is missing is made as it is given: by New, or by its Request, and then it gets its sync id now. So a caller who knows what will
// become of a new order writes its gate once. made are these gates, and known are the others, as they were.
func LockAnd(ctx context.Context, tx pgx.Tx, gates map[string]domain.Gate, read func(b *pgx.Batch)) (made, known map[string]domain.Gate, err error) {
	keys := slices.Sorted(maps.Keys(gates))
	given := make([]domain.Gate, len(keys))
	for i, key := range keys {
		given[i] = gates[key]
	}
	made, known = map[string]domain.Gate{}, map[string]domain.Gate{}
	var b pgx.Batch
	b.Queue(insertQuery, newColumnsOf(given, keys)...).Query(func(rows pgx.Rows) error {
		var key string
		var syncID int64
		_, err := pgx.ForEachRow(rows, []any{&key, &syncID}, func() error {
			g := gates[key]
			g.SyncID = syncID
			made[key] = g
			return nil
		})
		return err
	})
	read(&b)
	if err := tx.SendBatch(ctx, &b).Close(); err != nil {
		return made, known, fmt.Errorf("making %d gates: %w", len(keys), err)
	}
	keys = slices.DeleteFunc(keys, func(key string) bool { // a gate that this transaction made is locked already
		_, ours := made[key]
		return ours
	})
	if len(keys) == 0 {
		return made, known, nil
	}
	b = pgx.Batch{}
	b.Queue(lockQuery, keys).Query(into(known))
	read(&b)
	if err := tx.SendBatch(ctx, &b).Close(); err != nil {
		return made, known, fmt.Errorf("locking %d gates: %w", len(keys), err)
	}
	return made, known, nil
}

// insertQuery allots no sync id to a gate that is there. Where one comes at the same moment, its id is lost, which is no harm.
const insertQuery = `
	WITH missing AS MATERIALIZED (
		SELECT *, count(*) FILTER (WHERE generation > 0) OVER (ORDER BY position) AS nth
		FROM unnest($1::text[], $2::text[], $3::text[], $4::int[], $5::text[], $6::text[], $7::text[], $8::int[], $9::int[], $10::bigint[],
			$11::timestamptz[], $12::timestamptz[]) WITH ORDINALITY AS n (order_key, source, increment_id, generation, state, held_by, idempotency_key,
			key_number, max_attempts, version, requested_at, updated_at, position)
		WHERE NOT EXISTS (SELECT FROM erp_sync_gate g WHERE g.order_key = n.order_key)),
	allotted AS MATERIALIZED (SELECT ARRAY(SELECT erp_sync_ids((SELECT max(nth)::int FROM missing))) AS ids)
	INSERT INTO erp_sync_gate (order_key, source, increment_id, sync_id, generation, state, held_by, idempotency_key, key_number, max_attempts,
		version, requested_at, updated_at)
	SELECT order_key, source, increment_id, CASE WHEN generation > 0 THEN ids[nth] END, generation, state, nullif(held_by, ''),
		nullif(idempotency_key, ''), key_number, max_attempts, version, nullif(requested_at, 'epoch'), updated_at
	FROM missing, allotted ORDER BY position
	ON CONFLICT (order_key) DO NOTHING RETURNING order_key, coalesce(sync_id, 0)`

// newColumnsOf turns gates that may be new into insertQuery's parameters: one array for each column that New and Request fill.
func newColumnsOf(gates []domain.Gate, keys []string) []any {
	return []any{
		keys,
		column(gates, func(g domain.Gate) string { return g.Ref.Source }),
		column(gates, func(g domain.Gate) string { return g.Ref.IncrementID }),
		column(gates, func(g domain.Gate) int { return g.Generation }),
		column(gates, func(g domain.Gate) string { return string(g.State) }),
		column(gates, func(g domain.Gate) string { return string(g.HeldBy) }),
		column(gates, func(g domain.Gate) string { return g.IdempotencyKey }),
		column(gates, func(g domain.Gate) int { return g.KeyNumber }),
		column(gates, func(g domain.Gate) int { return g.MaxAttempts }),
		column(gates, func(g domain.Gate) int64 { return int64(g.Version) }),
		column(gates, func(g domain.Gate) time.Time { return g.RequestedAt }),
		column(gates, func(g domain.Gate) time.Time { return g.UpdatedAt }),
	}
}

// arrays are the parameters that columnsOf gives, and fields their names.
const (
	arrays = `$1::text[], $2::bigint[], $3::int[], $4::text[], $5::text[], $6::text[], $7::text[], $8::int[], $9::bool[],
		$10::int[], $11::int[], $12::int[], $13::text[], $14::bigint[], $15::timestamptz[], $16::timestamptz[]`
	fields = `order_key, sync_id, generation, state, held_by, closed_by, idempotency_key, key_number, key_answered,
		max_attempts, request_number, callback_number, callback, version, requested_at, updated_at`
)

const lockQuery = `SELECT ` + columns + ` FROM erp_sync_gate WHERE order_key = ANY($1) ORDER BY order_key COLLATE "C" FOR UPDATE`

// into puts gates that were read into a map.
func into(gates map[string]domain.Gate) func(pgx.Rows) error {
	return func(rows pgx.Rows) error {
		read, err := collect(rows)
		maps.Copy(gates, read)
		return err
	}
}

// LockKnown locks the gates that exist until tx ends, in the order of their keys. It leaves out orders without one.
func LockKnown(ctx context.Context, tx pgx.Tx, keys []string) (map[string]domain.Gate, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	rows, err := tx.Query(ctx, lockQuery, keys)
	if err != nil {
		return nil, fmt.Errorf("locking %d gates: %w", len(keys), err)
	}
	gates, err := collect(rows)
	if err != nil {
		return nil, fmt.Errorf("locking %d gates: %w", len(keys), err)
	}
	return gates, nil
}

// TryLock locks the gate of an order until tx ends, without waiting: free is false while somebody else holds it. known is false
// when the order has no gate.
func TryLock(ctx context.Context, tx pgx.Tx, key string) (g domain.Gate, known, free bool, err error) {
	rows, err := tx.Query(ctx, `SELECT `+columns+` FROM erp_sync_gate WHERE order_key = $1 FOR UPDATE SKIP LOCKED`, key)
	if err != nil {
		return g, false, false, fmt.Errorf("locking the gate of order %s: %w", key, err)
	}
	gates, err := collect(rows)
	if err != nil {
		return g, false, false, fmt.Errorf("locking the gate of order %s: %w", key, err)
	}
	if g, free = gates[key]; free {
		return g, true, true, nil
	}
	err = tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM erp_sync_gate WHERE order_key = $1)`, key).Scan(&known)
	if err != nil {
		return g, false, false, fmt.Errorf("looking for the gate of order %s: %w", key, err)
	}
	return g, known, !known, nil
}

// Save writes gates that the transaction has locked, with one statement. A gate must not be among them twice.
func Save(ctx context.Context, tx pgx.Tx, gates []domain.Gate) error {
	if len(gates) == 0 {
		return nil
	}
	var b pgx.Batch
	QueueSave(&b, gates)
	if err := tx.SendBatch(ctx, &b).Close(); err != nil {
		return fmt.Errorf("saving %d gates: %w", len(gates), err)
	}
	return nil
}

// QueueSave is Save in a batch, which fails when Save would.
func QueueSave(b *pgx.Batch, gates []domain.Gate) {
	if len(gates) == 0 {
		return
	}
	b.Queue(SaveStatement, columnsOf(gates)...).Exec(func(tag pgconn.CommandTag) error {
		if saved := tag.RowsAffected(); saved != int64(len(gates)) {
			return fmt.Errorf("%d gates are to be saved, and %d were there; lock gates before saving them", len(gates), saved)
		}
		return nil
	})
}

// SaveStatement is the statement of QueueSave.
const SaveStatement = `
	UPDATE erp_sync_gate t SET sync_id = nullif(n.sync_id, 0), generation = n.generation, state = n.state,
		held_by = nullif(n.held_by, ''), closed_by = nullif(n.closed_by, ''), idempotency_key = nullif(n.idempotency_key, ''),
		key_number = n.key_number, key_answered = n.key_answered, max_attempts = n.max_attempts,
		request_number = n.request_number, callback_number = n.callback_number, callback = nullif(n.callback, ''), version = n.version,
		requested_at = nullif(n.requested_at, 'epoch'), updated_at = n.updated_at
	FROM unnest(` + arrays + `) AS n (` + fields + `)
	WHERE t.order_key = n.order_key`

// columnsOf turns gates into one array per column, as arrays and fields name them.
func columnsOf(gates []domain.Gate) []any {
	return []any{
		column(gates, func(g domain.Gate) string { return g.Ref.Key() }),
		column(gates, func(g domain.Gate) int64 { return g.SyncID }),
		column(gates, func(g domain.Gate) int { return g.Generation }),
		column(gates, func(g domain.Gate) string { return string(g.State) }),
		column(gates, func(g domain.Gate) string { return string(g.HeldBy) }),
		column(gates, func(g domain.Gate) string { return string(g.ClosedBy) }),
		column(gates, func(g domain.Gate) string { return g.IdempotencyKey }),
		column(gates, func(g domain.Gate) int { return g.KeyNumber }),
		column(gates, func(g domain.Gate) bool { return g.KeyAnswered }),
		column(gates, func(g domain.Gate) int { return g.MaxAttempts }),
		column(gates, func(g domain.Gate) int { return g.RequestNumber }),
		column(gates, func(g domain.Gate) int { return g.CallbackNumber }),
		column(gates, func(g domain.Gate) string { return g.Callback }),
		column(gates, func(g domain.Gate) int64 { return int64(g.Version) }),
		column(gates, func(g domain.Gate) time.Time { return g.RequestedAt }),
		column(gates, func(g domain.Gate) time.Time { return g.UpdatedAt }),
	}
}

// column is one field of all rows, for unnest.
func column[R, T any](rows []R, of func(R) T) []T {
	out := make([]T, len(rows))
	for i, r := range rows {
		out[i] = of(r)
	}
	return out
}

// Store reads gates without locks.
type Store struct {
	pool   *pgxpool.Pool
	reread reread
	recent recent
}

// NewStore reads through the pool.
func NewStore(pool *pgxpool.Pool) *Store { return &Store{pool: pool} }

// readTimeout bounds one reading, so that a caller learns in time that Postgres does not answer.
const readTimeout = 2 * time.Second

// Read reads the gates of the keys. An order without one is missing from the result.
func (s *Store) Read(ctx context.Context, keys []string) (map[string]*domain.Gate, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	rows, err := s.pool.Query(ctx, `SELECT `+columns+` FROM erp_sync_gate WHERE order_key = ANY($1)`, keys)
	if err != nil {
		return nil, fmt.Errorf("reading %d gates: %w", len(keys), err)
	}
	gates, err := collect(rows)
	if err != nil {
		return nil, fmt.Errorf("reading %d gates: %w", len(keys), err)
	}
	out := make(map[string]*domain.Gate, len(gates))
	for key, g := range gates {
		out[key] = &g
	}
	return out, nil
}

// collect reads gates by their keys.
func collect(rows pgx.Rows) (map[string]domain.Gate, error) {
	gates := map[string]domain.Gate{}
	var key string
	var g domain.Gate
	_, err := pgx.ForEachRow(rows, []any{
		&key, &g.Ref.Source, &g.Ref.IncrementID, &g.SyncID, &g.Generation, &g.State, &g.HeldBy, &g.ClosedBy, &g.IdempotencyKey,
		&g.KeyNumber, &g.KeyAnswered, &g.MaxAttempts, &g.RequestNumber, &g.CallbackNumber, &g.Callback, &g.Version, &g.RequestedAt, &g.UpdatedAt,
	}, func() error {
		g.RequestedAt, g.UpdatedAt = g.RequestedAt.UTC(), g.UpdatedAt.UTC()
		gates[key] = g
		return nil
	})
	return gates, err
}
