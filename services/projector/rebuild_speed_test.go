//go:build speed

package projector

import (
	"context"
	"log/slog"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// foldedOrders have four facts each.
const foldedOrders = 25_000

// TestSpeedOfVerifyAndRebuild prints figures and claims none; it is built with the tag speed only: how long the fold of a
// log takes live, to verify and to rebuild, and how far the heap grows meanwhile.
func TestSpeedOfVerifyAndRebuild(t *testing.T) {
	testkit.OnApache(t, func(t *testing.T, cfg kafka.Config) {
		t.Helper()
		admin, err := kafka.NewAdmin(cfg, 8)
		require.NoError(t, err)
		defer admin.Close()
		_, err = admin.Ensure(t.Context(), false)
		require.NoError(t, err)
		client, err := kgo.NewClient(cfg.Options()...)
		require.NoError(t, err)
		defer client.Close()
		b := &bench{T: t, ctx: t.Context(), cfg: cfg, client: client, pool: testkit.Postgres(t).Pool}
		for first := 0; first < foldedOrders; first += 1000 {
			var records []*kgo.Record
			for order := first; order < first+1000; order++ {
				for _, f := range success(order) {
					rec, err := event.NewSync(f.at.topic, event.Sync{Sync: f.Sync}, event.Context{At: f.Time})
					require.NoError(t, err)
					records = append(records, cfg.Record(rec))
				}
			}
			require.NoError(t, client.ProduceSync(t.Context(), records...).FirstErr())
		}
		log, told := slog.New(slog.DiscardHandler), func(Progress) {}
		measured(t, "live", func() {
			stop := b.run()
			b.within("all are applied", func() bool {
				var n int
				require.NoError(t, b.pool.QueryRow(t.Context(), `SELECT count(*) FROM vendor_erp_sync WHERE status = $1`, domain.Success).Scan(&n))
				return n == foldedOrders
			})
			stop()
		})
		measured(t, "verify", func() {
			v, err := Verify(t.Context(), cfg, b.pool, log, told, func(d Difference) { t.Error(d) })
			require.NoError(t, err)
			require.EqualValues(t, foldedOrders, v.Rows)
		})
		measured(t, "rebuild", func() {
			_, err := Rebuild(t.Context(), cfg, b.pool, log, Rebuilding{Told: told, Found: func(d Difference) { t.Error(d) }})
			require.NoError(t, err)
		})
	})
}

func measured(t *testing.T, what string, work func()) {
	t.Helper()
	runtime.GC()
	var most atomic.Uint64
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for ctx.Err() == nil {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			most.Store(max(most.Load(), m.HeapAlloc))
			<-tick.C
		}
	}()
	began := time.Now()
	work()
	took := time.Since(began)
	cancel()
	<-done
	t.Logf("%s: %d facts in %s, heap at most %d MiB", what, 4*foldedOrders, took.Round(10*time.Millisecond), most.Load()>>20)
}
