package accept

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/event"
)

const gateRows = `SELECT order_key || ' ' || state || ' ' || generation || ' ' || coalesce(sync_id::text, '-') || ' ' || (ctid = '(0,1)') FROM erp_sync_gate ORDER BY 1`

// A row that is written again stands at another place: (0,1) is the first that was made.
func TestTheGateOfANewOrderIsWrittenOnce(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	b.accept(t, incoming(t, "e1", event.InvoiceCreated, "1", nil), incoming(t, "e2", event.OrderUpdated, "1", nil), incoming(t, "e3", event.InvoiceCreated, "1", nil))
	require.Equal(t, []string{"1 open 1 1 true"}, b.strings(t, gateRows))
	require.Equal(t, int64(1), b.requests(t)[0].SyncID)
}

// An order that is placed first gets its sync id with the invoice: none is lost.
func TestSyncIDsFollowEachOther(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	for _, order := range []string{"1", "2"} {
		b.accept(t, incoming(t, "p"+order, event.OrderPlaced, order, nil))
		b.accept(t, incoming(t, "i"+order, event.InvoiceCreated, order, nil))
	}
	b.accept(t, incoming(t, "i3", event.InvoiceCreated, "3", nil), incoming(t, "p4", event.OrderPlaced, "4", nil), incoming(t, "i5", event.InvoiceCreated, "5", nil))
	require.Equal(t, []string{"1", "2", "3", "5"}, b.strings(t, `SELECT order_key FROM erp_sync_gate WHERE sync_id IS NOT NULL ORDER BY sync_id`))
	require.Equal(t, []string{"4"}, b.strings(t, `SELECT max(sync_id)::text FROM erp_sync_gate`))
}

// A gate is made as if its invoice were accepted. Where that is not, it must not stay so: nobody would send the order any more.
func TestARefusedInvoiceRequestsNothing(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	b.accept(t, incoming(t, "e1", event.OrderPlaced, "1", nil))
	got := b.accept(t, incoming(t, "e1", event.InvoiceCreated, "2", nil))
	require.Equal(t, Conflict, got[0].Result)
	require.Equal(t, []string{"1 none 0 - true", "2 none 0 - false"}, b.strings(t, gateRows))
	require.Equal(t, []string{"true true true"}, b.strings(t, `SELECT (idempotency_key IS NULL) || ' ' || (requested_at IS NULL) || ' ' || (version = 0)
		FROM erp_sync_gate WHERE order_key = '2'`))

	got = b.accept(t, incoming(t, "e2", event.InvoiceCreated, "2", nil))
	require.Equal(t, Accepted, got[0].Result)
	require.Len(t, b.requests(t), 1, "the next invoice requests the order")
}
