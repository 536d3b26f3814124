package bulk

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/setting"
	"github.com/erpconnector/erpconnector/shared/syncs"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

func TestAJobSelectsGivesTheCommandAndEnds(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.orders("default", 1, 30, domain.Failed)
	b.orders("outlet", 101, 5, domain.Failed)
	b.runner.page = 7
	j := b.start(Plan{Command: Resync, Reason: "mended", Source: "default", Filter: failedOf("default")})
	require.Equal(t, Selecting, j.State)
	b.steps()
	require.Equal(t, [6]int64{30, 0, 30, 0, 0, 0}, b.counts(j.ID))
	b.end(domain.Success, 20)
	b.steps()
	require.Equal(t, [6]int64{30, 0, 10, 20, 0, 0}, b.counts(j.ID))
	b.end(domain.Failed, 100)
	b.orders("default", 50, 5, domain.Failed) // too late
	b.steps()
	require.Equal(t, [6]int64{30, 0, 0, 20, 10, 0}, b.counts(j.ID))
	require.Equal(t, Done, b.job(j.ID).State)
	require.Equal(t, map[Result]int{Succeeded: 20, Failed: 10}, b.ends)
	require.Len(t, b.commands(), 30, "those that failed again do not come again")
	items, err := b.store.Results(t.Context(), j.ID, 28, "", 10)
	require.NoError(t, err)
	require.Len(t, items, 2)
	require.Equal(t, Item{
		Place: 30, SyncID: 30, Source: "default", OrderIncrementID: "100030", Result: Failed, Generation: new(2), Status: new(domain.Failed), LastError: new("again"),
	}, items[1])
	items, err = b.store.Results(t.Context(), j.ID, 0, Succeeded, 100)
	require.NoError(t, err)
	require.Len(t, items, 20)
}

// The log of each order names who, which job, and why.
func TestFactsNameTheJob(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.orders("default", 1, 1, domain.Failed)
	j := b.start(Plan{Command: Resync, Reason: "mended", SyncIDs: []int64{1}})
	b.steps()
	var payload []byte
	require.NoError(t, b.pool.QueryRow(t.Context(), `SELECT payload FROM erp_outbox`).Scan(&payload))
	v, err := event.DecodeSync(payload)
	require.NoError(t, err)
	require.Equal(t, fmt.Sprintf("resync by jane: bulk job %d: mended", j.ID), v.Sync.Cause)
}

func TestWhatIsRefusedKeepsNobody(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.orders("default", 1, 2, domain.Failed)
	b.orders("default", 11, 3, domain.Success)
	b.exec(`DELETE FROM erp_sync_gate WHERE sync_id = 13`)
	j := b.start(Plan{Command: Resync, Canary: 2, Filter: &syncs.Filter{Source: "default"}})
	b.steps()
	b.end(domain.Success, 100)
	b.steps()
	require.Equal(t, Done, b.job(j.ID).State, "a refusal is no failure of the canary")
	require.Equal(t, [6]int64{5, 0, 0, 2, 0, 3}, b.counts(j.ID))
	items, err := b.store.Results(t.Context(), j.ID, 0, Refused, 100)
	require.NoError(t, err)
	require.Equal(t, []string{"order_success", "order_success", "order_not_found"}, []string{*items[0].Code, *items[1].Code, *items[2].Code})
	require.Equal(t, 3, b.ends[Refused])

	again := b.start(Plan{Command: Resync, NewKey: true, Reason: "the ERP lost them", SyncIDs: []int64{11, 12}})
	b.steps()
	require.Equal(t, [6]int64{2, 0, 2, 0, 0, 0}, b.counts(again.ID), "with a new key what has reached the ERP is sent again")
}

func TestSettlementsEndAtOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.orders("default", 1, 250, domain.Failed)
	b.orders("default", 301, 3, domain.Pending)
	b.settings.Change(func(s *setting.Settings) { s.Enabled = false })
	settle := b.start(Plan{Command: Settle, Reason: "booked by hand", Filter: failedOf("")})
	sendNow := b.start(Plan{Command: SendNow, Reason: "now", SyncIDs: []int64{303}})
	cancel := b.start(Plan{Command: Cancel, Reason: "a test", SyncIDs: []int64{301, 302}})
	b.steps()
	require.Equal(t, [6]int64{250, 0, 0, 250, 0, 0}, b.counts(settle.ID))
	require.Equal(t, [6]int64{2, 0, 0, 2, 0, 0}, b.counts(cancel.ID))
	require.Equal(t, Done, b.job(cancel.ID).State)
	require.Equal(t, [6]int64{1, 1, 0, 0, 0, 0}, b.counts(sendNow.ID), "what sends waits until the connector is on")
	b.settings.Change(func(s *setting.Settings) { s.Enabled = true })
	b.steps()
	require.Equal(t, [6]int64{1, 0, 1, 0, 0, 0}, b.counts(sendNow.ID))
}

// New orders of shops wait behind some orders of bulk jobs at most, however many jobs there are.
func TestAFewOrdersAreUnderWayAtOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.orders("default", 1, 40, domain.Failed)
	b.orders("outlet", 101, 40, domain.Failed)
	b.runner.underWay, b.runner.parked = 10, 3
	one := b.start(Plan{Command: Resync, Filter: failedOf("default")})
	two := b.start(Plan{Command: Resync, Filter: failedOf("outlet")})
	b.steps()
	require.Equal(t, []int64{5, 5}, []int64{b.job(one.ID).Sent, b.job(two.ID).Sent}, "in equal parts")
	b.end(domain.Success, 4)
	b.steps()
	require.EqualValues(t, 10, b.job(one.ID).Sent+b.job(two.ID).Sent)
	_, err := b.store.Change(t.Context(), two.ID, Stop, "jane", "")
	require.NoError(t, err)
	b.steps()
	require.EqualValues(t, 10, b.job(one.ID).Sent+b.job(two.ID).Sent, "orders of a stopped job count until they have ended")

	park := func(n int) {
		b.exec(`UPDATE vendor_erp_sync v SET status = 'queued', generation = g.generation, next_attempt_at = $2 FROM erp_sync_gate g
			WHERE g.sync_id = v.sync_id AND v.sync_id IN (SELECT sync_id FROM bulk_item WHERE result = 'sent' ORDER BY sync_id LIMIT $1)`, n, b.clock.Add(time.Hour))
	}
	park(2)
	b.steps()
	require.EqualValues(t, 12, b.job(one.ID).Sent+b.job(two.ID).Sent, "one that waits for a retry keeps nobody")
	park(3)
	b.steps()
	require.EqualValues(t, 12, b.job(one.ID).Sent+b.job(two.ID).Sent, "unless there are many")
}

func TestTheCanaryGoesFirst(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.orders("default", 1, 20, domain.Failed)
	j := b.start(Plan{Command: Resync, Canary: 3, Filter: failedOf("")})
	b.steps()
	require.Equal(t, [6]int64{20, 17, 3, 0, 0, 0}, b.counts(j.ID))
	b.end(domain.Success, 2)
	b.steps()
	require.Equal(t, [6]int64{20, 17, 1, 2, 0, 0}, b.counts(j.ID), "all of them must succeed first")
	b.end(domain.Success, 1)
	b.steps()
	require.Equal(t, CanaryPassed, b.job(j.ID).CanaryIs)
	require.Equal(t, [6]int64{20, 0, 17, 3, 0, 0}, b.counts(j.ID))
}

func TestACanaryThatFailsPausesTheJob(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.orders("default", 1, 20, domain.Failed)
	j := b.start(Plan{Command: Resync, Canary: 3, Filter: failedOf("")})
	b.steps()
	b.end(domain.Failed, 1)
	b.steps()
	b.end(domain.Success, 2)
	b.steps()
	got := b.job(j.ID)
	require.Equal(t, Paused, got.State)
	require.Equal(t, CanaryFailed, got.CanaryIs)
	require.Contains(t, *got.Why, "of the 3 orders that must succeed first, 1 failed")
	require.Equal(t, [6]int64{20, 17, 0, 2, 1, 0}, b.counts(j.ID))
	got, err := b.store.Change(t.Context(), j.ID, Resume, "jane", "it is known")
	require.NoError(t, err)
	require.Equal(t, CanaryWaived, got.CanaryIs)
	b.steps()
	require.Equal(t, [6]int64{20, 0, 17, 2, 1, 0}, b.counts(j.ID))
}

// Where nobody is left to protect, a failed canary is a result like any other.
func TestACanaryOfAllOrdersPausesNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.orders("default", 1, 2, domain.Failed)
	j := b.start(Plan{Command: Resync, Canary: 10, Filter: failedOf("")})
	b.steps()
	b.end(domain.Failed, 2)
	b.steps()
	require.Equal(t, Done, b.job(j.ID).State)
}

func TestAJobIsPausedResumedAndStopped(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.orders("default", 1, 20, domain.Failed)
	b.runner.page, b.runner.underWay = 4, 5
	change := func(id int64, c Change) Job {
		j, err := b.store.Change(t.Context(), id, c, "joe", "the ERP's people ask us to")
		require.NoError(t, err)
		return j
	}
	j := b.start(Plan{Command: Resync, Filter: failedOf("")})
	b.step(b.runner)
	require.Equal(t, Paused, change(j.ID, Pause).State)
	b.steps()
	require.EqualValues(t, 4, b.job(j.ID).Selected, "it selects no more")
	require.Equal(t, Selecting, change(j.ID, Resume).State)
	b.steps()
	require.Equal(t, [6]int64{20, 15, 5, 0, 0, 0}, b.counts(j.ID))
	paused := change(j.ID, Pause)
	require.Equal(t, "joe", paused.ChangedBy)
	require.Equal(t, paused, change(j.ID, Pause), "twice is once")
	b.end(domain.Success, 5)
	b.steps()
	require.Equal(t, [6]int64{20, 15, 0, 5, 0, 0}, b.counts(j.ID), "what is under way goes on to its end")
	require.Equal(t, Running, change(j.ID, Resume).State)
	b.steps()
	require.Equal(t, Stopped, change(j.ID, Stop).State)
	b.end(domain.Success, 5)
	b.steps()
	require.Equal(t, [6]int64{20, 10, 0, 10, 0, 0}, b.counts(j.ID))
	var state *StateError
	_, err := b.store.Change(t.Context(), j.ID, Resume, "joe", "")
	require.ErrorAs(t, err, &state)
	require.Equal(t, Stopped, state.Job.State)
	_, err = b.store.Change(t.Context(), 999, Stop, "joe", "")
	require.ErrorIs(t, err, ErrUnknown)
}

// A pause is in force once it was answered, also for a process that has looked at the job before.
func TestAPauseStopsAProcessThatDoesNotKnowOfIt(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.orders("default", 1, 5, domain.Failed)
	j := b.start(Plan{Command: Resync, Filter: failedOf("")})
	b.runner.underWay = 0
	b.steps()
	stale := b.job(j.ID)
	_, err := b.store.Change(t.Context(), j.ID, Pause, "joe", "")
	require.NoError(t, err)
	given, sent, err := b.runner.give(t.Context(), stale, 5)
	require.NoError(t, err)
	require.Zero(t, given+sent)
	require.Empty(t, b.commands())
}

// A newer resync by somebody else takes the order over: the job's own generation has not succeeded.
func TestASupersededOrderHasFailed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.orders("default", 1, 1, domain.Failed)
	j := b.start(Plan{Command: Resync, Filter: failedOf("")})
	b.steps()
	b.exec(`UPDATE vendor_erp_sync SET generation = 3, status = 'success'`)
	b.steps()
	items, err := b.store.Results(t.Context(), j.ID, 0, "", 1)
	require.NoError(t, err)
	require.Equal(t, Failed, items[0].Result)
	require.Equal(t, "superseded", *items[0].Code)
}

// Whatever is broken off, paused or done twice: each order gets the command once, and the job knows of each that has got it.
func TestEachOrderGetsTheCommandOnce(t *testing.T) {
	t.Parallel()
	pool := testkit.Postgres(t).Pool
	rapid.Check(t, func(t *rapid.T) {
		b := newBench(t, pool)
		for _, table := range []string{
			"bulk_job", "bulk_item", "bulk_preview", "erp_outbox", "erp_sync_gate", "sales_order", "vendor_erp_sync", "vendor_erp_sync_error", "vendor_erp_sync_error_group",
			"vendor_erp_sync_count",
		} {
			b.exec(`DELETE FROM ` + table)
		}
		n := rapid.IntRange(1, 25).Draw(t, "orders")
		b.orders("default", 1, n, domain.Failed)
		second := b.another()
		for _, r := range []*Runner{b.runner, second} {
			r.page, r.underWay = rapid.IntRange(1, 10).Draw(t, "page"), rapid.IntRange(1, 10).Draw(t, "under way")
		}
		j := b.start(Plan{Command: Resync, Canary: rapid.IntRange(0, 3).Draw(t, "canary"), Filter: failedOf("")})
		for range rapid.IntRange(1, 30).Draw(t, "moves") {
			b.move(t, second, j.ID)
		}
		b.settle(j.ID)
		got := b.job(j.ID)
		require.Equal(t, Done, got.State)
		require.EqualValues(t, n, got.Selected)
		require.EqualValues(t, n, got.Succeeded+got.Failed)
		commands := b.commands()
		require.Len(t, commands, n)
		for key, times := range commands {
			require.Equal(t, 1, times, key)
		}
	})
}

// move makes one move of a job's life.
func (b *bench) move(t *rapid.T, second *Runner, id int64) {
	switch rapid.SampledFrom([]string{"work", "work", "together", "break off", "succeed", "fail", "pause", "resume"}).Draw(t, "move") {
	case "work":
		b.step(b.runner)
	case "together":
		b.together(second)
	case "break off":
		ctx, cancel := context.WithTimeout(context.Background(), time.Duration(rapid.IntRange(0, 20).Draw(t, "after"))*time.Millisecond)
		defer cancel()
		_, _ = second.Step(ctx) // it is killed: what it says is lost
	case "succeed":
		b.end(domain.Success, rapid.IntRange(1, 9).Draw(t, "ends"))
	case "fail":
		b.end(domain.Failed, rapid.IntRange(1, 3).Draw(t, "ends"))
	case "pause":
		_, _ = b.store.Change(context.Background(), id, Pause, "joe", "")
	case "resume":
		_, _ = b.store.Change(context.Background(), id, Resume, "joe", "")
	}
}

// together lets two processes work at once, as when one has lost its lease and does not know it.
func (b *bench) together(second *Runner) {
	var both sync.WaitGroup
	for _, r := range []*Runner{b.runner, second} {
		both.Go(func() {
			_, err := r.Step(context.Background())
			if err != nil {
				panic(err)
			}
		})
	}
	both.Wait()
}

// settle brings a job to its end.
func (b *bench) settle(id int64) {
	for steps := 0; b.job(id).State != Done; steps++ {
		require.Less(b.t, steps, 200, "the job does not end: %v", b.job(id))
		_, _ = b.store.Change(context.Background(), id, Resume, "joe", "")
		b.step(b.runner)
		b.end(domain.Success, 100)
	}
}

// Two processes that race for the same orders share them: none gets the command twice, and no error comes of it.
func TestTwoProcessesShareAJob(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.orders("default", 1, 60, domain.Failed)
	j := b.start(Plan{Command: Resync, Filter: failedOf("")})
	second := b.another()
	for range 5 {
		b.together(second)
	}
	require.Len(t, b.commands(), 60)
	for key, times := range b.commands() {
		require.Equal(t, 1, times, key)
	}
	require.Equal(t, [6]int64{60, 0, 60, 0, 0, 0}, b.counts(j.ID))
}

// The window and the selection are walked along indexes, however many jobs and orders there are (ADR 0005).
func TestWhatRunsEachMomentScansNoTable(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.exec(`INSERT INTO bulk_item (job_id, place, sync_id, source, order_increment_id, result)
		SELECT 1, i, i, 'default', i::text, CASE WHEN i % 1000 = 0 THEN 'sent' ELSE 'succeeded' END FROM generate_series(1, 50000) AS i`)
	for name, query := range map[string]string{
		"ends":  endsQuery,
		"given": `SELECT place, source, order_increment_id FROM bulk_item WHERE job_id = $1 AND result = 'waiting' ORDER BY place LIMIT 100`,
	} {
		plan := explain(t, b.pool, query)
		require.NotContains(t, plan, "Seq Scan on bulk_item", name)
		require.NotContains(t, plan, "Seq Scan on vendor_erp_sync", name)
	}
}

func explain(t *testing.T, pool *pgxpool.Pool, query string) (plan string) {
	t.Helper()
	rows, err := pool.Query(t.Context(), `EXPLAIN `+query, 1)
	require.NoError(t, err)
	defer rows.Close()
	for rows.Next() {
		var line string
		require.NoError(t, rows.Scan(&line))
		plan += line + "\n"
	}
	require.NoError(t, rows.Err())
	return plan
}
