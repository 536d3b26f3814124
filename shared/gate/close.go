package gate

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/postgres"
)

// GenerationEnd says that a generation has its terminal event, or only that its key was answered.
type GenerationEnd struct {
	Key            string
	Generation     int
	Version        domain.Version
	By             domain.ClosedBy // empty: the generation has not ended
	IdempotencyKey string          // the one that the ERP answered
	Answered       bool            // with success: the key is used up, whichever generation carries it
	Reference      *string         // what the ERP calls the order, when the fact says so
}

// Close closes the gates whose generation has ended, and notes the keys that were answered. It never waits for a lock: it skips
// gates that somebody holds locked, and returns their keys.
//
// A gate of another generation keeps its state, and so does one that is closed already. The exception is a gate that a dead letter
// has closed: the terminal event closes it again, as it says what really became of the order.
//
// The gate's version stays. It is the version of the last fact that the gate itself allotted, and a status query trusts the gate
// only while the projection lacks that fact. Facts of the syncer it takes from the projection, which has all their fields.
//
// Close also keeps what the ERP calls the order, for skipped gates too. It does so in the statement that closes the gate. So when
// somebody makes a new generation because of an answer, the reference of that answer is known before any callback comes.
func Close(ctx context.Context, q postgres.Querier, ends []GenerationEnd) (skipped []string, err error) {
	keys, closedBy, answered, err := byKey(ends)
	if err != nil {
		return nil, err
	}
	named, digests, generations := references(ends)
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

// CloseRest is Close of what the gates do not know yet. It reads before it locks, so it is for ends that most gates know: a lock is a write.
// What a gate knows it never forgets, so that nobody holds the gate does not matter.
func CloseRest(ctx context.Context, q postgres.Querier, ends []GenerationEnd) (skipped []string, err error) {
	keys, closedBy, answered, err := byKey(ends)
	if err != nil {
		return nil, err
	}
	named, digests, generations := references(ends)
	rows, err := q.Query(ctx, knownQuery, keys, closedBy, answered, named, digests, generations)
	if err != nil {
		return nil, fmt.Errorf("reading what %d gates know: %w", len(keys), err)
	}
	known, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("reading what %d gates know: %w", len(keys), err)
	}
	if _, rest := split(ends, known); len(rest) > 0 {
		return Close(ctx, q, rest)
	}
	return nil, nil
}

// byKey turns the ends into parameters of closeQuery: the keys of the gates in their order, and two JSON objects by these keys. One
// says who ended which generation, the other which idempotency keys were answered.
func byKey(ends []GenerationEnd) (keys []string, closedBy, answered []byte, err error) {
	closers, answers := map[string]map[int]domain.ClosedBy{}, map[string][]string{}
	lastWins := slices.SortedStableFunc(slices.Values(ends), func(a, b GenerationEnd) int { return cmp.Compare(a.Version, b.Version) })
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

// references are the references that the ends name, as arrays of key, digest and generation.
func references(ends []GenerationEnd) (keys []string, digests [][]byte, generations []int) {
	for _, e := range ends {
		if digest := digestOf(e.Reference); digest != nil {
			keys, digests, generations = append(keys, e.Key), append(digests, digest), append(generations, e.Generation)
		}
	}
	return keys, digests, generations
}

// closeQuery decides by the columns of free, which are those of the rows once they are locked. To read the table again would give
// the older state of the statement's snapshot. It looks up the ends in JSON: joins cannot hash here (see postgres.Configure), so
// they would compare each gate with each end, which took a quarter of a second for 2,000 gates.
const closeQuery = `
WITH free AS (
	SELECT t.order_key, t.generation, t.idempotency_key, t.state, t.closed_by FROM erp_sync_gate t
	WHERE t.order_key = ANY($1) ORDER BY t.order_key COLLATE "C" FOR UPDATE SKIP LOCKED
), ended AS (
	SELECT f.*, $2::jsonb -> order_key ->> generation::text AS by,
		coalesce($3::jsonb -> order_key ? idempotency_key, false) AS answered FROM free f
), news AS (
	SELECT order_key, by, by IS NOT NULL AND (state = 'open' OR closed_by = 'dead_letter') AS ends, answered FROM ended
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
	WHERE NOT EXISTS (SELECT FROM erp_reference b WHERE b.order_key = n.k AND b.digest = n.r AND b.generation >= n.g) -- known before
	ORDER BY k, r
	ON CONFLICT (order_key, digest) DO UPDATE SET generation = excluded.generation WHERE t.generation < excluded.generation
)
SELECT order_key FROM free`

// knownQuery finds the gates that closeQuery would leave as they are, and whose references are kept.
const knownQuery = `
WITH unknown AS MATERIALIZED (
	SELECT k FROM unnest($4::text[], $5::bytea[], $6::int[]) AS n (k, r, g)
	WHERE NOT EXISTS (SELECT FROM erp_reference b WHERE b.order_key = n.k AND b.digest = n.r AND b.generation >= n.g)
)
SELECT order_key FROM erp_sync_gate t WHERE order_key = ANY($1)
	AND ($2::jsonb -> order_key ->> generation::text IS NULL OR (state <> 'open' AND closed_by IS DISTINCT FROM 'dead_letter'))
	AND (key_answered OR NOT coalesce($3::jsonb -> order_key ? idempotency_key, false))
	AND order_key NOT IN (SELECT k FROM unknown)`

func (e GenerationEnd) answered() bool { return e.Answered || e.By == domain.ClosedByAnswer }

// endColumns turns ends into one array per column: key, generation, by, idempotency key, answered.
func endColumns(ends []GenerationEnd) []any {
	return []any{
		column(ends, func(e GenerationEnd) string { return e.Key }),
		column(ends, func(e GenerationEnd) int { return e.Generation }),
		column(ends, func(e GenerationEnd) string { return string(e.By) }),
		column(ends, func(e GenerationEnd) string { return e.IdempotencyKey }),
		column(ends, GenerationEnd.answered),
	}
}

// Remember notes what Close could not do to the gates that it skipped, for Recall: that a generation has ended, and which key was
// answered. The key needs a note of its own. When Recall comes, the gate may be at another generation, and nothing else would say
// that the key is used up.
func Remember(ctx context.Context, tx pgx.Tx, ends []GenerationEnd, skipped []string) error {
	if len(skipped) == 0 {
		return nil
	}
	left, _ := split(ends, skipped)
	_, err := tx.Exec(ctx, `
		WITH ended AS (
			SELECT * FROM unnest($1::text[], $2::int[], $3::text[], $4::text[], $5::bool[]) AS e (k, g, b, i, a)
			WHERE (SELECT true FROM erp_sync_gate t WHERE t.order_key = e.k) -- one index look-up a row, whatever the planner thinks
		), answered AS (
			INSERT INTO erp_answered_key (order_key, idempotency_key) SELECT k, i FROM ended WHERE a ON CONFLICT DO NOTHING
		)
		INSERT INTO erp_unclosed_gate (order_key, generation, closed_by) SELECT k, g, b FROM ended WHERE b <> '' ON CONFLICT DO NOTHING`,
		endColumns(left)...)
	if err != nil {
		return fmt.Errorf("noting how %d generations ended: %w", len(skipped), err)
	}
	return nil
}

// split separates the ends of the gates that were skipped from the others.
func split(ends []GenerationEnd, skipped []string) (left, done []GenerationEnd) {
	keys := make(map[string]bool, len(skipped))
	for _, key := range skipped {
		keys[key] = true
	}
	for _, e := range ends {
		if keys[e.Key] {
			left = append(left, e)
		} else {
			done = append(done, e)
		}
	}
	return left, done
}

// recallPage is how many notes Recall reads at a time. Close compares them with each other, see closeQuery.
const recallPage = 1000

// Recall closes the gates that Remember noted. It leaves those that somebody holds locked to the next call; left reports whether
// there are any. It may run twice at once: to close a gate again changes nothing.
func Recall(ctx context.Context, pool *pgxpool.Pool) (left bool, err error) {
	after := ""
	for {
		noted, err := readUnclosed(ctx, pool, after)
		if err != nil || len(noted) == 0 {
			return left, err
		}
		skipped, err := Close(ctx, pool, noted)
		if err != nil {
			return left, err
		}
		_, done := split(noted, skipped)
		if err := forgetUnclosed(ctx, pool, done); err != nil {
			return left, err
		}
		left, after = left || len(skipped) > 0, noted[len(noted)-1].Key
	}
}

// readUnclosed reads the notes of the next gates, whole gates at a time.
func readUnclosed(ctx context.Context, pool *pgxpool.Pool, after string) ([]GenerationEnd, error) {
	rows, err := pool.Query(ctx, `
		SELECT order_key, generation, closed_by, '' AS idempotency_key, false AS answered FROM erp_unclosed_gate WHERE order_key > $1
		UNION ALL SELECT order_key, 0, '', idempotency_key, true FROM erp_answered_key WHERE order_key > $1
		ORDER BY order_key FETCH FIRST $2 ROWS WITH TIES`, after, recallPage)
	if err != nil {
		return nil, fmt.Errorf("reading how generations ended: %w", err)
	}
	noted, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (e GenerationEnd, err error) {
		return e, row.Scan(&e.Key, &e.Generation, &e.By, &e.IdempotencyKey, &e.Answered)
	})
	if err != nil {
		return nil, fmt.Errorf("reading how generations ended: %w", err)
	}
	return noted, nil
}

// forgetUnclosed deletes notes that are done.
func forgetUnclosed(ctx context.Context, pool *pgxpool.Pool, done []GenerationEnd) error {
	_, err := pool.Exec(ctx, `
		WITH done AS (
			SELECT * FROM unnest($1::text[], $2::int[], $3::text[], $4::text[], $5::bool[]) AS e (k, g, b, i, a)
		), answered AS (
			DELETE FROM erp_answered_key n USING done WHERE b = '' AND n.order_key = k AND n.idempotency_key = i
		)
		DELETE FROM erp_unclosed_gate n USING done WHERE b <> '' AND n.order_key = k AND n.generation = g`, endColumns(done)...)
	if err != nil {
		return fmt.Errorf("deleting %d notes of ended generations: %w", len(done), err)
	}
	return nil
}
