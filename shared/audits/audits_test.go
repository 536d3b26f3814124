package audits

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/erpconnector/erpconnector/shared/testkit"
)

// bench is a store on a database of its own, and a runner whose work a test gives.
type bench struct {
	*Store
	t     *testing.T
	pool  *pgxpool.Pool
	noted []Run
}

func setup(t *testing.T) *bench {
	t.Helper()
	pool := testkit.Postgres(t).Pool
	return &bench{Store: NewStore(pool), t: t, pool: pool}
}

func (b *bench) runner(work Work) *Runner {
	r := NewRunner(b.Store, Works{Audit: work, Verify: work}, slog.New(slog.DiscardHandler), func(_ context.Context, r Run) error {
		b.noted = append(b.noted, r)
		return nil
	})
	r.interval = time.Millisecond
	return r
}

func (b *bench) start(k Kind) Run {
	b.t.Helper()
	r, err := b.Start(b.t.Context(), Plan{Kind: k, Reason: "to see"}, "jane")
	require.NoError(b.t, err)
	return r
}

func (b *bench) get(id int64) Run {
	b.t.Helper()
	r, err := b.Get(b.t.Context(), id)
	require.NoError(b.t, err)
	return r
}

func (b *bench) step(r *Runner) {
	b.t.Helper()
	did, err := r.Step(b.t.Context())
	require.NoError(b.t, err)
	require.True(b.t, did)
}

// found is a result with n findings.
func found(n int) Result {
	r := Result{At: new(time.Now().UTC()), Counts: map[string]int64{"accepted": 12}}
	for range n {
		r.Add(Finding{Kind: "row_not_in_kafka", Source: "default", Order: "000000124", SyncID: 8, Means: "it is lost"})
	}
	return r
}

// A run is done by one who steps: it gets its plan, and keeps what was found, the first findings only.
func TestARunIsCarriedOut(t *testing.T) {
	t.Parallel()
	b := setup(t)
	day := time.Date(2024, 1, 15, 0, 0, 0, 0, time.UTC)
	asked, err := b.Start(t.Context(), Plan{Kind: Audit, From: &day, To: new(day.AddDate(0, 0, 1)), Source: new("outlet"), Reason: "after the move"}, "jane")
	require.NoError(t, err)
	require.Equal(t, Queued, asked.State)
	r := b.runner(func(_ context.Context, p Plan, progress func(done, of int64)) (Result, error) {
		require.True(t, p.From.Equal(day))
		require.Equal(t, "outlet", *p.Source)
		progress(5, 10)
		testkit.Eventually(t, func() bool { return b.get(asked.ID).Done == 5 }, "how far it is shows meanwhile")
		require.Equal(t, Running, b.get(asked.ID).State)
		return found(MaxFindings + 1), nil
	})
	b.step(r)
	got := b.get(asked.ID)
	require.Equal(t, Done, got.State)
	require.Equal(t, []any{"jane", "after the move", 1, int64(10), int64(10)}, []any{got.AskedBy, got.Reason, got.Begun, got.Done, got.Of})
	require.EqualValues(t, MaxFindings+1, got.Found)
	require.Len(t, got.Findings, MaxFindings)
	require.Equal(t, found(1).Findings[0], got.Findings[0])
	require.Equal(t, map[string]int64{"accepted": 12}, got.Counts)
	require.Equal(t, map[string]int64{"row_not_in_kafka": MaxFindings + 1}, got.ByKind)
	require.NotNil(t, got.EndedAt)
	require.Len(t, b.noted, 1)
	require.EqualValues(t, MaxFindings+1, b.noted[0].Found)

	did, err := r.Step(t.Context())
	require.NoError(t, err)
	require.False(t, did, "there is no other")
}

func TestOneRunAtATime(t *testing.T) {
	t.Parallel()
	b := setup(t)
	first := b.start(Audit)
	other, err := b.Start(t.Context(), Plan{Kind: Verify}, "joe")
	require.ErrorIs(t, err, ErrOpen)
	require.Equal(t, first.ID, other.ID, "it says which one is under way")
	b.step(b.runner(func(context.Context, Plan, func(done, of int64)) (Result, error) { return found(0), nil }))
	require.Equal(t, Verify, b.start(Verify).Kind)
}

func TestARunThatCouldNotTellSaysWhy(t *testing.T) {
	t.Parallel()
	b := setup(t)
	asked := b.start(Verify)
	b.step(b.runner(func(context.Context, Plan, func(done, of int64)) (Result, error) {
		return Result{}, errors.New("Kafka does not answer")
	}))
	got := b.get(asked.ID)
	require.Equal(t, Failed, got.State)
	require.Equal(t, "could not tell: Kafka does not answer", *got.Error)
	require.Nil(t, got.Counts)
	require.Empty(t, b.noted)
}

// What is cancelled while it runs stops, and keeps nothing that it would have found; what waits is not begun.
func TestACancelledRunStops(t *testing.T) {
	t.Parallel()
	b := setup(t)
	asked := b.start(Audit)
	b.step(b.runner(func(ctx context.Context, _ Plan, _ func(done, of int64)) (Result, error) {
		_, err := b.Cancel(ctx, asked.ID, "joe", "it is day")
		require.NoError(t, err)
		<-ctx.Done()
		return found(1), nil // it was too late to notice
	}))
	got := b.get(asked.ID)
	require.Equal(t, Cancelled, got.State)
	require.Equal(t, "cancelled by joe: it is day", *got.Error)
	require.Zero(t, got.Found)
	require.Empty(t, b.noted)
	_, err := b.Cancel(t.Context(), asked.ID, "joe", "")
	require.ErrorIs(t, err, ErrEnded)
	_, err = b.Cancel(t.Context(), asked.ID+1, "joe", "")
	require.ErrorIs(t, err, ErrUnknown)

	waits := b.start(Audit)
	_, err = b.Cancel(t.Context(), waits.ID, "joe", "")
	require.NoError(t, err)
	did, err := b.runner(nil).Step(t.Context())
	require.NoError(t, err)
	require.False(t, did)
}

// A process that is killed leaves its run open, and the next one begins it again: but not for ever.
func TestARunThatWasLeftIsBegunAgain(t *testing.T) {
	t.Parallel()
	b := setup(t)
	asked := b.start(Audit)
	for i := range maxBegun {
		ctx, kill := context.WithCancel(t.Context())
		did, err := b.runner(func(context.Context, Plan, func(done, of int64)) (Result, error) {
			kill()
			return Result{}, ctx.Err()
		}).Step(ctx)
		require.NoError(t, err)
		require.True(t, did)
		got := b.get(asked.ID)
		require.Equal(t, []any{Running, i + 1}, []any{got.State, got.Begun})
	}
	did, err := b.runner(nil).Step(t.Context())
	require.NoError(t, err)
	require.False(t, did)
	got := b.get(asked.ID)
	require.Equal(t, Failed, got.State)
	require.Contains(t, *got.Error, "the process that ran it ended before it was done, 3 times")
}

// Old runs go when another one ends; the newest of each kind stays, so that somebody can always say when it was looked last.
func TestOldRunsAreDeleted(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r := b.runner(func(context.Context, Plan, func(done, of int64)) (Result, error) { return found(0), nil })
	for _, k := range []Kind{Audit, Verify, Audit} {
		b.start(k)
		b.step(r)
	}
	_, err := b.pool.Exec(t.Context(), `UPDATE audit_run SET ended_at = ended_at - $1::interval`, Retention+time.Hour)
	require.NoError(t, err)
	last := b.start(Audit)
	b.step(r)
	require.NoError(t, b.Clean(t.Context()))
	runs, more, err := b.List(t.Context(), Listing{Limit: 10})
	require.NoError(t, err)
	require.False(t, more)
	require.Len(t, runs, 2)
	require.Equal(t, []int64{last.ID, 2}, []int64{runs[0].ID, runs[1].ID})

	runs, more, err = b.List(t.Context(), Listing{Limit: 1})
	require.NoError(t, err)
	require.True(t, more)
	runs, _, err = b.List(t.Context(), Listing{Limit: 1, Before: runs[0].ID, Kind: Verify})
	require.NoError(t, err)
	require.EqualValues(t, 2, runs[0].ID)
	require.Nil(t, runs[0].Findings)
}

// Whatever the pieces of work are, a run works at most half of the time, but for one piece and for rests that would be too long.
func TestARunRestsAsLongAsItWorks(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var clock time.Time
		var worked, rested time.Duration
		r := &rests{since: clock, now: func() time.Time { return clock }, sleep: func(_ context.Context, d time.Duration) bool {
			clock, rested = clock.Add(d), rested+d
			return true
		}}
		for _, piece := range rapid.SliceOf(rapid.Int64Range(0, int64(maxRest))).Draw(t, "pieces") {
			clock, worked = clock.Add(time.Duration(piece)), worked+time.Duration(piece)
			r.take(context.Background())
			if worked-rested >= workPiece {
				t.Fatalf("worked %s, rested %s", worked, rested)
			}
		}
	})
}
