package projector

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/gate"
	"github.com/erpconnector/erpconnector/shared/postgres"
)

// The write side, gates and orders, is updated in the transaction that applies the facts. The projection waits for nobody. When
// somebody holds a row locked, the same transaction notes what is left to do there, and catchUp does it. So catchUp reads these
// notes, and never all orders.

// updateWriteSide closes the gates of generations that ended, and marks the orders that the ERP has. The syncer has closed most gates
// already, as a hint; only this is certain, also after the syncer was killed between its commit and the hint.
func (s *store) updateWriteSide(ctx context.Context, tx pgx.Tx, facts []fact) error {
	var ends []gate.GenerationEnd
	var synced []string
	for _, f := range facts {
		if f.Sync.Status == domain.Success {
			synced = append(synced, f.Sync.Ref().Key())
		}
		if e, ok := generationEndOf(f); ok {
			ends = append(ends, e)
		}
	}
	if len(ends) > 0 {
		skipped, err := gate.CloseRest(ctx, tx, ends)
		if err != nil {
			return err
		}
		s.skipped = s.skipped || len(skipped) > 0
		if err := gate.Remember(ctx, tx, ends, skipped); err != nil {
			return err
		}
	}
	if len(synced) == 0 {
		return nil
	}
	slices.Sort(synced)
	locked, err := markSynced(ctx, tx, slices.Compact(synced)) // after_send says it, and so does the terminal event
	s.skipped = s.skipped || locked
	return err
}

// generationEndOf is what the gate needs to know of a fact; ok is false when that is nothing. An answer with success uses up the
// key and names the order, also when the generation ends otherwise. Whether an answer is a success the error code says: a setting
// may name statuses other than 2xx as one.
func generationEndOf(f fact) (e gate.GenerationEnd, ok bool) {
	e = gate.GenerationEnd{
		Key: f.Sync.Ref().Key(), Generation: f.Sync.Generation, Version: f.Sync.Version, IdempotencyKey: f.Sync.IdempotencyKey,
		Reference: f.Sync.ErpReference,
	}
	switch f.at.Topic {
	case event.TopicAfterSend:
		e.Answered = f.httpStatus != nil && f.Sync.ErrorCode == ""
		if e.Answered {
			e.Reference = f.reference
		}
		return e, e.Answered
	case event.TopicSuccess, event.TopicFailed:
		e.By = f.Sync.EndedBy()
		return e, true
	default:
		return e, e.Reference != nil
	}
}

// markSynced marks orders that the ERP has. It waits for no lock: of the orders that are locked it notes that they are to be
// marked. It does so for missing orders too, as they may come again after a restore of the database. locked reports whether
// there are locked ones.
func markSynced(ctx context.Context, q postgres.Querier, keys []string) (locked bool, err error) {
	rows, err := q.Query(ctx, `
		WITH free AS (
			SELECT order_key FROM sales_order WHERE order_key = ANY($1) AND erp_synced = 0 ORDER BY order_key FOR UPDATE SKIP LOCKED
		)
		UPDATE sales_order o SET erp_synced = 1 FROM free WHERE o.order_key = free.order_key RETURNING o.order_key`, keys)
	var marked []string
	if err == nil {
		marked, err = pgx.CollectRows(rows, pgx.RowTo[string])
	}
	if err != nil {
		return false, fmt.Errorf("marking %d orders synced: %w", len(keys), err)
	}
	if rest := without(keys, marked); len(rest) > 0 {
		return noteUnmarked(ctx, q, rest)
	}
	return false, nil
}

// without are the keys that are not among the others.
func without(keys, others []string) (rest []string) {
	among := make(map[string]bool, len(others))
	for _, key := range others {
		among[key] = true
	}
	for _, key := range keys {
		if !among[key] {
			rest = append(rest, key)
		}
	}
	return rest
}

// noteUnmarked notes which of the orders are to be marked: those that are not.
func noteUnmarked(ctx context.Context, q postgres.Querier, keys []string) (locked bool, err error) {
	rows, err := q.Query(ctx, `
		WITH unmarked AS MATERIALIZED (
			SELECT k AS order_key, o.order_key IS NOT NULL AS there FROM unnest($1::text[]) AS k LEFT JOIN sales_order o ON o.order_key = k
			WHERE o.erp_synced IS DISTINCT FROM 1
		), noted AS (
			INSERT INTO erp_unmarked_order (order_key) SELECT order_key FROM unmarked ON CONFLICT DO NOTHING
		)
		SELECT EXISTS (SELECT FROM unmarked WHERE there)`, keys)
	if err == nil {
		locked, err = pgx.CollectExactlyOneRow(rows, pgx.RowTo[bool])
	}
	if err != nil {
		return false, fmt.Errorf("noting that %d orders are to be marked: %w", len(keys), err)
	}
	return locked, nil
}

const (
	marksPage   = 1000  // Postgres compares that many keys with each other in a few milliseconds
	recheckPage = 10000 // takes a tenth of a second
)

// catchUp does what was noted. It leaves what is still locked to the next call.
func (s *store) catchUp(ctx context.Context) error {
	more, err := s.recheck(ctx)
	if err != nil {
		return err
	}
	gatesLeft, err := gate.Recall(ctx, s.pool)
	if err != nil {
		return err
	}
	ordersLeft, err := s.recallMarks(ctx)
	if err != nil {
		return err
	}
	s.skipped = more || gatesLeft || ordersLeft
	return nil
}

// recallMarks marks the orders that markSynced noted. A missing one stays noted; left does not count it, as it may never come.
func (s *store) recallMarks(ctx context.Context) (left bool, err error) {
	for after := ""; ; {
		keys, err := s.unmarkedOrders(ctx, after)
		if err != nil || len(keys) == 0 {
			return left, err
		}
		locked, err := markSynced(ctx, s.pool, keys)
		if err != nil {
			return left, err
		}
		_, err = s.pool.Exec(ctx, `DELETE FROM erp_unmarked_order n WHERE order_key = ANY($1)
			AND (SELECT erp_synced FROM sales_order o WHERE o.order_key = n.order_key) = 1`, keys)
		if err != nil {
			return left, fmt.Errorf("taking off that %d orders are to be marked: %w", len(keys), err)
		}
		left, after = left || locked, keys[len(keys)-1]
	}
}

// unmarkedOrders are the next orders that are to be marked, without those that are missing. The planner knows little about a
// table that is mostly empty; LATERAL leaves it only one plan, an index look-up for each row.
func (s *store) unmarkedOrders(ctx context.Context, after string) ([]string, error) {
	rows, err := s.pool.Query(ctx, `
		SELECT n.order_key FROM erp_unmarked_order n CROSS JOIN LATERAL (SELECT FROM sales_order o WHERE o.order_key = n.order_key LIMIT 1) o
		WHERE n.order_key > $1 ORDER BY n.order_key LIMIT $2`, after, marksPage)
	if err != nil {
		return nil, fmt.Errorf("reading which orders are to be marked: %w", err)
	}
	keys, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("reading which orders are to be marked: %w", err)
	}
	return keys, nil
}

// recheck compares the write side with the projection and notes what the write side lacks, a page of orders at a time, while
// projector_recheck has a row; more reports whether pages are left. In ordinary work that table is empty, as the projector has
// noted all that it skipped. Migration 7 filled it once, for databases of releases that noted less.
func (s *store) recheck(ctx context.Context) (more bool, err error) {
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		var after, last *string
		if err := tx.QueryRow(ctx, `SELECT min(after_key) FROM projector_recheck`).Scan(&after); err != nil || after == nil {
			return err
		}
		if err := tx.QueryRow(ctx, recheckQuery, *after, recheckPage).Scan(&last, &more); err != nil {
			return err
		}
		if !more {
			_, err := tx.Exec(ctx, `DELETE FROM projector_recheck`)
			return err
		}
		_, err := tx.Exec(ctx, `UPDATE projector_recheck SET after_key = $1`, *last)
		return err
	})
	if err != nil {
		return false, fmt.Errorf("comparing the write side with the projection: %w", err)
	}
	return more, nil
}

// recheckQuery relies on the version: when it is of class 1, status and key of the row are those of the chain's terminal event.
const recheckQuery = `
WITH page AS MATERIALIZED (
	SELECT order_key, sync_id, generation, state FROM erp_sync_gate WHERE order_key > $1 ORDER BY order_key LIMIT $2
), compared AS MATERIALIZED (
	SELECT page.*, v.*, o.erp_synced FROM page
	CROSS JOIN LATERAL (SELECT generation AS newest, status, idempotency_key, version FROM vendor_erp_sync v WHERE v.sync_id = page.sync_id LIMIT 1) v
	LEFT JOIN LATERAL (SELECT erp_synced FROM sales_order o WHERE o.order_key = page.order_key LIMIT 1) o ON true
), ended AS (
	SELECT * FROM compared WHERE state = 'open' AND newest = generation AND status IN ('success', 'failed')
		AND version >> 24 & 15 = 1 AND version & 7 = 3 -- a terminal event
), gates AS (
	INSERT INTO erp_unclosed_gate (order_key, generation, closed_by)
	SELECT order_key, generation, CASE status WHEN 'success' THEN 'answer' ELSE 'failure' END FROM ended ON CONFLICT DO NOTHING
), keys AS (
	INSERT INTO erp_answered_key (order_key, idempotency_key)
	SELECT order_key, idempotency_key FROM ended WHERE status = 'success' ON CONFLICT DO NOTHING
), orders AS (
	INSERT INTO erp_unmarked_order (order_key)
	SELECT order_key FROM compared WHERE status = 'success' AND erp_synced = 0 ON CONFLICT DO NOTHING
)
SELECT max(order_key), count(*) = $2 FROM page`
