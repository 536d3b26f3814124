package scheduler

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/audits"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/setting"
	"github.com/erpconnector/erpconnector/shared/setting/settingtest"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// A run that is asked for begins as soon as somebody leads, one that a leader has left is begun again by the next one, and what an audit
// found stands where the alerter looks.
func TestAuditsAreCarriedOutByWhoLeads(t *testing.T) {
	t.Parallel()
	pool := testkit.Postgres(t).Pool
	store := audits.NewStore(pool)
	begun := make(chan struct{})
	broken := audits.Result{At: new(time.Now().UTC()), Counts: map[string]int64{"accepted": 1}}
	broken.Add(audits.Finding{Kind: "row_not_in_kafka", Means: "it is lost"})
	lead := func(work audits.Work) (stop func()) {
		ctx, cancel := context.WithCancel(t.Context())
		s := New(pool, kafka.Config{}, settingtest.New(setting.Defaults()), audits.Works{audits.Audit: work, audits.Verify: work}, slog.New(slog.DiscardHandler))
		ended := make(chan error, 1)
		go func() { ended <- s.Run(ctx) }()
		return func() {
			cancel()
			require.NoError(t, <-ended)
		}
	}
	state := func(id int64, want audits.State) {
		t.Helper()
		testkit.Eventually(t, func() bool {
			r, err := store.Get(t.Context(), id)
			require.NoError(t, err)
			return r.State == want
		}, "run %d becomes %s", id, want)
	}
	ask := func(k audits.Kind) int64 {
		r, err := store.Start(t.Context(), audits.Plan{Kind: k}, "jane")
		require.NoError(t, err)
		return r.ID
	}
	breaks := func() (n int) {
		require.NoError(t, pool.QueryRow(t.Context(), `SELECT coalesce(sum(breaks), -1) FROM alert_audit`).Scan(&n))
		return n
	}

	first := ask(audits.Audit)
	stop := lead(func(ctx context.Context, _ audits.Plan, _ func(done, of int64)) (audits.Result, error) {
		close(begun)
		<-ctx.Done()
		return audits.Result{}, ctx.Err()
	})
	testkit.Await(t, begun)
	stop()
	state(first, audits.Running)

	stop = lead(func(context.Context, audits.Plan, func(done, of int64)) (audits.Result, error) { return broken, nil })
	defer stop()
	state(first, audits.Done)
	require.Equal(t, 1, breaks())
	broken.Found = 0
	state(ask(audits.Verify), audits.Done)
	require.Equal(t, 1, breaks(), "an alert is about audits")
	state(ask(audits.Audit), audits.Done)
	require.Equal(t, 0, breaks())
}

// lookout is an auditRuns that nobody runs: a test says when it looks.
func lookout(t *testing.T, pool *pgxpool.Pool, settings setting.Reader) *auditRuns {
	t.Helper()
	nothing := func(context.Context, audits.Plan, func(done, of int64)) (audits.Result, error) {
		return audits.Result{At: new(time.Now().UTC()), Counts: map[string]int64{"accepted": 1}}, nil
	}
	return newAuditRuns(pool, settings, audits.Works{audits.Audit: nothing, audits.Verify: nothing}, slog.New(slog.DiscardHandler))
}

// With audit_interval the scheduler audits by itself: once, however long nothing ran, and again only when it is due once more.
func TestAnAuditThatIsDueIsMadeOnce(t *testing.T) {
	t.Parallel()
	pool := testkit.Postgres(t).Pool
	store := audits.NewStore(pool)
	settings := settingtest.New(setting.Defaults())
	a := lookout(t, pool, settings)
	looks := func(told, does bool) {
		t.Helper()
		did, err := a.look(t.Context(), told)
		require.NoError(t, err)
		require.Equal(t, does, did)
	}
	looks(true, false)
	settings.Change(func(s *setting.Settings) { s.AuditInterval = 24 * time.Hour })
	looks(false, true)
	looks(true, false)
	looks(false, false)
	runs, _, err := store.List(t.Context(), audits.Listing{Limit: 10})
	require.NoError(t, err)
	require.Len(t, runs, 1)
	require.Equal(t, []any{audits.Audit, audits.Done, "setting audit_interval"}, []any{runs[0].Kind, runs[0].State, runs[0].AskedBy})

	_, err = pool.Exec(t.Context(), `UPDATE audit_run SET started_at = started_at - interval '9 days', asked_at = asked_at - interval '9 days'`)
	require.NoError(t, err)
	looks(true, true)
	looks(true, false)
	settings.Change(func(s *setting.Settings) { s.AuditInterval = time.Hour })
	looks(false, false)
	_, err = pool.Exec(t.Context(), `UPDATE audit_run SET started_at = started_at - interval '2 hours'`)
	require.NoError(t, err)
	settings.Change(func(s *setting.Settings) { s.AuditInterval = 2 * time.Hour })
	looks(false, true)
}

// At rest the scheduler asks Postgres for nothing: not for what is asked for, as it is told of that, and not whether an audit is due.
func TestAtRestAuditsCostNoStatement(t *testing.T) {
	t.Parallel()
	database := testkit.Postgres(t)
	settings := settingtest.New(setting.Defaults())
	pool := testkit.PoolOf(t, database.URL)
	a := lookout(t, pool, settings)
	for _, interval := range []time.Duration{0, 24 * time.Hour} {
		settings.Change(func(s *setting.Settings) { s.AuditInterval = interval })
		for range 3 { // the first makes the audit that is due, and is told of its end
			_, err := a.look(t.Context(), true)
			require.NoError(t, err)
		}
		before := pool.Stat().AcquireCount()
		for range 100 {
			did, err := a.look(t.Context(), false)
			require.NoError(t, err)
			require.False(t, did)
		}
		require.Equal(t, before, pool.Stat().AcquireCount(), "with an interval of %s", interval)
	}
}

// While a command is at work the leader looks after it, untold: a kill tells nobody.
func TestTheLeaderLooksAfterACommand(t *testing.T) {
	t.Parallel()
	pool := testkit.Postgres(t).Pool
	store := audits.NewStore(pool)
	a := lookout(t, pool, settingtest.New(setting.Defaults()))
	state := func() audits.State {
		runs, _, err := store.List(t.Context(), audits.Listing{Limit: 1})
		require.NoError(t, err)
		return runs[0].State
	}
	silent := func(since string) {
		t.Helper()
		_, err := pool.Exec(t.Context(), `UPDATE audit_run SET seen_at = now() - $1::interval`, since)
		require.NoError(t, err)
	}
	_, err := pool.Exec(t.Context(), `INSERT INTO audit_run (kind, reason, asked_by, asked_at, state, started_at, begun, made_by, seen_at)
		VALUES ('audit', '', 'jane', now(), 'running', now(), 1, 'command', now())`)
	require.NoError(t, err)
	for _, look := range []struct {
		told   bool
		silent string
		want   audits.State
	}{{true, "1 s", audits.Running}, {false, "50 s", audits.Running}, {false, "61 s", audits.Failed}} {
		silent(look.silent)
		_, err := a.look(t.Context(), look.told)
		require.NoError(t, err)
		require.Equal(t, look.want, state(), "silent for %s", look.silent)
	}
	require.Zero(t, a.commands)
}

// The leader ends the run of a command that was killed, as it is told that a command begins. It looks until no command is at work.
func TestTheRunOfAKilledCommandEnds(t *testing.T) {
	t.Parallel()
	database := testkit.Postgres(t)
	store := audits.NewStore(database.Pool)
	s := New(database.Pool, kafka.Config{}, settingtest.New(setting.Defaults()), audits.Works{}, slog.New(slog.DiscardHandler))
	s.audits.interval = 10 * time.Millisecond
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	defer func() {
		cancel()
		require.NoError(t, <-ended)
	}()
	testkit.Eventually(t, func() bool { return leads(t, database.Pool) }, "nobody leads")
	command, kill := context.WithCancel(t.Context())
	other := testkit.PoolOf(t, database.URL)
	_, err := audits.NewStore(other).RunHere(command, audits.Plan{Kind: audits.Verify}, "jane", func(ctx context.Context, _ audits.Plan, _ func(done, of int64)) (audits.Result, error) {
		other.Close() // it says nothing any more, as after a kill
		kill()
		return audits.Result{}, ctx.Err()
	}, func(error) {})
	require.ErrorIs(t, err, context.Canceled)
	newest := func() audits.Run {
		runs, _, err := store.List(t.Context(), audits.Listing{Limit: 1})
		require.NoError(t, err)
		return runs[0]
	}
	require.Equal(t, audits.Running, newest().State)
	_, err = database.Pool.Exec(t.Context(), `UPDATE audit_run SET seen_at = now() - interval '2 minutes'`)
	require.NoError(t, err)
	testkit.Eventually(t, func() bool { return newest().State == audits.Failed }, "it stands as running for ever")
	require.Contains(t, *newest().Error, "it was killed")
}

// leads reports whether a scheduler leads, by its listening.
func leads(t *testing.T, pool *pgxpool.Pool) (yes bool) {
	t.Helper()
	require.NoError(t, pool.QueryRow(t.Context(), `SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND query = $1)`, "LISTEN "+audits.Channel).Scan(&yes))
	return yes
}
