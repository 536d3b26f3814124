package projector

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// tables is all that the projection shows.
type tables struct {
	Syncs    []map[string]any
	Timeline []map[string]any
}

func shown(t require.TestingT, pool *pgxpool.Pool) tables {
	return tables{
		Syncs:    query(t, pool, `SELECT * FROM vendor_erp_sync ORDER BY sync_id`),
		Timeline: query(t, pool, `SELECT * FROM vendor_erp_sync_event ORDER BY topic, partition, "offset", occurred_at`),
	}
}

func query(t require.TestingT, pool *pgxpool.Pool, statement string) []map[string]any {
	rows, err := pool.Query(context.Background(), statement)
	require.NoError(t, err)
	out, err := pgx.CollectRows(rows, pgx.RowToMap)
	require.NoError(t, err)
	return out
}

// applyInBatches applies the facts in batches of drawn sizes. Their coordinates are their identity; positions are left
// alone, as a shuffled log has none.
func applyInBatches(t *rapid.T, pool *pgxpool.Pool, facts []fact) {
	s := newStore(pool, live)
	for len(facts) > 0 {
		n := rapid.IntRange(1, len(facts)).Draw(t, "batch")
		require.NoError(t, s.apply(context.Background(), batch{facts: facts[:n]}))
		facts = facts[n:]
	}
}

func TestTheProjectionIsTheSameInAnyOrderOfTheLogAnyNumberOfTimes(t *testing.T) {
	t.Parallel()
	straight, shuffled := testkit.Postgres(t).Pool, testkit.Postgres(t).Pool
	rapid.Check(t, func(t *rapid.T) {
		for _, pool := range []*pgxpool.Pool{straight, shuffled} {
			_, err := pool.Exec(context.Background(), `TRUNCATE vendor_erp_sync, vendor_erp_sync_event`)
			require.NoError(t, err)
		}
		h := drawHistory(t)
		twice := append(append([]fact{}, h.facts...), h.facts...)
		applyInBatches(t, straight, h.facts)
		applyInBatches(t, shuffled, rapid.Permutation(twice).Draw(t, "order"))
		want := shown(t, straight)
		require.Len(t, want.Timeline, len(h.facts))
		require.Equal(t, want, shown(t, shuffled))
	})
}

// success is the facts of an order that went through at once.
func success(order int) []fact {
	g := openGate(order, 1)
	requested := g.RequestedSync(nil, "evt")
	d := domain.Decide(requested, domain.Outcome{Kind: domain.OutcomeSuccess, Reference: ptr("ERP")}, domain.RetryPolicy{}, began, 0)
	var facts []fact
	for i, step := range []struct {
		topic string
		sync  domain.Sync
	}{
		{event.TopicRequested, requested},
		{event.TopicBeforeSend, domain.Sending(requested, began)},
		{event.TopicAfterSend, d.After},
		{event.TopicSuccess, *d.Terminal},
	} {
		at := began.Add(time.Duration(i) * time.Second)
		facts = append(facts, fact{at: kafka.TopicPartition{Topic: step.topic, Partition: 0}, Fact: domain.Fact{Sync: step.sync, Time: at}})
	}
	return facts
}

// whole is the batch of the facts, each the first of its partition.
func whole(facts []fact) batch {
	b := batch{facts: facts, before: map[kafka.TopicPartition]int64{}, after: map[kafka.TopicPartition]int64{}}
	for _, f := range facts {
		b.before[f.at], b.after[f.at] = 0, f.offset+1
	}
	return b
}

func TestABatchAppliedAgainAfterItsPositionsWereLostChangesNothing(t *testing.T) {
	t.Parallel()
	pool := testkit.Postgres(t).Pool
	s, b := newStore(pool, live), whole(success(0))
	require.NoError(t, s.apply(t.Context(), b))
	want := shown(t, pool)
	require.Len(t, want.Syncs, 1)
	require.Len(t, want.Timeline, 4)
	_, err := pool.Exec(t.Context(), `DELETE FROM projector_position`)
	require.NoError(t, err)
	require.NoError(t, s.apply(t.Context(), b))
	require.Equal(t, want, shown(t, pool))
	require.True(t, s.known, "it looks for each line")
	next := batch{facts: success(1)}
	for i := range next.facts {
		next.facts[i].offset = 1
	}
	require.NoError(t, s.apply(t.Context(), next))
	require.Len(t, shown(t, pool).Timeline, 8)
	require.False(t, s.known, "all lines were new")
}

func TestAnInstanceWhosePositionsWereMovedByAnotherAppliesNothing(t *testing.T) {
	t.Parallel()
	pool := testkit.Postgres(t).Pool
	s, b := newStore(pool, live), whole(success(0))
	require.NoError(t, s.apply(t.Context(), b))
	want := shown(t, pool)
	late := whole(success(0))
	late.facts = success(1)
	require.ErrorIs(t, s.apply(t.Context(), late), errMoved)
	require.Equal(t, want, shown(t, pool))
}

func TestRowsAndPositionsMoveTogetherOrNotAtAll(t *testing.T) {
	t.Parallel()
	pool := testkit.Postgres(t).Pool
	s, b := newStore(pool, live), whole(success(0))
	b.facts[3].Sync.Status = "bogus"
	require.Error(t, s.apply(t.Context(), b))
	require.Equal(t, tables{Syncs: []map[string]any{}, Timeline: []map[string]any{}}, shown(t, pool))
	positions, err := s.positions(t.Context(), pool)
	require.NoError(t, err)
	require.Empty(t, positions)

	b = whole(success(0))
	require.NoError(t, s.apply(t.Context(), b))
	positions, err = s.positions(t.Context(), pool)
	require.NoError(t, err)
	require.Equal(t, b.after, positions)
}
