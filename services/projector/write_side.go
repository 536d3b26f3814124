package projector

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/gate"
)

// The write side is told in the transaction that applies the facts. The projection waits for nobody: of a row that somebody
// holds locked the same transaction notes what is to be told, and catchUp tells it. So it reads these notes and never all orders.

// tellWriteSide closes the gates of generations that ended and marks orders the ERP has.
func (s *store) tellWriteSide(ctx context.Context, tx pgx.Tx, facts []fact) error {
	var endings []gate.Ending
	var synced []string
	for _, f := range facts {
		if f.Sync.Status == domain.Success {
			synced = append(synced, f.Sync.Ref().Key())
		}
		if e, tells := endingOf(f); tells {
			endings = append(endings, e)
		}
	}
	if len(endings) > 0 {
		skipped, err := gate.Close(ctx, tx, endings)
		if err != nil {
			return err
		}
		s.skipped = s.skipped || len(skipped) > 0
		if err := gate.Remember(ctx, tx, endings, skipped); err != nil {
			return err
		}
	}
	if len(synced) == 0 {
		return nil
	}
	locked, err := markSynced(ctx, tx, synced)
	s.skipped = s.skipped || locked
	return err
}

// endingOf is what the fact tells the gate; tells is false when it tells nothing. An answer with success uses up the key and
// names the order also when the generation ended otherwise; a setting says which statuses beside 2xx are one, so the error code
// tells it.
func endingOf(f fact) (e gate.Ending, tells bool) {
	e = gate.Ending{
		Key: f.Sync.Ref().Key(), Generation: f.Sync.Generation, Version: f.Sync.Version, IdempotencyKey: f.Sync.IdempotencyKey,
		Reference: f.Sync.ErpReference,
	}
	switch f.at.topic {
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

// markSynced marks orders that the ERP has. It waits for none: of the others it notes that they are to be marked. Among them are
// orders that are missing, which may come again after a restore of the database. locked says that some of them are there.
func markSynced(ctx context.Context, q gate.Querier, keys []string) (locked bool, err error) {
	rows, err := q.Query(ctx, `
		WITH free AS (
			SELECT order_key FROM sales_order WHERE order_key = ANY($1) AND erp_synced = 0 ORDER BY order_key FOR UPDATE SKIP LOCKED
		), marked AS (
			UPDATE sales_order o SET erp_synced = 1 FROM free WHERE o.order_key = free.order_key RETURNING o.order_key
		), unmarked AS MATERIALIZED ( -- NOT IN: a join would compare each with each, see postgres.Configure
			SELECT k AS order_key, o.order_key IS NOT NULL AS there FROM unnest($1::text[]) AS k LEFT JOIN sales_order o ON o.order_key = k
			WHERE o.erp_synced IS DISTINCT FROM 1 AND k NOT IN (SELECT order_key FROM marked)
		), noted AS (
			INSERT INTO erp_unmarked_order (order_key) SELECT order_key FROM unmarked ON CONFLICT DO NOTHING
		)
		SELECT EXISTS (SELECT FROM unmarked WHERE there)`, keys)
	if err == nil {
		locked, err = pgx.CollectExactlyOneRow(rows, pgx.RowTo[bool])
	}
	if err != nil {
		return false, fmt.Errorf("marking %d orders synced: %w", len(keys), err)
	}
	return locked, nil
}

const (
	marksPage   = 1000  // so many keys are compared with each other in no time
	recheckPage = 10000 // a tenth of a second
)

// catchUp tells what was noted. What is still locked is left to the next look.
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

// recallMarks marks the orders that markSynced noted. A missing one stays noted, and is nothing to wait for.
func (s *store) recallMarks(ctx context.Context) (left bool, err error) {
	for after := ""; ; {
		keys, err := s.notedMarks(ctx, after)
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

// notedMarks are the next orders that are to be marked, those that are there. The planner knows little of a table that is empty
// mostly: LATERAL leaves it one way, a look into the index for each.
func (s *store) notedMarks(ctx context.Context, after string) ([]string, error) {
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

// recheck notes what the projection says and the write side does not, a page of orders at a time, while projector_recheck asks
// for it; more says that pages are left. In ordinary work nothing asks: the projector itself has noted all that it skipped.
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

// Status and key of a row are those of the chain's terminal event when its version is of class 1.
const recheckQuery = `
WITH page AS MATERIALIZED (
	SELECT order_key, sync_id, generation, state FROM erp_sync_gate WHERE order_key > $1 ORDER BY order_key LIMIT $2
), told AS MATERIALIZED (
	SELECT page.*, v.*, o.erp_synced FROM page
	CROSS JOIN LATERAL (SELECT generation AS newest, status, idempotency_key, version FROM vendor_erp_sync v WHERE v.sync_id = page.sync_id LIMIT 1) v
	LEFT JOIN LATERAL (SELECT erp_synced FROM sales_order o WHERE o.order_key = page.order_key LIMIT 1) o ON true
), ended AS (
	SELECT * FROM told WHERE state = 'open' AND newest = generation AND status IN ('success', 'failed')
		AND version >> 24 & 15 = 1 AND version & 7 = 3 -- a terminal event
), gates AS (
	INSERT INTO erp_unclosed_gate (order_key, generation, closed_by)
	SELECT order_key, generation, CASE status WHEN 'success' THEN 'answer' ELSE 'failure' END FROM ended ON CONFLICT DO NOTHING
), keys AS (
	INSERT INTO erp_answered_key (order_key, idempotency_key)
	SELECT order_key, idempotency_key FROM ended WHERE status = 'success' ON CONFLICT DO NOTHING
), orders AS (
	INSERT INTO erp_unmarked_order (order_key)
	SELECT order_key FROM told WHERE status = 'success' AND erp_synced = 0 ON CONFLICT DO NOTHING
)
SELECT max(order_key), count(*) = $2 FROM page`
