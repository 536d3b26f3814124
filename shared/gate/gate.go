// Package gate keeps domain.Gate in Postgres, one row per order. Whoever requests, releases or settles an order locks
// its row first; several in the order of their keys.
package gate

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/erpconnector/erpconnector/shared/domain"
)

const columns = `order_key, source, increment_id, coalesce(sync_id, 0), generation, state, coalesce(held_by, ''),
	coalesce(closed_by, ''), coalesce(idempotency_key, ''), key_number, key_answered, max_attempts, request_number,
	callback_number, coalesce(callback, ''), version, coalesce(requested_at, 'epoch'), updated_at`

// Lock makes sure that each order has a gate and locks them, in the order of their keys, until tx ends.
func Lock(ctx context.Context, tx pgx.Tx, refs []domain.OrderRef, now time.Time) (map[string]domain.Gate, error) {
	byKey := map[string]domain.OrderRef{}
	var keys []string
	for _, ref := range refs {
		key := ref.Key()
		if _, seen := byKey[key]; !seen {
			byKey[key] = ref
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	var sources, ids []string
	for _, key := range keys {
		sources, ids = append(sources, byKey[key].Source), append(ids, byKey[key].IncrementID)
	}
	created, err := tx.Query(ctx, `
		INSERT INTO erp_sync_gate (order_key, source, increment_id, updated_at)
		SELECT k, s, i, $4 FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY AS n (k, s, i, position) ORDER BY position
		ON CONFLICT (order_key) DO NOTHING RETURNING `+columns, keys, sources, ids, domain.NormalizeTime(now))
	if err != nil {
		return nil, fmt.Errorf("making %d gates: %w", len(keys), err)
	}
	gates, err := collect(created)
	if err != nil {
		return nil, fmt.Errorf("making %d gates: %w", len(keys), err)
	}
	keys = slices.DeleteFunc(keys, func(key string) bool { // who has made a gate holds it
		_, made := gates[key]
		return made
	})
	known, err := LockKnown(ctx, tx, keys)
	if err != nil {
		return nil, err
	}
	maps.Copy(gates, known)
	return gates, nil
}

// LockKnown locks the gates that exist, in the order of their keys, until tx ends; orders without one are left out.
func LockKnown(ctx context.Context, tx pgx.Tx, keys []string) (map[string]domain.Gate, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	rows, err := tx.Query(ctx, `SELECT `+columns+` FROM erp_sync_gate WHERE order_key = ANY($1) ORDER BY order_key COLLATE "C" FOR UPDATE`, keys)
	if err != nil {
		return nil, fmt.Errorf("locking %d gates: %w", len(keys), err)
	}
	gates, err := collect(rows)
	if err != nil {
		return nil, fmt.Errorf("locking %d gates: %w", len(keys), err)
	}
	return gates, nil
}

// TryLock locks the gate of an order until tx ends, and waits for nobody: free is false while somebody else holds it. known is
// false when the order has none.
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

// Save writes gates that the transaction has locked, each at most once, with one statement.
func Save(ctx context.Context, tx pgx.Tx, gates []domain.Gate) error {
	if len(gates) == 0 {
		return nil
	}
	tag, err := tx.Exec(ctx, `
		UPDATE erp_sync_gate t SET sync_id = nullif(n.sync_id, 0), generation = n.generation, state = n.state,
			held_by = nullif(n.held_by, ''), closed_by = nullif(n.closed_by, ''), idempotency_key = nullif(n.idempotency_key, ''),
			key_number = n.key_number, key_answered = n.key_answered, max_attempts = n.max_attempts,
			request_number = n.request_number, callback_number = n.callback_number, callback = nullif(n.callback, ''), version = n.version,
			requested_at = nullif(n.requested_at, 'epoch'), updated_at = n.updated_at
		FROM unnest($1::text[], $2::bigint[], $3::int[], $4::text[], $5::text[], $6::text[], $7::text[], $8::int[], $9::bool[],
			$10::int[], $11::int[], $12::int[], $13::text[], $14::bigint[], $15::timestamptz[], $16::timestamptz[])
			AS n (order_key, sync_id, generation, state, held_by, closed_by, idempotency_key, key_number, key_answered,
				max_attempts, request_number, callback_number, callback, version, requested_at, updated_at)
		WHERE t.order_key = n.order_key`, columnsOf(gates)...)
	if err != nil {
		return fmt.Errorf("saving %d gates: %w", len(gates), err)
	}
	if saved := tag.RowsAffected(); saved != int64(len(gates)) {
		return fmt.Errorf("saving %d gates: %d were there; lock gates before saving them", len(gates), saved)
	}
	return nil
}

// columnsOf turns gates into one array per column, in the order of Save's parameters.
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

// Read is the gates of the keys; an order without one is missing from the result.
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

// Ending says that a generation has its terminal event, or only that a key was answered.
type Ending struct {
	Key            string
	Generation     int
	Version        domain.Version
	By             domain.ClosedBy // empty: nothing ended
	IdempotencyKey string          // of the call that was answered
	Answered       bool            // the ERP answered this key with success: it is used up, whichever generation carries it
	Reference      *string         // what the ERP calls the order, when the fact tells
}

// Querier is a pool or a transaction.
type Querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// Close closes the gates whose generation has ended and notes answered keys. It never waits for a caller: gates that somebody
// holds locked are skipped and named, and a gate of another generation, or closed before, keeps its state; one that a dead letter
// has closed is closed by the terminal event all the same, which says what really came of it. The gate's version
// stays: it is that of the last fact the gate itself allotted, and a status query trusts the gate only while the
// projection lacks that fact; what the syncer wrote, the projection tells with all its fields.
//
// It also keeps what the ERP calls the order, whoever holds the gate. As that is the statement which closes the gate, no
// generation that is made because of an answer can meet a callback whose reference nobody knows yet.
func Close(ctx context.Context, q Querier, endings []Ending) (skipped []string, err error) {
	keys, closedBy, answered, err := byKey(endings)
	if err != nil {
		return nil, err
	}
	named, digests, generations := references(endings)
	rows, err := q.Query(ctx, closeQuery, keys, closedBy, answered, named, digests, generations)
	if err != nil {
		return nil, fmt.Errorf("closing %d gates: %w", len(keys), err)
	}
	free, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("closing %d gates: %w", len(keys), err)
	}
	slices.Sort(free)
	return slices.DeleteFunc(keys, func(key string) bool {
		_, found := slices.BinarySearch(free, key)
		return found
	}), nil
}

// byKey is what Close asks about: the gates' keys in their order, and two JSON objects with these keys, of who closed which
// generation and of the idempotency keys that were answered.
func byKey(endings []Ending) (keys []string, closedBy, answered []byte, err error) {
	closers, answers := map[string]map[int]domain.ClosedBy{}, map[string][]string{}
	lastWins := slices.SortedStableFunc(slices.Values(endings), func(a, b Ending) int { return cmp.Compare(a.Version, b.Version) })
	for _, e := range lastWins {
		if closers[e.Key] == nil {
			closers[e.Key] = map[int]domain.ClosedBy{}
		}
		if e.By != "" {
			closers[e.Key][e.Generation] = e.By
		}
		if e.answered() {
			answers[e.Key] = append(answers[e.Key], e.IdempotencyKey)
		}
	}
	if closedBy, err = json.Marshal(closers); err == nil {
		answered, err = json.Marshal(answers)
	}
	return slices.Sorted(maps.Keys(closers)), closedBy, answered, err
}

// references are the digests that endings name, in columns: key, digest, generation.
func references(endings []Ending) (keys []string, digests [][]byte, generations []int) {
	for _, e := range endings {
		if digest := digestOf(e.Reference); digest != nil {
			keys, digests, generations = append(keys, e.Key), append(digests, digest), append(generations, e.Generation)
		}
	}
	return keys, digests, generations
}

// The columns of free are those of the rows as they were locked; a second look at the table would be at the snapshot. The endings
// are looked up in JSON, as joins without hashing (see postgres.Configure) compare each with each: closing 2,000 gates took a
// quarter of a second.
const closeQuery = `
WITH free AS (
	SELECT t.order_key, t.generation, t.idempotency_key, t.state, t.closed_by FROM erp_sync_gate t
	WHERE t.order_key = ANY($1) ORDER BY t.order_key COLLATE "C" FOR UPDATE SKIP LOCKED
), told AS (
	SELECT f.*, $2::jsonb -> order_key ->> generation::text AS by,
		coalesce($3::jsonb -> order_key ? idempotency_key, false) AS answered FROM free f
), news AS (
	SELECT order_key, by, by IS NOT NULL AND (state = 'open' OR closed_by = 'dead_letter') AS ends, answered FROM told
), closed AS (
	UPDATE erp_sync_gate t SET
		state = CASE WHEN n.ends THEN 'closed' ELSE t.state END,
		closed_by = CASE WHEN n.ends THEN n.by ELSE t.closed_by END,
		key_answered = t.key_answered OR n.answered
	FROM news n
	WHERE t.order_key = n.order_key AND (n.ends OR (n.answered AND NOT t.key_answered))
	RETURNING t.order_key
), named AS (
	SELECT k, r, max(g) AS g FROM unnest($4::text[], $5::bytea[], $6::int[]) AS n (k, r, g) GROUP BY k, r
), kept AS (
	INSERT INTO erp_reference AS t (order_key, digest, generation) SELECT k, r, g FROM named n
	WHERE NOT EXISTS (SELECT FROM erp_reference b WHERE b.order_key = n.k AND b.digest = n.r AND b.generation >= n.g) -- told before
	ORDER BY k, r
	ON CONFLICT (order_key, digest) DO UPDATE SET generation = excluded.generation WHERE t.generation < excluded.generation
)
SELECT order_key FROM free`

func (e Ending) answered() bool { return e.Answered || e.By == domain.ClosedByAnswer }

// endingColumns turns endings into one array per column: key, generation, by, idempotency key, answered.
func endingColumns(endings []Ending) []any {
	return []any{
		column(endings, func(e Ending) string { return e.Key }),
		column(endings, func(e Ending) int { return e.Generation }),
		column(endings, func(e Ending) string { return string(e.By) }),
		column(endings, func(e Ending) string { return e.IdempotencyKey }),
		column(endings, Ending.answered),
	}
}

// Remember notes what Close could not tell the gates that it skipped, for Recall: that a generation has ended, and which key
// was answered. By then the gate may be at another generation, and nothing else would tell that the key it carries is used up.
func Remember(ctx context.Context, tx pgx.Tx, endings []Ending, skipped []string) error {
	if len(skipped) == 0 {
		return nil
	}
	left, _ := split(endings, skipped)
	_, err := tx.Exec(ctx, `
		WITH told AS (
			SELECT * FROM unnest($1::text[], $2::int[], $3::text[], $4::text[], $5::bool[]) AS e (k, g, b, i, a)
			WHERE (SELECT true FROM erp_sync_gate t WHERE t.order_key = e.k) -- one look into the index a row, whatever the planner thinks
		), answered AS (
			INSERT INTO erp_answered_key (order_key, idempotency_key) SELECT k, i FROM told WHERE a ON CONFLICT DO NOTHING
		)
		INSERT INTO erp_unclosed_gate (order_key, generation, closed_by) SELECT k, g, b FROM told WHERE b <> '' ON CONFLICT DO NOTHING`,
		endingColumns(left)...)
	if err != nil {
		return fmt.Errorf("noting what %d gates are to be told: %w", len(skipped), err)
	}
	return nil
}

// split parts the endings of the keys that were skipped from those of others.
func split(endings []Ending, skipped []string) (left, told []Ending) {
	keys := make(map[string]bool, len(skipped))
	for _, key := range skipped {
		keys[key] = true
	}
	for _, e := range endings {
		if keys[e.Key] {
			left = append(left, e)
		} else {
			told = append(told, e)
		}
	}
	return left, told
}

// recallPage is how many notes Recall reads at a time: so many are compared with each other in no time.
const recallPage = 1000

// Recall tells the gates what Remember noted. Gates that somebody holds locked keep theirs for the next time; left says that
// there are such. It may run twice: what was told changes nothing any more.
func Recall(ctx context.Context, pool *pgxpool.Pool) (left bool, err error) {
	after := ""
	for {
		noted, err := readNotes(ctx, pool, after)
		if err != nil || len(noted) == 0 {
			return left, err
		}
		skipped, err := Close(ctx, pool, noted)
		if err != nil {
			return left, err
		}
		_, told := split(noted, skipped)
		if err := forgetNotes(ctx, pool, told); err != nil {
			return left, err
		}
		left, after = left || len(skipped) > 0, noted[len(noted)-1].Key
	}
}

// readNotes reads the notes of the next gates, whole gates at a time.
func readNotes(ctx context.Context, pool *pgxpool.Pool, after string) ([]Ending, error) {
	rows, err := pool.Query(ctx, `
		SELECT order_key, generation, closed_by, '' AS idempotency_key, false AS answered FROM erp_unclosed_gate WHERE order_key > $1
		UNION ALL SELECT order_key, 0, '', idempotency_key, true FROM erp_answered_key WHERE order_key > $1
		ORDER BY order_key FETCH FIRST $2 ROWS WITH TIES`, after, recallPage)
	if err != nil {
		return nil, fmt.Errorf("reading what gates are to be told: %w", err)
	}
	noted, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (e Ending, err error) {
		return e, row.Scan(&e.Key, &e.Generation, &e.By, &e.IdempotencyKey, &e.Answered)
	})
	if err != nil {
		return nil, fmt.Errorf("reading what gates are to be told: %w", err)
	}
	return noted, nil
}

func forgetNotes(ctx context.Context, pool *pgxpool.Pool, told []Ending) error {
	_, err := pool.Exec(ctx, `
		WITH told AS (
			SELECT * FROM unnest($1::text[], $2::int[], $3::text[], $4::text[], $5::bool[]) AS e (k, g, b, i, a)
		), answered AS (
			DELETE FROM erp_answered_key n USING told WHERE b = '' AND n.order_key = k AND n.idempotency_key = i
		)
		DELETE FROM erp_unclosed_gate n USING told WHERE b <> '' AND n.order_key = k AND n.generation = g`, endingColumns(told)...)
	if err != nil {
		return fmt.Errorf("taking off what %d gates were told: %w", len(told), err)
	}
	return nil
}
