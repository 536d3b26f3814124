package scheduler

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/bulk"
	"github.com/erpconnector/erpconnector/shared/domain"
)

// A bulk job is carried out while the scheduler leads, ends show in the metrics, and nothing is asked often while there is no job.
func TestBulkJobsAreCarriedOut(t *testing.T) {
	const running, settled = "erpconnector_bulk_jobs_running", `erpconnector_bulk_orders_total{command="settle",result="succeeded"}`
	b, _ := setup(t)
	b.hold(t, domain.HeldByCron, 3)
	require.Equal(t, bulkIdleInterval, b.bulk.step(t.Context()))
	p, err := b.bulk.store.Preview(t.Context(), bulk.Plan{Command: bulk.Settle, Reason: "booked by hand", SyncIDs: []int64{1, 2, 3}}, "jane")
	require.NoError(t, err)
	require.EqualValues(t, 0, p.Orders, "the projection knows none of them yet")
	_, err = b.pool.Exec(t.Context(), `INSERT INTO vendor_erp_sync (sync_id, source, order_increment_id, status, attempts, max_attempts, idempotency_key, created_at, updated_at, generation,
			attempt_version, attempt_version_at, version, version_at)
		SELECT sync_id, source, increment_id, 'pending', 0, 3, 'k', now(), now(), 1, 0, now(), 0, now() FROM erp_sync_gate`)
	require.NoError(t, err)
	j, err := b.bulk.store.Start(t.Context(), p.Token, "jane", func(bulk.Plan) error { return nil })
	require.NoError(t, err)
	require.Zero(t, b.bulk.step(t.Context()), "it selects")
	require.InDelta(t, 1, metric(t, running), 0)
	require.Zero(t, b.bulk.step(t.Context()), "it settles")
	require.InDelta(t, 3, metric(t, settled), 0)
	require.Equal(t, bulkInterval, b.bulk.step(t.Context()), "it ends")
	require.Equal(t, bulkIdleInterval, b.bulk.step(t.Context()))
	require.InDelta(t, 0, metric(t, running), 0)
	j, err = b.bulk.store.Get(t.Context(), j.ID)
	require.NoError(t, err)
	require.Equal(t, bulk.Done, j.State)

	_, err = b.pool.Exec(t.Context(), `UPDATE bulk_job SET ended_at = now() - $1::interval`, bulk.Retention+time.Hour)
	require.NoError(t, err)
	b.bulk.clean(t.Context())
	_, err = b.bulk.store.Get(t.Context(), j.ID)
	require.ErrorIs(t, err, bulk.ErrUnknown)
	b.pool.Close()
	require.Equal(t, bulkIdleInterval, b.bulk.step(t.Context()), "while Postgres is away it tries on")
}
