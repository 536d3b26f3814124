package orders

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/gate"
	"github.com/erpconnector/erpconnector/shared/outbox"
	"github.com/erpconnector/erpconnector/shared/postgres"
)

// Orders that somebody has locked are passed over: they are the next run's. The lock makes an order that another process
// releases at the same time one that is passed over.
const heldQuery = `
SELECT g.order_key, o.snapshot::text, o.order_id
FROM (SELECT order_key, requested_at FROM erp_sync_gate WHERE state = 'held' AND held_by = $1
    ORDER BY requested_at, order_key LIMIT $2 FOR UPDATE SKIP LOCKED) g
LEFT JOIN sales_order o ON o.order_key = g.order_key
ORDER BY g.requested_at, g.order_key`

// Release lets held orders go out, the longest held first, at most limit of them, in one transaction; cause stands in the
// log. It releases nothing while the connector is off.
func (o *Orders) Release(ctx context.Context, heldBy domain.HeldBy, limit int, cause string) (released int, err error) {
	if !o.settings.Current().Enabled {
		return 0, ErrDisabled
	}
	err = o.eachHeld(ctx, heldBy, limit, func(c *change, g domain.Gate) (domain.Gate, error) {
		g, _ = g.Release(c.now)
		return g, c.add(event.TopicRequested, event.Sync{Sync: g.RequestedSync(c.orderID, cause), Order: c.order})
	}, &released)
	return released, err
}

// Rehold makes orders that were held because the connector was off wait for the cron instead; they stay pending, so it is
// no fact.
func (o *Orders) Rehold(ctx context.Context, limit int) (moved int, err error) {
	err = o.eachHeld(ctx, domain.HeldByDisabled, limit, func(_ *change, g domain.Gate) (domain.Gate, error) {
		g, _ = g.Hold(domain.HeldByCron)
		return g, nil
	}, &moved)
	return moved, err
}

func (o *Orders) eachHeld(ctx context.Context, heldBy domain.HeldBy, limit int,
	do func(c *change, g domain.Gate) (domain.Gate, error), done *int,
) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	err := postgres.InTx(ctx, o.pool, func(tx pgx.Tx) error {
		c := &change{tx: tx, now: domain.Time(o.now())}
		gates, err := c.held(ctx, heldBy, limit, do)
		if err != nil || len(gates) == 0 {
			*done = 0
			return err
		}
		*done = len(gates)
		if err := gate.Save(ctx, tx, gates); err != nil {
			return err
		}
		return outbox.Publish(ctx, tx, c.records)
	})
	if err != nil {
		return fmt.Errorf("releasing orders held by %s: %w", heldBy, err)
	}
	if *done > 0 {
		outbox.Wake(ctx, o.pool)
	}
	return nil
}

func (c *change) held(ctx context.Context, heldBy domain.HeldBy, limit int, do func(*change, domain.Gate) (domain.Gate, error)) ([]domain.Gate, error) {
	type held struct {
		key     string
		order   *string
		orderID *int64
	}
	rows, err := c.tx.Query(ctx, heldQuery, heldBy, limit)
	if err != nil {
		return nil, err
	}
	found, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (h held, err error) {
		err = row.Scan(&h.key, &h.order, &h.orderID)
		return h, err
	})
	if err != nil {
		return nil, err
	}
	keys := make([]string, len(found))
	for i, h := range found {
		keys[i] = h.key
	}
	gates, err := gate.LockKnown(ctx, c.tx, keys)
	if err != nil {
		return nil, err
	}
	changed := make([]domain.Gate, 0, len(found))
	for _, h := range found {
		c.order, c.orderID = nil, h.orderID
		if h.order != nil {
			c.order = json.RawMessage(*h.order)
		}
		g, err := do(c, gates[h.key])
		if err != nil {
			return nil, err
		}
		changed = append(changed, g)
	}
	return changed, nil
}
