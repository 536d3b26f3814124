package collect

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/erpconnector/erpconnector/infra/crash/history"
)

// readTables reads the tables in one transaction, so that they belong to one moment.
func readTables(ctx context.Context, databaseURL string, h *history.History) error {
	conn, err := pgx.Connect(ctx, databaseURL)
	if err != nil {
		return fmt.Errorf("connecting to Postgres: %w", err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	options := pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}
	return pgx.BeginTxFunc(ctx, conn, options, func(tx pgx.Tx) error {
		var err error
		if h.Outbox, err = readOutbox(ctx, tx); err != nil {
			return fmt.Errorf("reading the outbox: %w", err)
		}
		h.Table, err = readRows[history.SyncRow](ctx, tx, `
			SELECT v.*, o.erp_synced FROM vendor_erp_sync v
			LEFT JOIN sales_order o ON o.source = v.source AND o.increment_id = v.order_increment_id ORDER BY v.sync_id`)
		if err != nil {
			return fmt.Errorf("reading the syncs: %w", err)
		}
		h.Gates, err = readRows[history.Gate](ctx, tx, `SELECT * FROM erp_sync_gate ORDER BY order_key`)
		if err != nil {
			return fmt.Errorf("reading the gates: %w", err)
		}
		if err := readAlerts(ctx, tx, h); err != nil {
			return fmt.Errorf("reading the alerts: %w", err)
		}
		h.Breaker, err = readBreaker(ctx, tx)
		if err != nil {
			return fmt.Errorf("reading the breaker's history: %w", err)
		}
		return nil
	})
}

// FailedGroups are the groups of errors that failed orders have. A cancelled order has not failed.
const FailedGroups = `
	SELECT DISTINCT e.group_id FROM vendor_erp_sync v JOIN vendor_erp_sync_error e USING (sync_id) JOIN vendor_erp_sync_error_group g USING (group_id)
	WHERE v.status = 'failed' AND NOT (g.error_code = 'closed' AND v.last_error LIKE 'cancel%')`

// readAlerts reads the alerts, what became of each notice, and what there is to be told.
func readAlerts(ctx context.Context, tx pgx.Tx, h *history.History) (err error) {
	if h.Alerts, err = readRows[history.AlertRow](ctx, tx, `SELECT alert_id, kind, subject, opened_at, resolved_at FROM alert ORDER BY alert_id`); err != nil {
		return err
	}
	h.Deliveries, err = readRows[history.DeliveryRow](ctx, tx, `SELECT delivery_id, alert_id, event, message_id, state, attempts, created_at FROM alert_delivery ORDER BY delivery_id`)
	if err != nil {
		return err
	}
	rows, err := tx.Query(ctx, `SELECT group_id::text FROM (`+FailedGroups+`) g ORDER BY group_id`)
	if err != nil {
		return err
	}
	h.FailedGroups, err = pgx.CollectRows(rows, pgx.RowTo[string])
	return err
}

// readBreaker reads when the circuit breaker changed.
func readBreaker(ctx context.Context, tx pgx.Tx) ([]history.BreakerChange, error) {
	rows, err := tx.Query(ctx, `SELECT at AT TIME ZONE 'UTC', from_state, to_state, by FROM erp_pace_history ORDER BY id`)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[history.BreakerChange])
}

// readOutbox reads the outbox with the event ids, which are in the metadata.
func readOutbox(ctx context.Context, tx pgx.Tx) ([]history.OutboxRow, error) {
	rows, err := tx.Query(ctx, `SELECT id, topic, key, uuid, metadata FROM erp_outbox ORDER BY id`)
	if err != nil {
		return nil, err
	}
	var out []history.OutboxRow
	var row history.OutboxRow
	var metadata string
	_, err = pgx.ForEachRow(rows, []any{&row.ID, &row.Topic, &row.Key, &row.UUID, &metadata}, func() error {
		var headers map[string]string
		if err := json.Unmarshal([]byte(metadata), &headers); err != nil {
			return fmt.Errorf("metadata of row %d: %w", row.ID, err)
		}
		row.EventID = headers["ce_id"]
		out = append(out, row)
		return nil
	})
	return out, err
}

// readRows reads all columns by name. Times become text, so that a history is the same after it was saved and loaded.
func readRows[R ~map[string]any](ctx context.Context, tx pgx.Tx, query string) ([]R, error) {
	rows, err := tx.Query(ctx, query)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (R, error) {
		values, err := pgx.RowToMap(row)
		for column, v := range values {
			if t, ok := v.(time.Time); ok {
				values[column] = t.UTC().Format("2006-01-02T15:04:05.000000Z07:00")
			}
		}
		return values, err
	})
}
