package accept

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/gate"
	"github.com/erpconnector/erpconnector/shared/outbox"
)

// store writes what decide has decided.
func (t *transaction) store(ctx context.Context, accepted []*item) error {
	if len(accepted) == 0 {
		return nil
	}
	if err := t.storeEvents(ctx, accepted); err != nil {
		return err
	}
	released, err := t.storeSnapshots(ctx)
	if err != nil {
		return err
	}
	t.setReleased(accepted, released)
	var gates []domain.Gate
	for _, key := range slices.Sorted(maps.Keys(t.changed)) {
		gates = append(gates, t.gates[key])
	}
	if err := gate.Save(ctx, t.tx, gates); err != nil {
		return err
	}
	return outbox.Publish(ctx, t.tx, t.records)
}

// storeEvents keeps the ids and digests of events for ever: a shop may repeat an event after years, as when it restores a backup.
func (t *transaction) storeEvents(ctx context.Context, accepted []*item) error {
	accepted = slices.Clone(accepted) // sorted by key, so that two batches with the same events do not deadlock
	slices.SortFunc(accepted, func(a, b *item) int {
		return bytes.Compare([]byte(a.event.Source+"\x00"+a.event.EventID), []byte(b.event.Source+"\x00"+b.event.EventID))
	})
	var sources, ids, keys, types []string
	var digests [][]byte
	for _, it := range accepted {
		sources, ids, keys = append(sources, it.event.Source), append(ids, it.event.EventID), append(keys, it.ref.Key())
		digests, types = append(digests, it.digest[:]), append(types, string(it.event.Type))
	}
	// Two orders may come with one event id at the same time, under different gates. The later one finds the id taken; the next
	// try of its transaction then finds the conflict.
	_, err := t.tx.Exec(ctx, `
		INSERT INTO accepted_event (source, event_id, order_key, digest, type, accepted_at)
		SELECT s, i, k, d, t, $6 FROM unnest($1::text[], $2::text[], $3::text[], $4::bytea[], $5::text[]) AS n (s, i, k, d, t)`,
		sources, ids, keys, digests, types, t.now)
	if err != nil {
		return fmt.Errorf("noting %d events: %w", len(accepted), err)
	}
	return nil
}

// storeSnapshots stores the snapshots that changed, and releases the invoices that wait for these orders. It returns their number by
// order.
func (t *transaction) storeSnapshots(ctx context.Context) (released map[string]int, err error) {
	var keys, sources, ids, orders []string
	var orderIDs []*int64
	var times []*time.Time
	for _, key := range slices.Sorted(maps.Keys(t.snapshots)) {
		if s := t.snapshots[key]; s.changed {
			ref := t.gates[key].Ref
			keys, sources, ids = append(keys, key), append(sources, ref.Source), append(ids, ref.IncrementID)
			orders, orderIDs, times = append(orders, string(s.order)), append(orderIDs, s.orderID), append(times, s.at)
		}
	}
	if len(keys) == 0 {
		return nil, nil
	}
	rows, err := t.tx.Query(ctx, storeAndRelease, keys, sources, ids, orderIDs, orders, t.now, times)
	if err == nil {
		released, err = countByOrder(rows)
	}
	if err != nil {
		return nil, fmt.Errorf("storing %d snapshots: %w", len(keys), err)
	}
	return released, nil
}
