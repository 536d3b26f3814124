//go:build speed

package api

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/gate"
	"github.com/erpconnector/erpconnector/shared/postgres"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// queries counts what a pool is asked.
type queries struct{ n atomic.Int64 }

func (q *queries) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	q.n.Add(1)
	return ctx
}
func (q *queries) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// TestSpeedOfWaiting lets 500 callers wait for orders that do not end, each looking by itself as it was before, and together.
func TestSpeedOfWaiting(t *testing.T) {
	const callers, wait = 500, 5 * time.Second
	database := testkit.Postgres(t)
	var gates []domain.Gate
	require.NoError(t, pgx.BeginFunc(t.Context(), database.Pool, func(tx pgx.Tx) error {
		var refs []domain.OrderRef
		for n := range callers {
			g := gateOf(n + 1)
			gates, refs = append(gates, g), append(refs, g.Ref)
		}
		if _, err := gate.Lock(t.Context(), tx, refs, requested); err != nil {
			return err
		}
		return gate.Save(t.Context(), tx, gates)
	}))
	measure := func(name string, await func(w *waiters, g domain.Gate) error) float64 {
		config, err := postgres.ParseConfig(database.URL)
		require.NoError(t, err)
		config.MaxConns = 16 // as a process has
		var asked queries
		config.ConnConfig.Tracer = &asked
		pool, err := pgxpool.NewWithConfig(t.Context(), config)
		require.NoError(t, err)
		defer pool.Close()
		w := newWaiters(rowsOf(pool))
		var waiting, sampling sync.WaitGroup
		sampled, stop := context.WithCancel(t.Context())
		var inUse, samples float64
		sampling.Go(func() {
			for tick := time.NewTicker(5 * time.Millisecond); sampled.Err() == nil; <-tick.C {
				inUse, samples = inUse+float64(pool.Stat().AcquiredConns()), samples+1
			}
		})
		began := time.Now()
		for _, g := range gates {
			waiting.Go(func() {
				if err := await(w, g); err != nil {
					t.Error(err)
				}
			})
		}
		waiting.Wait()
		took := time.Since(began).Seconds()
		stop()
		sampling.Wait()
		s := pool.Stat()
		t.Logf("%s: %.0f queries a second; %.2f of %d connections in use on average; %d waits for one, of %s in all; the last answer after %.1f s",
			name, float64(asked.n.Load())/took, inUse/samples, s.MaxConns(), s.EmptyAcquireCount(), s.EmptyAcquireWaitTime().Round(time.Millisecond), took)
		return float64(asked.n.Load()) / took
	}
	alone := measure("each by itself", func(w *waiters, g domain.Gate) error {
		tick := time.NewTicker(pollInterval)
		defer tick.Stop()
		for began := time.Now(); time.Since(began) < wait; <-tick.C {
			if _, err := w.readOne(t.Context(), g.Ref.Key()); err != nil {
				return err
			}
		}
		return nil
	})
	together := measure("together", func(w *waiters, g domain.Gate) error {
		_, err := w.await(t.Context(), g, wait)
		return err
	})
	t.Logf("ratio of queries: %.0f to 1", alone/together)
	require.Greater(t, alone/together, 10.0)
}
