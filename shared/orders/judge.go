package orders

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/erpconnector/erpconnector/shared/deadletter"
	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/gate"
	"github.com/erpconnector/erpconnector/shared/outbox"
	"github.com/erpconnector/erpconnector/shared/postgres"
)

const maxUnjudged = 100 // dead letters that are read at a time

// Stopped is an order that a dead letter has stopped.
type Stopped struct {
	DeadLetter deadletter.Letter
	Sync       domain.Sync // as the log has it from now on
}

// JudgeDeadLetters stops the orders whose living record has become a dead letter. For each, one transaction closes the gate and
// writes the fact to the outbox. It leaves gates that somebody holds locked to the next call; left reports whether there are any.
func JudgeDeadLetters(ctx context.Context, pool *pgxpool.Pool, now func() time.Time) (stopped []Stopped, left bool, err error) {
	defer func() {
		if len(stopped) > 0 {
			outbox.Wake(ctx, pool)
		}
	}()
	for after := int64(-1); ; {
		letters, err := deadletter.Unjudged(ctx, pool, after, maxUnjudged)
		if err != nil || len(letters) == 0 {
			return stopped, left, err
		}
		for _, l := range letters {
			after = l.ID
			var s *Stopped
			var judged bool
			err := postgres.InTx(ctx, pool, func(tx pgx.Tx) (err error) {
				s, judged, err = judge(ctx, tx, l, now())
				return err
			})
			if err != nil {
				return stopped, left, fmt.Errorf("judging dead letter %d: %w", l.ID, err)
			}
			left = left || !judged
			if s != nil {
				stopped = append(stopped, *s)
			}
		}
	}
}

// judge decides about one dead letter; judged is false when the gate of its order is locked.
func judge(ctx context.Context, tx pgx.Tx, l deadletter.Letter, now time.Time) (_ *Stopped, judged bool, err error) {
	g, known, free, err := gate.TryLock(ctx, tx, l.OrderKey)
	if err != nil || !free {
		return nil, false, err
	}
	if !known {
		_, err = deadletter.Judged(ctx, tx, l.ID, nil)
		return nil, err == nil, err
	}
	c := change{tx: tx, now: now}
	var seen domain.Version
	err = tx.QueryRow(ctx, `
		SELECT o.order_id, coalesce(v.attempt_version, 0)
		FROM erp_sync_gate g LEFT JOIN sales_order o ON o.order_key = g.order_key LEFT JOIN vendor_erp_sync v ON v.sync_id = g.sync_id
		WHERE g.order_key = $1`, l.OrderKey).Scan(&c.orderID, &seen)
	if err != nil {
		return nil, false, fmt.Errorf("reading order %s: %w", l.OrderKey, err)
	}
	next, stops := g.SetAside(l.ChainRecord(), seen, now)
	var generation *int
	if stops {
		generation = &g.Generation
	}
	first, err := deadletter.Judged(ctx, tx, l.ID, generation)
	if err != nil || !first || !stops {
		return nil, err == nil, err
	}
	s := next.DeadLetterSync(l.ChainRecord(), c.orderID, fmt.Sprintf("dead letter %d", l.ID))
	if err := c.addDeadLetter(s, new(domain.DeadLetterText(g.Ref))); err != nil {
		return nil, false, err
	}
	return &Stopped{l, s}, true, c.save(ctx, next)
}

// addDeadLetter adds the fact that an order's record became a dead letter, or was sent back.
func (c *change) addDeadLetter(s domain.Sync, text *string) error {
	r, err := event.NewDeadLetter(event.Sync{Sync: s, Error: text}, s.Cause, event.Context{Traceparent: c.command.Traceparent, At: s.UpdatedAt})
	c.records = append(c.records, r)
	return err
}
