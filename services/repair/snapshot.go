package repair

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/erpconnector/erpconnector/shared/domain"
)

// snapshot is the newest state of an order among those that were lost.
type snapshot struct {
	order   json.RawMessage
	orderID *int64
	at      *time.Time // the newest time that is known of it; see domain.NewestSnapshot
	kept    time.Time  // when the last event that brought one was accepted
}

// with is the snapshot after an event that was accepted later.
func (s *snapshot) with(a accepted) (*snapshot, error) {
	var order struct {
		OrderID   *int64 `json:"order_id"`
		UpdatedAt string `json:"updated_at"`
	}
	if err := json.Unmarshal(a.Order, &order); err != nil {
		return nil, fmt.Errorf("decoding the order of event %s: %w", a.EventID, err)
	}
	next := &snapshot{order: a.Order, orderID: order.OrderID, at: domain.SnapshotTime(order.UpdatedAt, a.OccurredAt, a.at), kept: a.at}
	if s == nil {
		return next, nil
	}
	var older bool
	if next.at, older = domain.NewestSnapshot(s.at, next.at); older {
		next.order = s.order
	}
	if next.orderID == nil {
		next.orderID = s.orderID
	}
	return next, nil
}

// storeSnapshot keeps the newer one of two, as accepting does: by their times when both have one, else the one that was accepted
// later.
const storeSnapshot = `
	INSERT INTO sales_order AS o (order_key, source, increment_id, order_id, snapshot, created_at, updated_at, snapshot_at)
	SELECT k, s, i, o, j::json, t, t, a
	FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::text[], $6::timestamptz[], $7::timestamptz[]) AS n (k, s, i, o, j, t, a)
	ON CONFLICT (order_key) DO UPDATE SET
		snapshot = CASE WHEN ` + isNewer + ` THEN excluded.snapshot ELSE o.snapshot END,
		order_id = CASE WHEN ` + isNewer + ` THEN coalesce(excluded.order_id, o.order_id) ELSE coalesce(o.order_id, excluded.order_id) END,
		snapshot_at = greatest(o.snapshot_at, excluded.snapshot_at), updated_at = greatest(o.updated_at, excluded.updated_at)`

const isNewer = `(CASE WHEN excluded.snapshot_at < o.snapshot_at THEN false WHEN excluded.snapshot_at > o.snapshot_at THEN true
			ELSE excluded.updated_at > o.updated_at END)`

// restoreSnapshots restores the newest of each order. The events of an order come in the order of the log.
func (b *batch) restoreSnapshots(ctx context.Context, all []accepted) error {
	newest := map[string]*snapshot{}
	for _, a := range all {
		if len(a.Order) == 0 || string(a.Order) == "null" {
			continue
		}
		next, err := newest[a.key].with(a)
		if err != nil {
			return err
		}
		newest[a.key] = next
	}
	var keys, sources, ids, orders []string
	var orderIDs []*int64
	var kept []time.Time
	var times []*time.Time
	for key, s := range newest {
		ref := b.gates[key].Ref
		keys, sources, ids = append(keys, key), append(sources, ref.Source), append(ids, ref.IncrementID)
		orders, orderIDs, kept, times = append(orders, string(s.order)), append(orderIDs, s.orderID), append(kept, s.kept), append(times, s.at)
	}
	if _, err := b.tx.Exec(ctx, storeSnapshot, keys, sources, ids, orderIDs, orders, kept, times); err != nil {
		return fmt.Errorf("restoring %d snapshots: %w", len(keys), err)
	}
	return nil
}
