package accept

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
)

// accepted is an event that is new, with the request that it makes, if it makes one.
type accepted struct {
	*item

	request *request
}

// request is the first request of an order, of the order as it is known then.
type request struct {
	sync    domain.Sync
	order   json.RawMessage
	remarks domain.Remarks
}

// decide goes through the batch in its order and fills the results and what is accepted.
func (t *transaction) decide(ctx context.Context, seen map[eventKey]known) error {
	syncIDs, err := t.syncIDs(ctx)
	if err != nil {
		return err
	}
	for _, it := range t.batch {
		if t.isOld(it, seen) || t.isUnfit(it) {
			continue
		}
		seen[eventKey{it.event.Source, it.event.EventID}] = known{it.key, it.event.Type, it.digest[:]}
		older := t.keepSnapshot(it)
		note := noteOn(t.gates[it.key].State, it.event.Type)
		next := accepted{item: it}
		if it.event.Type == event.InvoiceCreated {
			next.request = t.request(it, syncIDs)
		}
		t.accepted = append(t.accepted, next)
		t.answer(it, Accepted)
		it.result.Older, it.result.Note, it.result.AlreadyRequested = older, note, note != ""
	}
	return nil
}

// noteOn says what the status alone does not: the order was requested before, so the event sends nothing.
func noteOn(state domain.GateState, of event.Type) string {
	switch {
	case state == domain.GateNone, state == domain.GateHeld && of != event.InvoiceCreated:
		return ""
	case state == domain.GateHeld:
		return "the order was requested before and waits to be sent, once, as it is known then; this invoice sends nothing more to the ERP"
	default:
		return "the order was requested before, so this event sends nothing more to the ERP; resync-order sends the order as it is known now"
	}
}

// request makes the first request of the order. It is nil when the order has one.
func (t *transaction) request(it *item, syncIDs map[string]int64) *request {
	g, ok := t.gates[it.key].Request(syncIDs[it.key], t.admit, t.now)
	if !ok {
		return nil
	}
	t.gates[it.key] = g
	snap := t.snapshots[it.key]
	remarks := snap.remarksOn()
	if it.order == nil {
		it.remarks = remarks
	}
	return &request{g.RequestedSync(snap.orderID, it.event.EventID), snap.order, remarks}
}

// syncIDs are the ids for the orders that may get their first sync in this batch: one that came with a new gate, or else one that is
// allotted now. Ids that are not used are lost, which is no harm.
func (t *transaction) syncIDs(ctx context.Context) (map[string]int64, error) {
	out := make(map[string]int64, len(t.batch))
	var keys []string
	for _, it := range t.batch {
		if it.event.Type != event.InvoiceCreated || t.gates[it.key].State != domain.GateNone || slices.Contains(keys, it.key) {
			continue
		}
		if out[it.key] = t.written[it.key].SyncID; out[it.key] == 0 {
			keys = append(keys, it.key)
		}
	}
	if len(keys) == 0 {
		return out, nil
	}
	rows, err := t.tx.Query(ctx, `SELECT erp_sync_ids($1)`, len(keys))
	if err != nil {
		return nil, fmt.Errorf("allotting sync ids: %w", err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		return nil, fmt.Errorf("allotting sync ids: %w", err)
	}
	for i, key := range keys {
		out[key] = ids[i]
	}
	return out, nil
}

// answer fills in what a result says of the order: as the gate has it after this event, not after the batch.
func (t *transaction) answer(it *item, v Verdict) {
	g := t.gates[it.key]
	*it.result = Result{
		Result: v, EventID: it.event.EventID, Source: it.ref.Source, OrderIncrementID: it.ref.IncrementID, Status: g.Status(),
		Warnings: slices.Concat(it.remarks.Warnings, it.warnings), NotSent: it.remarks.NotSent,
	}
	if id := g.SyncID; id != 0 {
		it.result.SyncID = &id // not the whole gate
	}
}
