package repair

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/gate"
	"github.com/erpconnector/erpconnector/shared/outbox"
	"github.com/erpconnector/erpconnector/shared/postgres"
)

// requestInvoiced requests the orders whose invoice reached Kafka while their request did not: the relay may stop between the two
// rows when the primary dies. Nothing else would request them, as the invoice sent again is a duplicate. A request is held as while
// the connector is off: the scheduler releases it at once, or the cron does, as the settings say.
func (r *repairer) requestInvoiced(ctx context.Context) error {
	rows, err := r.Pool.Query(ctx, `SELECT g.order_key FROM erp_sync_gate g WHERE g.state = 'none' AND EXISTS
		(SELECT FROM accepted_event e WHERE e.order_key = g.order_key AND e.type = $1) ORDER BY g.order_key COLLATE "C"`, event.InvoiceCreated)
	if err != nil {
		return fmt.Errorf("looking for invoices without a request: %w", err)
	}
	keys, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return fmt.Errorf("looking for invoices without a request: %w", err)
	}
	for some := range slices.Chunk(keys, maxRecords) {
		n := 0
		err := postgres.InTx(ctx, r.Pool, func(tx pgx.Tx) (err error) {
			n, err = request(ctx, tx, some, r.MaxAttempts, domain.NormalizeTime(time.Now()))
			return err
		})
		if err != nil {
			return fmt.Errorf("requesting %d invoiced orders: %w", len(some), err)
		}
		r.report.Requested += n
	}
	return nil
}

// request makes the first request of each of the orders that has none yet, and says of how many.
func request(ctx context.Context, tx pgx.Tx, keys []string, maxAttempts int, now time.Time) (int, error) {
	gates, err := gate.LockKnown(ctx, tx, keys)
	if err != nil {
		return 0, err
	}
	rows, err := tx.Query(ctx, `SELECT order_key, snapshot::text, order_id, erp_sync_ids(1) FROM sales_order WHERE order_key = ANY($1)`, keys)
	if err != nil {
		return 0, err
	}
	var requested []domain.Gate
	var records []event.Record
	var key, snapshot string
	var orderID *int64
	var syncID int64
	_, err = pgx.ForEachRow(rows, []any{&key, &snapshot, &orderID, &syncID}, func() error {
		g, ok := gates[key].Request(syncID, domain.RequestPolicy{MaxAttempts: maxAttempts}, now)
		if !ok { // requested meanwhile
			return nil
		}
		order := json.RawMessage(snapshot)
		r, err := event.NewRequest(g.RequestedSync(orderID, "repair"), order, domain.RemarksOf(order), event.Context{At: now})
		requested, records = append(requested, g), append(records, r)
		return err
	})
	if err != nil || len(requested) == 0 {
		return 0, err
	}
	if err := gate.Save(ctx, tx, requested); err != nil {
		return 0, err
	}
	return len(requested), outbox.Publish(ctx, tx, records)
}
