//go:build speed

package syncs

import (
	"flag"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/testkit"
)

var speedRows = flag.Int("syncs.rows", 1_000_000, "syncs in the table")

// TestSpeedOfSearches prints figures and claims none; it is built with the tag speed only: how long a page takes, of each search.
//
//	go test -tags speed -run TestSpeedOfSearches ./shared/syncs -v
func TestSpeedOfSearches(t *testing.T) {
	pool := testkit.Postgres(t).Pool
	began := time.Now()
	_, err := pool.Exec(t.Context(), fill, *speedRows)
	require.NoError(t, err)
	_, err = pool.Exec(t.Context(), `INSERT INTO vendor_erp_sync_count SELECT source, status, coalesce(group_id, 0), count(*) FROM vendor_erp_sync
		LEFT JOIN vendor_erp_sync_error USING (sync_id) GROUP BY 1, 2, 3`)
	require.NoError(t, err)
	_, err = pool.Exec(t.Context(), `VACUUM ANALYZE vendor_erp_sync, vendor_erp_sync_error, sales_order`)
	require.NoError(t, err)
	t.Logf("%d syncs written in %s", *speedRows, time.Since(began).Round(time.Second))
	const tries = 20
	measure := func(name string, ask func()) {
		var took []time.Duration
		for range tries {
			at := time.Now()
			ask()
			took = append(took, time.Since(at))
		}
		slices.Sort(took)
		t.Logf("%-24s median %6.1f ms, longest %6.1f ms", name, took[tries/2].Seconds()*1000, took[tries-1].Seconds()*1000)
	}
	for name, c := range searches {
		f := c.filter
		f.Limit = 100
		measure(name, func() {
			_, err := List(t.Context(), pool, f)
			require.NoError(t, err)
		})
	}
	measure("counts", func() {
		_, _, err := Counts(t.Context(), pool, Filter{})
		require.NoError(t, err)
	})
	measure("kinds of errors", func() {
		_, err := Groups(t.Context(), pool, Filter{Limit: 100})
		require.NoError(t, err)
	})
	groups, err := Groups(t.Context(), pool, Filter{Limit: 50})
	require.NoError(t, err)
	for name, f := range map[string]Filter{"of all": {}, "of a shop": {Source: "default"}} {
		measure("values "+name, func() {
			_, err := Values(t.Context(), pool, f, groups)
			require.NoError(t, err)
		})
		measure("trends "+name, func() {
			_, err := Trends(t.Context(), pool, f, groups, Spans(day.AddDate(0, 0, 1), time.Hour, 24))
			require.NoError(t, err)
		})
	}
	measure("one sync", func() {
		_, err := Get(t.Context(), pool, int64(*speedRows/2))
		require.NoError(t, err)
	})
}
