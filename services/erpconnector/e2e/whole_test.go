package e2e

import (
	"net/http"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/httpapi"
)

// wholeOrWarned publishes an order of a shop that writes 0 for no parent and leaves out amounts.
func wholeOrWarned(t *testing.T, p *product) {
	t.Helper()
	e := invoice("e10", "10")
	order := e["order"].(map[string]any) //nolint:forcetypeassert // a test
	order["items"] = []any{
		map[string]any{"item_id": 1, "parent_item_id": 0, "sku": "A", "name": "a", "qty": 2, "row_total": "199.98"},
		map[string]any{"item_id": 2, "parent_item_id": 1, "sku": "A-RED", "qty": 2},
		map[string]any{"item_id": 3, "parent_item_id": "", "sku": "B", "name": "b", "qty": 1, "price": 0, "row_total": 0},
	}
	order["totals"].(map[string]any)["tax"] = nil //nolint:forcetypeassert // a test
	status, answer := p.publish(e)
	require.Equal(t, http.StatusAccepted, status, "%v", answer)
	warnings := []any{
		"/order/items/0/price is missing: send it, or 0 where there is none; the ERP is sent null",
		"/order/totals/tax is missing: send it, or 0 where there is none; the ERP is sent null",
		"the totals add up to 209.98, but grand_total is 229.98",
	}
	notSent := []any{"/order/items/1 is part of /order/items/0, which is sent for both"}
	require.Equal(t, []any{warnings, notSent}, []any{answer["warnings"], answer["not_sent"]})
	p.becomes("10", ended("success"))
	fact := p.timeline("10", 4)[0].(map[string]any) //nolint:forcetypeassert // a test
	require.Equal(t, []any{event.TopicRequested, warnings, notSent}, []any{fact["type"], fact["warnings"], fact["not_sent"]})
	conn, err := pgx.Connect(t.Context(), p.cfg.DatabaseURL)
	require.NoError(t, err)
	defer func() { _ = conn.Close(t.Context()) }()
	var payload string
	require.NoError(t, conn.QueryRow(t.Context(), `SELECT payload FROM vendor_erp_sync WHERE order_increment_id = '10'`).Scan(&payload))
	require.Contains(t, payload, `"items":[{"sku":"A","name":"a","qty":2,"price":null,"row_total":199.98},{"sku":"B","name":"b","qty":1,"price":0,"row_total":0}],`+
		`"totals":{"subtotal":199.98,"tax":null,"shipping":10.00,"discount":0.00,"grand_total":229.98}`)
}

// noLineToSend syncs an order whose only line is part of one that is not in the order, as it could be accepted before.
func noLineToSend(t *testing.T, p *product) {
	t.Helper()
	placed := invoice("e11", "11")
	placed["type"] = "order.placed"
	status, answer := p.publish(placed)
	require.Equal(t, http.StatusAccepted, status, "%v", answer)
	conn, err := pgx.Connect(t.Context(), p.cfg.DatabaseURL)
	require.NoError(t, err)
	defer func() { _ = conn.Close(t.Context()) }()
	_, err = conn.Exec(t.Context(), `UPDATE sales_order SET snapshot = jsonb_set(snapshot::jsonb, '{items,0,parent_item_id}', '7') WHERE order_key = '11'`)
	require.NoError(t, err)
	p.do(http.MethodPost, httpapi.BasePath+"/sync-order?wait=0", map[string]any{"orderIncrementId": "11"})
	got := p.becomes("11", func(s map[string]any) bool { return s["status"] == "failed" && s["last_error"] != nil })
	require.Equal(t, "building the payload: /order/items/0/parent_item_id is 7, but no line of the order has that item_id: send the parent too, or null for a line of its own", got["last_error"])
	require.InDelta(t, 0, got["attempts"], 0, "nothing was sent")
}
