package deadletter_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/deadletter"
	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// request is the dead letter of the first request of order 1.
func request(id int64, by deadletter.Writer) deadletter.Letter {
	version := domain.RequestVersion(1, 0)
	return deadletter.Letter{
		ID: id, WrittenAt: noon, By: by, Topic: event.TopicRequested, Offset: id, OrderKey: "1", CeID: event.ID("1", version, event.TopicRequested), RecordAt: &noon,
	}
}

func inTx(t *testing.T, pool *pgxpool.Pool, do func(tx pgx.Tx) error) {
	t.Helper()
	require.NoError(t, pgx.BeginFunc(t.Context(), pool, do))
}

func add(t *testing.T, pool *pgxpool.Pool, judging deadletter.Judging, letters ...deadletter.Letter) {
	t.Helper()
	inTx(t, pool, func(tx pgx.Tx) error { return deadletter.Add(t.Context(), tx, letters, judging) })
}

func unjudged(t *testing.T, pool *pgxpool.Pool) (ids []int64) {
	t.Helper()
	letters, err := deadletter.Unjudged(t.Context(), pool, -1, 100)
	require.NoError(t, err)
	for _, l := range letters {
		ids = append(ids, l.ID)
	}
	return ids
}

// Only the dead letter of a chain record, by its own consumer and without an end, may stop an order.
func TestWhichDeadLettersAreJudged(t *testing.T) {
	t.Parallel()
	pool := testkit.Postgres(t).Pool
	change := func(id int64, by deadletter.Writer, how func(l *deadletter.Letter)) deadletter.Letter {
		l := request(id, by)
		how(&l)
		return l
	}
	same := func(*deadletter.Letter) {}
	add(t, pool, deadletter.ToJudge,
		change(0, deadletter.BySyncer, same),
		change(1, deadletter.ByProjector, same),
		change(2, "warehouse", same),
		change(3, deadletter.ByDelayer, same),
		change(4, deadletter.BySyncer, func(l *deadletter.Letter) { l.Ended = true }),
		change(5, deadletter.BySyncer, func(l *deadletter.Letter) { l.CeID = "" }),
		change(6, deadletter.BySyncer, func(l *deadletter.Letter) { l.OrderKey = "2" }),
		change(7, deadletter.BySyncer, func(l *deadletter.Letter) { l.Topic = event.TopicBeforeSend }),
		change(8, deadletter.ByDelayer, func(l *deadletter.Letter) {
			l.Topic, l.CeID = event.RetryTiers[0].Topic, event.ID("1", domain.AttemptVersion(1, 1, domain.PhaseAfter), event.TypeRetry)
		}),
		change(9, deadletter.BySyncer, func(l *deadletter.Letter) {
			l.Topic, l.CeID = event.TopicDue, event.ID("1", domain.AttemptVersion(1, 1, domain.PhaseAfter), event.TypeRetry)
		}),
	)
	require.Equal(t, []int64{0, 8, 9}, unjudged(t, pool))
	add(t, pool, deadletter.WithoutEffect, request(10, deadletter.BySyncer))
	require.Equal(t, []int64{0, 8, 9}, unjudged(t, pool), "what a rebuild adds did its work before")
	letters, err := deadletter.Unjudged(t.Context(), pool, 0, 1)
	require.NoError(t, err)
	require.Len(t, letters, 1)
	require.EqualValues(t, 8, letters[0].ID, "after an id, and no more than the limit")
}

func TestOfTwoOfOneRecordTheFirstStays(t *testing.T) {
	t.Parallel()
	pool := testkit.Postgres(t).Pool
	second := request(2, deadletter.BySyncer)
	second.Offset = 1 // the record of the first
	other := request(3, deadletter.ByProjector)
	other.Offset = 1 // by another consumer
	first := request(1, deadletter.BySyncer)
	add(t, pool, deadletter.ToJudge, first, second, other)
	changed := first
	changed.Reason = "another"
	add(t, pool, deadletter.ToJudge, changed)
	kept, err := deadletter.Between(t.Context(), pool, 0, 100)
	require.NoError(t, err)
	require.Equal(t, []deadletter.Letter{first, other}, kept)
	left, err := deadletter.WithoutKnown(t.Context(), pool, []deadletter.Letter{first, second, other})
	require.NoError(t, err)
	require.Equal(t, []deadletter.Letter{first, other}, left, "the second is known by the first")
	left, err = deadletter.WithoutKnown(t.Context(), pool, nil)
	require.NoError(t, err)
	require.Empty(t, left)
}

func TestAJudgementIsMadeOnce(t *testing.T) {
	t.Parallel()
	pool := testkit.Postgres(t).Pool
	add(t, pool, deadletter.ToJudge, request(0, deadletter.BySyncer), request(1, deadletter.BySyncer))
	judge := func(id int64, generation *int) (first bool) {
		inTx(t, pool, func(tx pgx.Tx) (err error) {
			first, err = deadletter.Judged(t.Context(), tx, id, generation)
			return err
		})
		return first
	}
	require.True(t, judge(0, new(1)))
	require.False(t, judge(0, new(2)), "somebody else was first")
	require.True(t, judge(1, nil))
	require.False(t, judge(99, nil), "there is none")
	require.Empty(t, unjudged(t, pool))
	e, err := deadletter.Get(t.Context(), pool, 0)
	require.NoError(t, err)
	require.Equal(t, 1, *e.Generation)
}

// After a restore gates are there that were missing. What has stopped an order, or was decided about, is not judged again.
func TestRecheck(t *testing.T) {
	t.Parallel()
	pool := testkit.Postgres(t).Pool
	old := request(0, deadletter.BySyncer)
	old.WrittenAt = noon.Add(-time.Hour)
	add(t, pool, deadletter.ToJudge, old)
	for id := int64(1); id < 5; id++ {
		add(t, pool, deadletter.ToJudge, request(id, deadletter.BySyncer))
	}
	add(t, pool, deadletter.ToJudge, request(5, deadletter.ByProjector))
	inTx(t, pool, func(tx pgx.Tx) error {
		for id := int64(0); id < 4; id++ {
			generation := map[int64]*int{1: new(1)}[id]
			if _, err := deadletter.Judged(t.Context(), tx, id, generation); err != nil {
				return err
			}
		}
		return deadletter.Decide(t.Context(), tx, 2, deadletter.Decision{State: deadletter.Discarded, By: "me", Why: "why", At: noon})
	})
	require.Equal(t, []int64{4}, unjudged(t, pool))
	require.NoError(t, deadletter.Recheck(t.Context(), pool, noon))
	require.Equal(t, []int64{3, 4}, unjudged(t, pool), "0 is older, 1 has stopped an order, 2 is decided, 5 stops none")
}

func TestADecisionIsKeptAndMadeOnce(t *testing.T) {
	t.Parallel()
	pool := testkit.Postgres(t).Pool
	add(t, pool, deadletter.ToJudge, request(0, deadletter.BySyncer), request(1, deadletter.BySyncer), request(2, deadletter.BySyncer))
	inTx(t, pool, func(tx pgx.Tx) error {
		e, err := deadletter.Lock(t.Context(), tx, 0)
		if err != nil {
			return err
		}
		require.Equal(t, deadletter.Open, e.State)
		return deadletter.Decide(t.Context(), tx, 0, deadletter.Decision{State: deadletter.Redriven, By: "me", Why: "mended", At: noon})
	})
	inTx(t, pool, func(tx pgx.Tx) error {
		return deadletter.Decide(t.Context(), tx, 0, deadletter.Decision{State: deadletter.Discarded, By: "you", Why: "late", At: noon.Add(time.Hour)})
	})
	e, err := deadletter.Get(t.Context(), pool, 0)
	require.NoError(t, err)
	require.Equal(t, []any{deadletter.Redriven, "me", "mended", noon}, []any{e.State, *e.DecidedBy, *e.Decision, *e.DecidedAt})

	inTx(t, pool, func(tx pgx.Tx) error {
		for id, generation := range map[int64]int{0: 1, 1: 1, 2: 2} {
			if _, err := deadletter.Judged(t.Context(), tx, id, &generation); err != nil {
				return err
			}
		}
		return deadletter.DiscardOf(t.Context(), tx, "1", 1, deadletter.Decision{By: "me", Why: "resync", At: noon})
	})
	n, err := deadletter.CountOpen(t.Context(), pool)
	require.NoError(t, err)
	require.EqualValues(t, 1, n, "the one of another generation")
	e, err = deadletter.Get(t.Context(), pool, 1)
	require.NoError(t, err)
	require.Equal(t, []any{deadletter.Discarded, "resync"}, []any{e.State, *e.Decision})
	e, err = deadletter.Get(t.Context(), pool, 0)
	require.NoError(t, err)
	require.Equal(t, deadletter.Redriven, e.State, "what was redriven stays so")
}

// A rebuild corrects what the table says of a dead letter. What an operator has decided is in no topic.
func TestMendKeepsDecisions(t *testing.T) {
	t.Parallel()
	pool := testkit.Postgres(t).Pool
	wrong := request(0, deadletter.BySyncer)
	wrong.Reason, wrong.OrderKey = "wrong", "x"
	add(t, pool, deadletter.ToJudge, wrong)
	inTx(t, pool, func(tx pgx.Tx) error {
		return deadletter.Decide(t.Context(), tx, 0, deadletter.Decision{State: deadletter.Discarded, By: "me", Why: "why", At: noon})
	})
	right, missing := request(0, deadletter.BySyncer), request(1, deadletter.BySyncer)
	inTx(t, pool, func(tx pgx.Tx) error {
		return deadletter.Mend(context.WithoutCancel(t.Context()), tx, []deadletter.Letter{right, missing})
	})
	e, err := deadletter.Get(t.Context(), pool, 0)
	require.NoError(t, err)
	require.Equal(t, right, e.Letter)
	require.Equal(t, deadletter.Discarded, e.State)
	e, err = deadletter.Get(t.Context(), pool, 1)
	require.NoError(t, err)
	require.Equal(t, missing, e.Letter)
	require.NotContains(t, unjudged(t, pool), int64(1), "it stopped its order when it came first")
}
