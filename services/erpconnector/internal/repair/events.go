package repair

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/erpconnector/erpconnector/shared/domain"
)

// restoreAccepted restores the accepted events: sent again, an event is a duplicate, and another one under its id a conflict.
func (b *batch) restoreAccepted(ctx context.Context, all []accepted) error {
	var sources, ids, keys, types []string
	var digests [][]byte
	var times []time.Time
	for _, a := range all {
		sources, ids, keys = append(sources, a.Source), append(ids, a.EventID), append(keys, a.key)
		digests, types, times = append(digests, a.digest), append(types, string(a.Type)), append(times, a.at)
	}
	_, err := b.tx.Exec(ctx, `
		INSERT INTO accepted_event (source, event_id, order_key, digest, type, accepted_at)
		SELECT s, i, k, d, y, t FROM unnest($1::text[], $2::text[], $3::text[], $4::bytea[], $5::text[], $6::timestamptz[]) AS n (s, i, k, d, y, t)
		ORDER BY s, i ON CONFLICT DO NOTHING`, sources, ids, keys, digests, types, times)
	if err != nil {
		return fmt.Errorf("noting %d events: %w", len(all), err)
	}
	return nil
}

// state is an order as an event brought it, or as it is stored.
type state struct {
	order    string
	orderID  *int64
	at       *time.Time // see domain.NewestSnapshot
	accepted time.Time
}

// stateOf is the state that the event brought; nil when it brought none.
func stateOf(a accepted) (*state, error) {
	if len(a.Order) == 0 || string(a.Order) == "null" {
		return nil, nil
	}
	var order struct {
		OrderID   *int64 `json:"order_id"`
		UpdatedAt string `json:"updated_at"`
	}
	if err := json.Unmarshal(a.Order, &order); err != nil {
		return nil, fmt.Errorf("decoding the order of event %s: %w", a.EventID, err)
	}
	return &state{string(a.Order), order.OrderID, domain.SnapshotTime(order.UpdatedAt, a.OccurredAt, a.at), a.at}, nil
}

// restoreSnapshots keeps the newest state of each order, as accept does: as if what is stored and what was lost came in the
// order in which it was accepted.
func (b *batch) restoreSnapshots(ctx context.Context, all []accepted) error {
	lost := map[string][]*state{}
	for _, a := range all {
		s, err := stateOf(a)
		if err != nil {
			return err
		}
		if s != nil {
			lost[a.key] = append(lost[a.key], s)
		}
	}
	stored, err := b.storedStates(ctx, slices.Collect(maps.Keys(lost)))
	if err != nil {
		return err
	}
	var keys, sources, ids, orders []string
	var orderIDs []*int64
	var times []*time.Time
	var created, updated []time.Time
	for _, key := range slices.Sorted(maps.Keys(lost)) {
		states := lost[key]
		if s := stored[key]; s != nil {
			states = append([]*state{s}, states...)
		}
		first, newest := newestOf(states)
		ref := b.gates[key].Ref
		keys, sources, ids, orders = append(keys, key), append(sources, ref.Source), append(ids, ref.IncrementID), append(orders, newest.order)
		orderIDs, times = append(orderIDs, newest.orderID), append(times, newest.at)
		created, updated = append(created, first), append(updated, newest.accepted)
	}
	_, err = b.tx.Exec(ctx, `
		INSERT INTO sales_order (order_key, source, increment_id, order_id, snapshot, snapshot_at, created_at, updated_at)
		SELECT k, s, i, o, j::json, a, c, u
		FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::text[], $6::timestamptz[], $7::timestamptz[], $8::timestamptz[]) AS n (k, s, i, o, j, a, c, u)
		ON CONFLICT (order_key) DO UPDATE SET snapshot = excluded.snapshot, snapshot_at = excluded.snapshot_at,
			order_id = excluded.order_id, updated_at = excluded.updated_at`, keys, sources, ids, orderIDs, orders, times, created, updated)
	if err != nil {
		return fmt.Errorf("restoring %d snapshots: %w", len(keys), err)
	}
	return nil
}

// newestOf goes through an order's states as they were accepted. It returns when the first was accepted, and the newest.
func newestOf(states []*state) (first time.Time, newest state) {
	states = slices.Clone(states)
	slices.SortStableFunc(states, func(a, b *state) int { return a.accepted.Compare(b.accepted) })
	newest = *states[0]
	for _, next := range states[1:] {
		at, older := domain.NewestSnapshot(newest.at, next.at)
		if !older {
			newest.order = next.order
		}
		newest.at, newest.orderID, newest.accepted = at, cmp.Or(next.orderID, newest.orderID), next.accepted
	}
	return states[0].accepted, newest
}

// storedStates are the orders as they are stored, under the locks of their gates.
func (b *batch) storedStates(ctx context.Context, keys []string) (map[string]*state, error) {
	rows, err := b.tx.Query(ctx, `SELECT order_key, snapshot::text, order_id, snapshot_at, updated_at FROM sales_order WHERE order_key = ANY($1)`, keys)
	if err != nil {
		return nil, fmt.Errorf("reading %d snapshots: %w", len(keys), err)
	}
	stored := map[string]*state{}
	var key string
	var s state
	_, err = pgx.ForEachRow(rows, []any{&key, &s.order, &s.orderID, &s.at, &s.accepted}, func() error {
		if s.at == nil { // stored before times were kept: it has its own
			var order struct {
				UpdatedAt string `json:"updated_at"`
			}
			_ = json.Unmarshal([]byte(s.order), &order) // it was checked when it was accepted
			s.at = domain.SnapshotTime(order.UpdatedAt, "", b.now)
		}
		row := s
		stored[key] = &row
		s = state{}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading %d snapshots: %w", len(keys), err)
	}
	return stored, nil
}
