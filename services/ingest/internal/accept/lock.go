package accept

import (
	"context"
	"encoding/json"
	"maps"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/gate"
)

// lock locks the gates in the order of their keys, and reads what they guard: the snapshots, and which events were accepted before.
func (t *transaction) lock(ctx context.Context) (seen map[eventKey]known, err error) {
	var keys, sources, ids []string
	for _, it := range t.batch {
		keys, sources, ids = append(keys, it.key), append(sources, it.event.Source), append(ids, it.event.EventID)
	}
	made, known, err := gate.LockAnd(ctx, t.tx, t.presumed(), func(b *pgx.Batch) {
		t.snapshots, seen = map[string]*snapshot{}, map[eventKey]known{}
		b.Queue(`SELECT order_key, snapshot::text, order_id, snapshot_at FROM sales_order WHERE order_key = ANY($1)`, keys).Query(t.readSnapshots)
		b.Queue(`
			SELECT e.source, e.event_id, e.order_key, coalesce(e.type, ''), e.digest FROM accepted_event e
			JOIN (SELECT DISTINCT s, i FROM unnest($1::text[], $2::text[]) AS n (s, i)) n ON e.source = n.s AND e.event_id = n.i`,
			sources, ids).Query(func(rows pgx.Rows) error { return readKnown(rows, seen) })
	})
	t.gates, t.written = known, maps.Clone(known)
	for key, g := range made {
		t.gates[key], t.written[key] = gate.New(g.Ref, t.now), g
	}
	return seen, err
}

// presumed are the gates as they will be if the orders are new and nothing speaks against their events, as is usual. A new order's gate is
// made like that before all is known, so that it is written once. Where it turns out otherwise, it is written again.
func (t *transaction) presumed() map[string]domain.Gate {
	gates := map[string]domain.Gate{}
	for _, it := range t.batch {
		g, again := gates[it.key]
		if !again {
			g = gate.New(it.ref, t.now)
		}
		if it.event.Type == event.InvoiceCreated && it.order != nil {
			g, _ = g.Request(0, t.admit, t.now) // the sync id comes with the row
		}
		gates[it.key] = g
	}
	return gates
}

func (t *transaction) readSnapshots(rows pgx.Rows) error {
	var key, order string
	var orderID *int64
	var at *time.Time
	_, err := pgx.ForEachRow(rows, []any{&key, &order, &orderID, &at}, func() error {
		t.snapshots[key] = &snapshot{order: json.RawMessage(order), orderID: orderID, at: at, stored: true}
		return nil
	})
	return err
}

// eventKey names an event. Ids are the shops' own, so two shops may use the same.
type eventKey struct{ source, id string }

// known is an event that was accepted before.
type known struct {
	orderKey string
	ofType   event.Type // empty: accepted by a release that did not keep types
	digest   []byte
}

func readKnown(rows pgx.Rows, seen map[eventKey]known) error {
	var id eventKey
	var e known
	_, err := pgx.ForEachRow(rows, []any{&id.source, &id.id, &e.orderKey, &e.ofType, &e.digest}, func() error {
		seen[id] = e
		e.digest = nil // the next row must not share its memory
		return nil
	})
	return err
}
