package orders

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/gate"
	"github.com/erpconnector/erpconnector/shared/outbox"
	"github.com/erpconnector/erpconnector/shared/postgres"
)

// releaseBytes bounds the snapshots of one release: an order may have 1 MiB.
const releaseBytes = 8 << 20

// Releasing describes a release of held orders, in one transaction.
type Releasing struct {
	HeldBy domain.HeldBy
	Limit  int    // orders at most; fewer are released when their snapshots are large
	Cause  string // stands in the log for ever
	// InTx, when given, runs in the same transaction, also when no order was held. Its error undoes the release.
	InTx func(ctx context.Context, tx pgx.Tx, released int) error
}

// releaseTimeout bounds a release. Nobody waits for its answer, and orders may be large.
const releaseTimeout = 30 * time.Second

// Release lets held orders go out, the oldest requests first. It skips orders that somebody has locked, so that any number of
// callers share the work. released is 0 when none is held, or when others release the rest. While the connector is off it
// releases nothing, and returns ErrDisabled.
func (o *Orders) Release(ctx context.Context, r Releasing) (released int, err error) {
	if !o.settings.Current().Enabled {
		return 0, ErrDisabled
	}
	ctx, cancel := context.WithTimeout(ctx, releaseTimeout)
	defer cancel()
	err = postgres.InTx(ctx, o.pool, func(tx pgx.Tx) (err error) {
		released, err = releaseIn(ctx, tx, r, domain.NormalizeTime(o.now()))
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("releasing orders held by %s: %w", r.HeldBy, err)
	}
	if released > 0 {
		outbox.Wake(ctx, o.pool)
	}
	return released, nil
}

// releaseIn releases in a transaction: gates, requests, and what the caller adds.
func releaseIn(ctx context.Context, tx pgx.Tx, r Releasing, now time.Time) (released int, err error) {
	gates, err := lockHeld(ctx, tx, r.HeldBy, r.Limit)
	if err != nil {
		return 0, err
	}
	snapshots, err := readSnapshots(ctx, tx, gates)
	if err != nil {
		return 0, err
	}
	gates = gates[:len(snapshots)]
	c := change{tx: tx, now: now}
	for i, s := range snapshots {
		gates[i], _ = gates[i].Release(now)
		if err := c.addRequest(gates[i].RequestedSync(s.orderID, r.Cause), s.order); err != nil {
			return 0, err
		}
	}
	if err := gate.Save(ctx, tx, gates); err != nil {
		return 0, err
	}
	if err := outbox.Publish(ctx, tx, c.records); err != nil {
		return 0, err
	}
	if r.InTx != nil {
		err = r.InTx(ctx, tx, len(gates))
	}
	return len(gates), err
}

// IsAnyHeld reports whether an order is held by that. It locks nothing.
func (o *Orders) IsAnyHeld(ctx context.Context, by domain.HeldBy) (is bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, releaseTimeout)
	defer cancel()
	err = o.pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM erp_sync_gate WHERE state = 'held' AND held_by = $1)`, by).Scan(&is)
	if err != nil {
		return false, fmt.Errorf("looking for orders held by %s: %w", by, err)
	}
	return is, nil
}

// Rehold lets orders that were held because the connector was off wait for the cron, at most limit of them. They stay pending and
// keep their place in the order of arrival. So the log needs no fact of it.
func (o *Orders) Rehold(ctx context.Context, limit int) (moved int, err error) {
	ctx, cancel := context.WithTimeout(ctx, releaseTimeout)
	defer cancel()
	err = postgres.InTx(ctx, o.pool, func(tx pgx.Tx) error {
		gates, err := lockHeld(ctx, tx, domain.HeldByDisabled, limit)
		if err != nil {
			return err
		}
		for i := range gates {
			gates[i], _ = gates[i].Hold(domain.HeldByCron)
		}
		moved = len(gates)
		return gate.Save(ctx, tx, gates)
	})
	if err != nil {
		return 0, fmt.Errorf("letting orders wait for the cron: %w", err)
	}
	return moved, nil
}

// heldQuery skips what is locked. So it waits for nobody, and may lock in an order of its own.
const heldQuery = `
SELECT order_key FROM erp_sync_gate WHERE state = 'held' AND held_by = $1 ORDER BY requested_at, order_key LIMIT $2 FOR UPDATE SKIP LOCKED`

// lockHeld locks held gates, the oldest requests first.
func lockHeld(ctx context.Context, tx pgx.Tx, heldBy domain.HeldBy, limit int) ([]domain.Gate, error) {
	rows, err := tx.Query(ctx, heldQuery, heldBy, limit)
	if err != nil {
		return nil, fmt.Errorf("finding held orders: %w", err)
	}
	keys, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("finding held orders: %w", err)
	}
	byKey, err := gate.LockKnown(ctx, tx, keys)
	if err != nil {
		return nil, err
	}
	gates := make([]domain.Gate, len(keys))
	for i, key := range keys {
		gates[i] = byKey[key]
	}
	return gates, nil
}

// snapshot is the order that goes with a request.
type snapshot struct {
	order   json.RawMessage // nil when nobody has published the order
	orderID *int64
}

const snapshotQuery = `
SELECT o.snapshot::text, o.order_id FROM unnest($1::text[]) WITH ORDINALITY AS k (order_key, place)
LEFT JOIN sales_order o ON o.order_key = k.order_key ORDER BY k.place`

// readSnapshots reads the snapshots of the first gates: as many as fit into releaseBytes, at least one.
func readSnapshots(ctx context.Context, tx pgx.Tx, gates []domain.Gate) ([]snapshot, error) {
	if len(gates) == 0 {
		return nil, nil
	}
	keys := make([]string, len(gates))
	for i, g := range gates {
		keys[i] = g.Ref.Key()
	}
	rows, err := tx.Query(ctx, snapshotQuery, keys)
	if err != nil {
		return nil, fmt.Errorf("reading %d snapshots: %w", len(keys), err)
	}
	defer rows.Close()
	var out []snapshot
	for bytes := 0; rows.Next(); {
		var order *string
		var s snapshot
		if err := rows.Scan(&order, &s.orderID); err != nil {
			return nil, fmt.Errorf("reading %d snapshots: %w", len(keys), err)
		}
		if order != nil {
			s.order = json.RawMessage(*order)
		}
		if bytes += len(s.order); bytes > releaseBytes && len(out) > 0 {
			break
		}
		out = append(out, s)
	}
	rows.Close()
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("reading %d snapshots: %w", len(keys), err)
	}
	return out, nil
}

// Held counts the orders that are held, by the reason. It reads all of them.
func (o *Orders) Held(ctx context.Context) (map[domain.HeldBy]int, error) {
	ctx, cancel := context.WithTimeout(ctx, txTimeout)
	defer cancel()
	counts := map[domain.HeldBy]int{domain.HeldByCron: 0, domain.HeldByDisabled: 0}
	rows, err := o.pool.Query(ctx, `SELECT held_by, count(*) FROM erp_sync_gate WHERE state = 'held' GROUP BY held_by`)
	if err != nil {
		return nil, fmt.Errorf("counting held orders: %w", err)
	}
	var heldBy domain.HeldBy
	var n int
	_, err = pgx.ForEachRow(rows, []any{&heldBy, &n}, func() error {
		counts[heldBy] = n
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("counting held orders: %w", err)
	}
	return counts, nil
}

// OldestUnfinished is the time of the last request, release or resync of the order that waits longest, for gates that are open
// and for those that are held; zero when there is none. It reads one entry of an index for each.
func (o *Orders) OldestUnfinished(ctx context.Context) (map[domain.GateState]time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, txTimeout)
	defer cancel()
	since := map[domain.GateState]time.Time{domain.GateOpen: {}, domain.GateHeld: {}}
	for state := range since {
		var at *time.Time
		err := o.pool.QueryRow(ctx, `SELECT min(updated_at) FROM erp_sync_gate WHERE state = $1 AND state IN ('held', 'open')`, string(state)).Scan(&at)
		if err != nil {
			return nil, fmt.Errorf("finding the oldest unfinished order: %w", err)
		}
		if at != nil {
			since[state] = at.UTC()
		}
	}
	return since, nil
}
