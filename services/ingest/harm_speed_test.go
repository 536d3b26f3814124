//go:build speed

package ingest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestSpeedBesideABulk prints how long another shop's event takes from its commit until it is accepted, while a shop
// writes a million rows in one transaction, keeps it open, commits, and its backlog is taken; and while a snapshot is
// held open, so that no deleted row can be cleaned up.
func TestSpeedBesideABulk(t *testing.T) {
	s := newShop(t)
	t.Logf("alone: %s", s.acceptLatency("alone", 100, nil))
	bulk := s.begin()
	inserted := make(chan error, 1)
	go func() {
		_, err := bulk.Exec(t.Context(), `
			INSERT INTO commerce_outbox (source, payload)
			SELECT 'bulk', convert_to(replace($1, '@', n::text), 'UTF8') FROM generate_series(1, 1000000) n`,
			replaced(placed("bulk-@", "@"), `"type"`, `"source": "bulk", "type"`))
		inserted <- err
	}()
	t.Logf("while a million rows are written: %s", s.acceptLatency("writing", 1_000_000, inserted))
	t.Logf("while they are not committed: %s", s.acceptLatency("open", 100, nil))
	require.NoError(t, bulk.Commit(t.Context()))
	t.Logf("while they are taken: %s", s.acceptLatency("taken", 100, nil))
	began := time.Now()
	s.truncate("commerce_outbox") // the rest would take minutes
	t.Logf("truncated in %s", time.Since(began).Round(time.Millisecond))

	old := s.begin()
	_, err := old.Exec(t.Context(), `SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM accepted_event`)
	require.NoError(t, err)
	for b := range 500 {
		require.NoError(t, doors["go_pgx"](s, speedEventsOf(b, "d")))
	}
	require.Eventually(t, func() bool {
		return s.read(`SELECT count(*)::text FROM (SELECT FROM commerce_outbox LIMIT 1) o`)[0] == "0"
	},
		5*time.Minute, 100*time.Millisecond)
	t.Logf("with 50,000 deleted rows that cannot be cleaned up: %s", s.acceptLatency("dead", 100, nil))
}

// acceptLatency publishes events one by one until it has enough or until is done.
func (s *shop) acceptLatency(kind string, most int, until <-chan error) string {
	s.t.Helper()
	var took []time.Duration
	for i := range most {
		select {
		case err := <-until:
			require.NoError(s.t, err)
			most = 0
		default:
		}
		if most == 0 {
			break
		}
		id := fmt.Sprint(kind, i)
		s.publish(invoice(id, id))
		began := time.Now()
		require.Eventually(s.t, func() bool {
			var n int
			err := s.pool.QueryRow(s.t.Context(), `SELECT count(*) FROM accepted_event WHERE source = 'default' AND event_id = $1`, id).Scan(&n)
			return err == nil && n == 1
		}, 2*time.Minute, time.Millisecond)
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	n := len(took)
	return fmt.Sprintf("%d events: p50 %s, p99 %s, slowest %s", n, took[n/2].Round(100*time.Microsecond), took[n*99/100].Round(100*time.Microsecond), took[n-1].Round(100*time.Microsecond))
}
