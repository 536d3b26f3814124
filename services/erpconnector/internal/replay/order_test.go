package replay

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/testkit"
	"github.com/erpconnector/erpconnector/shared/timeline"
)

// The timeline is asked first: an order that nobody knows costs no time-out of the brokers.
func TestAnOrderThatNobodyKnows(t *testing.T) {
	t.Parallel()
	pool := testkit.Postgres(t).Pool
	nowhere := kafka.Config{Brokers: []string{"127.0.0.1:1"}}
	var s seen
	require.ErrorIs(t, Order(t.Context(), nowhere, pool, domain.OrderRef{Source: "outlet", IncrementID: "1"}, &s), timeline.ErrUnknown)
	require.Zero(t, s.batches, "nothing was given out")
}

func TestATimelineThatWasDeleted(t *testing.T) {
	t.Parallel()
	pool := testkit.Postgres(t).Pool
	_, err := pool.Exec(t.Context(), `INSERT INTO erp_timeline_floor (before) VALUES ('2026-11-29T10:00:00Z');
		INSERT INTO erp_sync_gate (order_key, source, increment_id, sync_id, generation, state, closed_by, idempotency_key, updated_at)
		VALUES ('default:1', 'default', '1', 7, 1, 'closed', 'answer', 'K', now())`)
	require.NoError(t, err)
	ref := domain.OrderRef{Source: "default", IncrementID: "1"}
	_, err = pool.Exec(t.Context(), `UPDATE erp_sync_gate SET order_key = $1`, ref.Key())
	require.NoError(t, err)
	err = Order(t.Context(), kafka.Config{Brokers: []string{"127.0.0.1:1"}}, pool, ref, &seen{})
	require.ErrorContains(t, err, "facts of before 2026-11-29T10:00:00Z have been deleted (timeline_retention): `erpconnector replay --from")
}

// A topic that services read is refused by its name, before any broker is asked.
func TestATargetOfAConnectorIsRefused(t *testing.T) {
	t.Parallel()
	nowhere := kafka.Config{Brokers: []string{"127.0.0.1:1"}}
	for _, topic := range []string{"vendor_erp_sync_due", "shop1.vendor_erp_sync_requested", "vendor_erp_sync_retry_64s", "x_sales_order_event", "vendor_erp_sync_position"} {
		_, err := NewPublisher(t.Context(), nowhere, topic)
		require.ErrorContains(t, err, topic+" is, by its name, a topic of a connector", topic)
		require.ErrorContains(t, err, "name a topic of the subscriber's own, which does not end in ", topic)
	}
}
