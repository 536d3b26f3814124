package projector

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/testkit"
	"github.com/erpconnector/erpconnector/shared/timeline"
)

// The state that the timeline tells of the time of a fact is what the projection had after that fact, whenever it is asked for.
func TestTheStateAtATimeIsWhatTheProjectionWas(t *testing.T) {
	t.Parallel()
	pool := testkit.Postgres(t).Pool
	rapid.Check(t, func(t *rapid.T) {
		ctx := context.Background()
		_, err := pool.Exec(ctx, `TRUNCATE vendor_erp_sync_event`)
		require.NoError(t, err)
		rows := map[int64]*domain.Row{}
		facts := drawHistory(t).facts
		wants := make([]domain.Row, len(facts))
		for i, f := range facts {
			next := domain.Fold(rows[f.Sync.SyncID], f.Fact)
			rows[f.Sync.SyncID], wants[i] = &next, next
		}
		tx, err := pool.Begin(ctx)
		require.NoError(t, err)
		require.NoError(t, newStore(nil, live).writeTimeline(ctx, tx, facts))
		require.NoError(t, tx.Commit(ctx))
		type moment struct {
			sync int64
			at   time.Time
		}
		latest := map[moment]domain.Row{} // facts of one moment are told together
		for i, f := range facts {
			latest[moment{f.Sync.SyncID, f.Time}] = wants[i]
		}
		for _, f := range facts {
			want := latest[moment{f.Sync.SyncID, f.Time}]
			got, err := timeline.StateAt(ctx, pool, f.Sync.SyncID, f.Time)
			require.NoError(t, err)
			require.Equal(t, []any{want.Status, want.Attempts, want.Generation, want.LastError, want.CreatedAt, want.UpdatedAt},
				[]any{got.Status, got.Attempts, got.Generation, got.LastError, got.CreatedAt.UTC(), got.UpdatedAt.UTC()})
		}
		_, err = timeline.StateAt(ctx, pool, facts[0].Sync.SyncID, facts[0].Time.Add(-time.Millisecond))
		require.ErrorIs(t, err, timeline.ErrNotYet)
	})
}
