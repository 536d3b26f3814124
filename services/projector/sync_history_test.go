package projector

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/history"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// lately is the history of the hour of the tests' facts.
func lately(t require.TestingT, pool *pgxpool.Pool) history.Counts {
	_, sum, err := history.Read(context.Background(), pool, history.Ranges[2], "", began.Add(time.Hour))
	require.NoError(t, err)
	return sum
}

// The history is the sum of the facts, whatever comes first and in whatever batches.
func TestTheHistoryIsTheSameInAnyOrderOfTheLog(t *testing.T) {
	t.Parallel()
	pool := testkit.Postgres(t).Pool
	rapid.Check(t, func(t *rapid.T) {
		_, err := pool.Exec(context.Background(), `TRUNCATE vendor_erp_sync, vendor_erp_sync_event, vendor_erp_sync_error, vendor_erp_sync_count, vendor_erp_sync_history`)
		require.NoError(t, err)
		h := drawHistory(t)
		var want history.Counts
		for _, f := range h.facts {
			switch f.at.Topic {
			case event.TopicRequested:
				if f.Sync.Version.Number() == 0 {
					want.Accepted++
				}
			case event.TopicAfterSend:
				want.Attempts++
			case event.TopicSuccess:
				want.Succeeded++
			case event.TopicFailed:
				want.Failed++
			}
		}
		s := newStore(pool, live)
		s.now = func() time.Time { return began.Add(time.Hour) }
		for facts := rapid.Permutation(h.facts).Draw(t, "order"); len(facts) > 0; {
			n := rapid.IntRange(1, len(facts)).Draw(t, "batch")
			require.NoError(t, s.apply(context.Background(), batch{facts: facts[:n]}))
			facts = facts[n:]
		}
		got := lately(t, pool)
		got.AttemptErrors, got.Calls, got.Orders = nil, nil, nil
		require.Equal(t, want, got)
	})
}

// A batch that fails counts nothing, and one whose positions were moved by another instance neither.
func TestABatchThatIsNotAppliedCountsNothing(t *testing.T) {
	t.Parallel()
	pool := testkit.Postgres(t).Pool
	s := newStore(pool, live)
	s.now = func() time.Time { return began.Add(time.Hour) }
	broken := whole(success(0))
	broken.facts[3].Sync.Status = "bogus"
	require.Error(t, s.apply(t.Context(), broken))
	require.Zero(t, lately(t, pool).Accepted)
	require.NoError(t, s.apply(t.Context(), whole(success(0))))
	require.ErrorIs(t, s.apply(t.Context(), whole(success(0))), errMoved)
	require.EqualValues(t, 1, lately(t, pool).Accepted)
	require.EqualValues(t, 1, lately(t, pool).Succeeded)
}

// recent moves facts to now, as those that are older than the history's retention are not counted.
func recent(facts []fact) []fact {
	by := time.Since(began).Truncate(time.Millisecond) - time.Minute
	for i := range facts {
		facts[i].Time = facts[i].Time.Add(by)
		facts[i].Sync.CreatedAt = facts[i].Sync.CreatedAt.Add(by)
	}
	return facts
}

func TestARebuildGivesTheSameHistory(t *testing.T) {
	onEmbedded(t, func(b *bench) {
		b.publish(recent(append(success(0), failedAt(1, "no such sku", `{}`)...)))
		b.project()
		read := func() history.Counts {
			_, sum, err := history.Read(b.ctx, b.pool, history.Ranges[0], "", time.Now())
			require.NoError(b, err)
			return sum
		}
		want := read()
		require.Equal(b, []int32{2, 1, 1, 2}, []int32{want.Accepted, want.Succeeded, want.Failed, want.Attempts})
		require.EqualValues(b, 1, want.Orders.Count())
		b.exec(`DELETE FROM vendor_erp_sync_history WHERE source = 'default'; UPDATE vendor_erp_sync_history SET accepted = 70`)
		require.NotEqual(b, want, read())
		_, _, err := b.rebuild(Rebuilding{})
		require.NoError(b, err)
		require.Equal(b, want, read())
		b.requireNoTables("vendor_erp_sync_rebuild%")
	})
}
