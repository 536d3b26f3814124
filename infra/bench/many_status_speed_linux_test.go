//go:build speed

package bench

import (
	"fmt"
	"io"
	"math/rand/v2"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const (
	statusTime        = 10 * time.Second // of one rate
	statusConnections = 64
)

// statusLoad asks for the status of orders in an open loop. The driver, the product and Postgres share the machine.
func (m *many) statusLoad(t *testing.T) {
	t.Helper()
	for _, rate := range []int{250, 500, 1000, 2000, 3000, 4000, 5000} {
		if rate > *rateFlag {
			return
		}
		before, calm := used(t), m.disturbed(t)
		got, err := m.atRate(rate).run()
		require.NoError(t, err)
		cpu, requests := used(t).Since(before), float64(len(got.took))
		slices.Sort(got.took)
		at := func(q float64) float64 { return milliseconds(quantile(got.took, q)) }
		t.Logf("status at %4d/s: p50 %6.2f ms, p90 %6.2f ms, p99 %7.2f ms, p99.9 %7.2f ms", rate, at(0.5), at(0.9), at(0.99), at(0.999))
		t.Logf("    CPU a request: %.0f µs of the product, %.0f µs of Postgres, %.0f µs of the driver",
			1e6*cpu.Product/requests, 1e6*cpu.Postgres/requests, 1e6*got.cpu/requests)
		t.Logf("    longest %.0f ms, due at %.1f s; the driver was away for %.0f ms at most; %s",
			milliseconds(got.longest), got.at.Seconds(), milliseconds(got.away), m.disturbed(t).since(calm))
	}
}

// atRate asks about any orders of the shop default.
func (m *many) atRate(rate int) openLoop {
	after := " HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + token + "\r\n\r\n"
	return openLoop{
		addr: strings.TrimPrefix(m.site, "http://"), connections: statusConnections, rate: rate, requests: rate * int(statusTime.Seconds()),
		request: func(ask []byte) []byte {
			ask = append(ask, "GET /rest/V1/erpconnector/sync-status/"...)
			ask = strconv.AppendInt(ask, int64(1_000_000_001+rand.IntN(*manyFlag/10)*10), 10) //nolint:gosec // any
			return append(ask, after...)
		},
	}
}

// disturbance is what may make answers wait, counted since the processes began.
type disturbance struct {
	checkpoints, written, vacuums int64
	syncing                       float64 // milliseconds
	collection                    string  // the longest pause of the product for its memory, in seconds
}

var longestCollection = regexp.MustCompile(`(?m)^go_gc_duration_seconds\{quantile="1"\} (\S+)$`)

func (m *many) disturbed(t *testing.T) (d disturbance) {
	t.Helper()
	err := m.pool.QueryRow(t.Context(), `SELECT checkpoints_timed + checkpoints_req, buffers_checkpoint + buffers_clean + buffers_backend, checkpoint_sync_time,
			(SELECT sum(autovacuum_count + autoanalyze_count)::bigint FROM pg_stat_all_tables)
		FROM pg_stat_bgwriter`).Scan(&d.checkpoints, &d.written, &d.syncing, &d.vacuums)
	require.NoError(t, err)
	answer, err := m.client.Get(m.site + "/metrics")
	require.NoError(t, err)
	defer func() { _ = answer.Body.Close() }()
	page, err := io.ReadAll(answer.Body)
	require.NoError(t, err)
	found := longestCollection.FindSubmatch(page)
	require.NotNil(t, found, "the product tells how long it paused")
	d.collection = string(found[1])
	return d
}

func (d disturbance) since(before disturbance) string {
	return fmt.Sprintf("Postgres ended %d checkpoints, wrote %d pages and waited %.0f ms for the disk, and autovacuum worked on %d tables; "+
		"longest pause of the product's collector %s s",
		d.checkpoints-before.checkpoints, d.written-before.written, d.syncing-before.syncing, d.vacuums-before.vacuums, d.collection)
}
