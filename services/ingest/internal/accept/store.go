package accept

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/gate"
	"github.com/erpconnector/erpconnector/shared/outbox"
)

// store writes what decide has decided, in one round trip.
func (t *transaction) store(ctx context.Context, accepted []*item) error {
	var b pgx.Batch
	var gates []domain.Gate
	for _, key := range slices.Sorted(maps.Keys(t.gates)) {
		if t.gates[key] != t.written[key] {
			gates = append(gates, t.gates[key])
		}
	}
	gate.QueueSave(&b, gates) // also where no event is accepted: a gate may have been made for one
	released := map[string]int{}
	if len(accepted) > 0 {
		t.storeEvents(&b, accepted)
		resolve(&b, accepted)
	}
	t.storeSnapshots(&b, released)
	outbox.Queue(&b, t.records)
	if b.Len() == 0 {
		return nil
	}
	if err := t.tx.SendBatch(ctx, &b).Close(); err != nil {
		return fmt.Errorf("storing %d events: %w", len(accepted), err)
	}
	t.setReleased(accepted, released)
	return nil
}

// storeEvents keeps the ids and digests of events for ever: a shop may repeat an event after years, as when it restores a backup.
func (t *transaction) storeEvents(b *pgx.Batch, accepted []*item) {
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
	b.Queue(`
		INSERT INTO accepted_event (source, event_id, order_key, digest, type, accepted_at)
		SELECT s, i, k, d, t, $6 FROM unnest($1::text[], $2::text[], $3::text[], $4::bytea[], $5::text[]) AS n (s, i, k, d, t)`,
		sources, ids, keys, digests, types, t.now)
}

// storeSnapshots stores the snapshots that changed, and releases the invoices that wait for these orders. It fills in their number by
// order.
func (t *transaction) storeSnapshots(b *pgx.Batch, released map[string]int) {
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
		return
	}
	b.Queue(storeAndRelease, keys, sources, ids, orderIDs, orders, t.now, times).Query(func(rows pgx.Rows) error {
		return countByOrder(rows, released)
	})
}
