package audits

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/testkit"
)

// here carries a run out as a command does, and requires that the table tells of it.
func (b *bench) here(ctx context.Context, work Work) (Result, error) {
	return b.RunHere(ctx, Plan{Kind: Audit, Source: new("outlet")}, "jane", work, func(err error) { require.NoError(b.t, err) })
}

func (b *bench) newest() Run {
	b.t.Helper()
	runs, _, err := b.List(b.t.Context(), Listing{Limit: 1})
	require.NoError(b.t, err)
	return b.get(runs[0].ID)
}

func (b *bench) exec(sql string) {
	b.t.Helper()
	_, err := b.pool.Exec(b.t.Context(), sql)
	require.NoError(b.t, err)
}

// A command's run stands in the table while it is under way and afterwards, beside the scheduler's, which nobody has to wait for.
func TestACommandsRunStandsInTheTable(t *testing.T) {
	t.Parallel()
	b := setup(t)
	other := b.start(Verify)
	result, err := b.here(t.Context(), func(_ context.Context, _ Plan, progress func(done, of int64)) (Result, error) {
		progress(5, 10)
		testkit.Eventually(t, func() bool { return b.newest().Done == 5 }, "how far it is shows meanwhile")
		got := b.newest()
		require.Equal(t, []any{Running, ByCommand, "jane", "outlet", 1}, []any{got.State, got.MadeBy, got.AskedBy, *got.Source, got.Begun})
		atWork, err := b.EndLeft(t.Context())
		require.NoError(t, err)
		require.Equal(t, 1, atWork)
		return found(1), nil
	})
	require.NoError(t, err)
	require.EqualValues(t, 1, result.Found)
	got := b.newest()
	require.Equal(t, []any{Done, int64(1), int64(10), int64(10)}, []any{got.State, got.Found, got.Done, got.Of})
	require.NotNil(t, got.StartedAt)
	require.False(t, got.EndedAt.Before(*got.StartedAt))
	require.Equal(t, []any{Queued, ByScheduler}, []any{b.get(other.ID).State, b.get(other.ID).MadeBy}, "the other one waits as before")

	_, err = b.here(t.Context(), func(context.Context, Plan, func(done, of int64)) (Result, error) {
		return Result{}, errors.New("Kafka does not answer")
	})
	require.EqualError(t, err, "Kafka does not answer")
	require.Equal(t, []any{Failed, "could not tell: Kafka does not answer"}, []any{b.newest().State, *b.newest().Error})
}

// The scheduler begins what was asked of it alone, though a command is at work, and another run can be asked for.
func TestTheSchedulerLeavesACommandsRunAlone(t *testing.T) {
	t.Parallel()
	b := setup(t)
	_, err := b.here(t.Context(), func(context.Context, Plan, func(done, of int64)) (Result, error) {
		did, err := b.runner(nil).Step(t.Context())
		require.NoError(t, err)
		require.False(t, did)
		asked := b.start(Verify)
		b.step(b.runner(func(context.Context, Plan, func(done, of int64)) (Result, error) { return found(0), nil }))
		require.Equal(t, Done, b.get(asked.ID).State)
		return found(0), nil
	})
	require.NoError(t, err)
}

// A command that is stopped says so; one that somebody cancels stops, and says who.
func TestACommandThatStops(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx, stop := context.WithCancel(t.Context())
	_, err := b.here(ctx, func(ctx context.Context, _ Plan, _ func(done, of int64)) (Result, error) {
		stop()
		return Result{}, ctx.Err()
	})
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, []any{Cancelled, "jane stopped the command before it was done"}, []any{b.newest().State, *b.newest().Error})

	_, err = b.here(t.Context(), func(ctx context.Context, _ Plan, _ func(done, of int64)) (Result, error) {
		_, err := b.Cancel(ctx, b.newest().ID, "joe", "it is day")
		require.NoError(t, err)
		<-ctx.Done()
		return Result{}, ctx.Err()
	})
	require.EqualError(t, err, "cancelled by joe: it is day")
	require.Equal(t, []any{Cancelled, "cancelled by joe: it is day"}, []any{b.newest().State, *b.newest().Error})
}

// A command that was killed says nothing any more: its run does not stand as running for ever.
func TestACommandThatWasKilledHasFailed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.exec(`INSERT INTO audit_run (kind, reason, asked_by, asked_at, state, started_at, begun, made_by, seen_at)
		VALUES ('audit', '', 'jane', now(), 'running', now() - interval '1 h', 1, 'command', now() - interval '50 s')`)
	atWork, err := b.EndLeft(t.Context())
	require.NoError(t, err)
	require.Equal(t, 1, atWork, "it is not silent for long enough")
	require.Equal(t, Running, b.newest().State)
	b.exec(`UPDATE audit_run SET seen_at = now() - interval '61 s'`)
	atWork, err = b.EndLeft(t.Context())
	require.NoError(t, err)
	require.Zero(t, atWork)
	got := b.newest()
	require.Equal(t, []any{Failed, leftBehind}, []any{got.State, *got.Error})
	require.InDelta(t, (time.Hour - 61*time.Second).Seconds(), got.EndedAt.Sub(*got.StartedAt).Seconds(), 5, "it ended when it was seen last")
}

// A command that was only stopped for a while goes on with its run.
func TestACommandThatWasAsleepGoesOn(t *testing.T) {
	t.Parallel()
	b := setup(t)
	_, err := b.here(t.Context(), func(context.Context, Plan, func(done, of int64)) (Result, error) {
		b.exec(`UPDATE audit_run SET state = 'failed', ended_at = now(), error = 'it was killed'`)
		testkit.Eventually(t, func() bool { return b.newest().State == Running }, "its run has failed for good")
		require.Nil(t, b.newest().Error)
		b.exec(`UPDATE audit_run SET state = 'failed', ended_at = now(), error = 'it was killed'`)
		return found(2), nil
	})
	require.NoError(t, err)
	require.Equal(t, []any{Done, int64(2)}, []any{b.newest().State, b.newest().Found})
}

// A role that may only read audits all the same, and the reason why the table does not tell of it is a short one.
func TestACommandThatMayOnlyRead(t *testing.T) {
	t.Parallel()
	b := setup(t)
	reader := testkit.PoolOf(t, b.pool.Config().ConnString()+"&role=pg_read_all_data")
	var told []string
	result, err := NewStore(reader).RunHere(t.Context(), Plan{Kind: Verify}, "jane", func(_ context.Context, _ Plan, progress func(done, of int64)) (Result, error) {
		progress(1, 2)
		return found(1), nil
	}, func(err error) { told = append(told, err.Error()) })
	require.NoError(t, err)
	require.EqualValues(t, 1, result.Found)
	require.Equal(t, []string{"permission denied for table audit_run"}, told)
	runs, _, err := b.List(t.Context(), Listing{Limit: 1})
	require.NoError(t, err)
	require.Empty(t, runs)
}
