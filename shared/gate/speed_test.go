//go:build speed

package gate

import (
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

const (
	speedGates = 100_000
	speedReads = 5_000
)

// TestSpeed prints figures and claims none; it is built with the tag speed only. The syncer asks before each call, and again for
// each batch of outcomes: what does it cost to know the chain as well, against a reading of the gate alone? And what does closing
// gates cost, by their number?
func TestSpeed(t *testing.T) {
	pool := testkit.Postgres(t).Pool
	for _, statement := range []string{
		fmt.Sprintf(`INSERT INTO erp_sync_gate (order_key, source, increment_id, sync_id, generation, state, idempotency_key, updated_at)
			SELECT n, 'default', n, n, 1, 'open', 'ERP_' || n, now() FROM generate_series(1, %d) n`, speedGates),
		fmt.Sprintf(`INSERT INTO vendor_erp_sync (sync_id, order_increment_id, status, attempts, max_attempts, idempotency_key, created_at, updated_at,
				source, generation, attempt_version, attempt_version_at, version, version_at)
			SELECT n, n, 'queued', 0, 5, 'ERP_' || n, now(), now(), 'default', 1, v, now(), v, now()
			FROM generate_series(1, %d) n, (SELECT %d::bigint) AS request (v)`, speedGates, domain.RequestVersion(1, 0)),
		`ANALYZE`,
	} {
		_, err := pool.Exec(t.Context(), statement)
		require.NoError(t, err)
	}
	adviseSpeed(t, pool, "as ever")
	require.NoError(t, MarkReread(t.Context(), pool))
	adviseSpeed(t, pool, "while the log is read again")
	closeSpeed(t, pool)
}

func adviseSpeed(t *testing.T, pool *pgxpool.Pool, when string) {
	t.Helper()
	s := NewStore(pool)
	for _, n := range []int{1, 500} {
		var records []domain.Sync
		var keys []string
		for i := range n {
			records = append(records, domain.Sync{SyncID: int64(7*i + 1), Source: "default", OrderIncrementID: fmt.Sprint(7*i + 1), Generation: 1})
			keys = append(keys, fmt.Sprint(7*i+1))
		}
		rounds := speedReads / n
		var read, advised time.Duration
		for range rounds { // in turn, so that other work on the machine meets both
			began := time.Now()
			_, err := s.Read(t.Context(), keys)
			read += time.Since(began)
			require.NoError(t, err)
			began = time.Now()
			_, err = s.Advise(t.Context(), records)
			advised += time.Since(began)
			require.NoError(t, err)
		}
		t.Logf("%s, %d records: the gates read in %s, advised in %s; ratio %.2f", when, n, read/time.Duration(rounds), advised/time.Duration(rounds),
			advised.Seconds()/read.Seconds())
	}
}

func closeSpeed(t *testing.T, pool *pgxpool.Pool) {
	t.Helper()
	for _, n := range []int{100, 1000, 2000} {
		var ends []GenerationEnd
		for i := range n {
			key := fmt.Sprint(i + 1)
			ends = append(ends, GenerationEnd{Key: key, Generation: 1, By: domain.ClosedByAnswer, IdempotencyKey: "ERP_" + key})
		}
		began := time.Now()
		_, err := Close(t.Context(), pool, ends)
		require.NoError(t, err)
		t.Logf("%d gates closed in %s", n, time.Since(began).Round(100*time.Microsecond))
	}
}
