package scheduler

import (
	"context"
	"log/slog"
	"testing"
	"time"

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
