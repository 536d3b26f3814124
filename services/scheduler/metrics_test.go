package scheduler

import (
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/deadletter"
	"github.com/erpconnector/erpconnector/shared/domain"
)

// metric is the value of a line of /metrics.
func metric(t *testing.T, name string) float64 {
	t.Helper()
	w := httptest.NewRecorder()
	promhttp.Handler().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil))
	for line := range strings.Lines(w.Body.String()) {
		if value, found := strings.CutPrefix(line, name+" "); found {
			n, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			require.NoError(t, err)
			return n
		}
	}
	require.Fail(t, "there is no metric "+name)
	return 0
}

// An order that stood still for ever showed in no metric.
func TestTheOldestUnfinishedOrderAndOpenLettersAreMetrics(t *testing.T) {
	const open, held, letters = `erpconnector_oldest_unfinished_order_age_seconds{state="open"}`,
		`erpconnector_oldest_unfinished_order_age_seconds{state="held"}`, `erpconnector_dead_letters_open`
	b, _ := setup(t)
	count := func() {
		b.countAt = time.Time{}
		require.NoError(t, b.count(t.Context()))
	}
	count()
	require.Equal(t, []float64{0, 0, 0}, []float64{metric(t, open), metric(t, held), metric(t, letters)})

	b.hold(t, domain.HeldByCron, 1)
	b.clock = b.clock.Add(time.Minute)
	b.hold(t, domain.HeldByCron, 1)
	_, err := b.pool.Exec(t.Context(), `UPDATE erp_sync_gate SET state = 'open', held_by = NULL WHERE updated_at = $1`, b.clock)
	require.NoError(t, err)
	require.NoError(t, pgx.BeginFunc(t.Context(), b.pool, func(tx pgx.Tx) error {
		err := deadletter.Add(t.Context(), tx, []deadletter.Letter{{ID: 0, Topic: "a"}, {ID: 1, Topic: "b"}, {ID: 2, Topic: "c"}}, deadletter.WithoutEffect)
		if err != nil {
			return err
		}
		return deadletter.Decide(t.Context(), tx, 1, deadletter.Decision{State: deadletter.Discarded, At: b.clock})
	}))
	b.clock = b.clock.Add(time.Hour)
	count()
	require.Equal(t, []float64{3600, 3660, 2}, []float64{metric(t, open), metric(t, held), metric(t, letters)})

	_, err = b.pool.Exec(t.Context(), `UPDATE erp_sync_gate SET state = 'closed', closed_by = 'answer' WHERE state = 'open'`)
	require.NoError(t, err)
	count()
	require.Zero(t, metric(t, open))
	resign()
	require.Zero(t, metric(t, letters))
}

// The figure must not cost more the more orders there are.
func TestTheOldestUnfinishedOrderIsReadByItsIndex(t *testing.T) {
	b, _ := setup(t)
	b.hold(t, domain.HeldByCron, 10)
	rows, err := b.pool.Query(t.Context(), `EXPLAIN SELECT min(updated_at) FROM erp_sync_gate WHERE state = $1 AND state IN ('held', 'open')`, "open")
	require.NoError(t, err)
	plan, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	require.Contains(t, strings.Join(plan, "\n"), "erp_sync_gate_unfinished")
	require.NotContains(t, strings.Join(plan, "\n"), "Seq Scan")
}
