package scheduler

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/gate"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/orders"
	"github.com/erpconnector/erpconnector/shared/setting"
	"github.com/erpconnector/erpconnector/shared/setting/settingtest"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// bench is a scheduler whose clock and settings a test moves, on a database of its own.
type bench struct {
	*Scheduler
	pool  *pgxpool.Pool
	clock time.Time
	put   int
}

func setup(t *testing.T) (*bench, *settingtest.Changeable) {
	t.Helper()
	settings := settingtest.New(setting.Defaults())
	b := &bench{pool: testkit.Postgres(t).Pool, clock: at("2024-01-15 10:30:00")}
	b.Scheduler = b.another(settings)
	return b, settings
}

// another is one more scheduler at the same clock.
func (b *bench) another(settings setting.Reader) *Scheduler {
	s := New(b.pool, kafka.Config{}, settings, nil, slog.New(slog.DiscardHandler))
	s.now = func() time.Time { return b.clock }
	return s
}

// hold puts n orders.
func (b *bench) hold(t *testing.T, by domain.HeldBy, n int) {
	t.Helper()
	require.NoError(t, pgx.BeginFunc(t.Context(), b.pool, func(tx pgx.Tx) error {
		var refs []domain.OrderRef
		for range n {
			b.put++
			refs = append(refs, domain.OrderRef{Source: "default", IncrementID: fmt.Sprint(100_000 + b.put)})
		}
		gates, err := gate.Lock(t.Context(), tx, refs, b.clock)
		require.NoError(t, err)
		var requested []domain.Gate
		for i, ref := range refs {
			syncID := b.put - n + i + 1
			g, _ := gates[ref.Key()].Request(int64(syncID), domain.RequestPolicy{Enabled: by == domain.HeldByCron, MaxAttempts: 3}, b.clock)
			requested = append(requested, g)
			_, err := tx.Exec(t.Context(), `INSERT INTO sales_order (order_key, source, increment_id, snapshot, created_at, updated_at)
				VALUES ($1, 'default', $1, $2, now(), now())`, ref.IncrementID, json.RawMessage(`{"order_increment_id": "x"}`))
			require.NoError(t, err)
		}
		return gate.Save(t.Context(), tx, requested)
	}))
}

// tickAt ticks until nothing is left to do at the time.
func (b *bench) tickAt(t *testing.T, clock string) {
	t.Helper()
	b.clock = at(clock)
	for more := true; more; {
		var err error
		more, err = b.tick(t.Context())
		require.NoError(t, err)
	}
}

func (b *bench) sent(t *testing.T) (n int) {
	t.Helper()
	require.NoError(t, b.pool.QueryRow(t.Context(), `SELECT count(*) FROM erp_outbox WHERE topic = $1`, event.TopicRequested).Scan(&n))
	return n
}

func (b *bench) heldBy(t *testing.T, by domain.HeldBy) int {
	t.Helper()
	counts, err := b.orders.Held(t.Context())
	require.NoError(t, err)
	return counts[by]
}

func TestTheCronReleasesABatchAtEachScheduledTime(t *testing.T) {
	t.Parallel()
	b, settings := setup(t)
	settings.Change(func(s *setting.Settings) { s.CronBatch = 2 })
	b.hold(t, domain.HeldByCron, 5)
	for _, step := range []struct {
		clock string
		sent  int
		why   string
	}{
		{"2024-01-15 10:30:00", 0, "the first start ever makes up for nothing"},
		{"2024-01-15 10:59:59", 0, "not yet"},
		{"2024-01-15 11:00:00", 2, "due"},
		{"2024-01-15 11:00:01", 2, "made"},
		{"2024-01-15 15:10:00", 4, "four missed are one"},
		{"2024-01-15 15:59:59", 4, "made up for"},
		{"2024-01-15 16:00:00", 5, "what is left"},
		{"2024-01-15 17:00:00", 5, "a run of none"},
	} {
		b.tickAt(t, step.clock)
		require.Equal(t, step.sent, b.sent(t), step.why)
	}
	var due time.Time
	var released int
	require.NoError(t, b.pool.QueryRow(t.Context(), `SELECT due_at, released FROM cron_run`).Scan(&due, &released))
	require.Equal(t, at("2024-01-15 17:00:00"), due.UTC())
	require.Zero(t, released)
}

// What a PHP request could do is no limit of ours.
func TestABatchOfZeroIsAllThatWaits(t *testing.T) {
	t.Parallel()
	b, settings := setup(t)
	settings.Change(func(s *setting.Settings) { s.CronBatch = 0 })
	require.NoError(t, settings.Current().Validate())
	b.tickAt(t, "2024-01-15 10:30:00")
	b.tickAt(t, "2024-01-15 11:00:00") // a run of none is made as well
	b.hold(t, domain.HeldByCron, runPage+10)
	b.tickAt(t, "2024-01-15 11:30:00")
	require.Zero(t, b.sent(t))
	b.tickAt(t, "2024-01-15 12:00:00")
	require.Equal(t, runPage+10, b.sent(t))
	b.hold(t, domain.HeldByCron, 3)
	released, waiting, err := RunNow(t.Context(), b.pool, settings)
	require.NoError(t, err)
	require.Equal(t, []int{3, 0}, []int{released, waiting})
}

// 100 a run by default, and more than that come between two: the backlog grew, and nobody was told.
func TestABacklogThatGrowsFromRunToRunIsToldOnce(t *testing.T) {
	t.Parallel()
	b, settings := setup(t)
	settings.Change(func(s *setting.Settings) { s.CronBatch = 2 })
	var told []string
	b.log = slog.New(slog.NewTextHandler(lines(func(line string) {
		if strings.Contains(line, "level=WARN") {
			told = append(told, line)
		}
	}), nil))
	b.tickAt(t, "2024-01-15 10:30:00")
	for hour, step := range []struct {
		come  int
		warns int
		why   string
	}{
		{5, 0, "3 are left of the first run: nothing to compare with"},
		{2, 0, "3 again"},
		{3, 1, "4: more come than go"},
		{4, 1, "6: told before"},
		{0, 1, "4"},
		{3, 2, "5: it grows anew"},
		{2, 2, "5"},
	} {
		b.hold(t, domain.HeldByCron, step.come)
		b.tickAt(t, fmt.Sprintf("2024-01-15 %d:00:00", 11+hour))
		b.tickAt(t, fmt.Sprintf("2024-01-15 %d:00:01", 11+hour))
		require.Len(t, told, step.warns, step.why)
	}
	require.Contains(t, told[0], "waiting=4 waiting_before=3 released=2 limit=2")
}

// lines is a writer that gives each line of a log to a function.
type lines func(line string)

func (l lines) Write(line []byte) (int, error) {
	l(string(line))
	return len(line), nil
}

// A run larger than one transaction is noted once, with all it released.
func TestARunInPages(t *testing.T) {
	t.Parallel()
	b, settings := setup(t)
	settings.Change(func(s *setting.Settings) { s.CronBatch = 2 * runPage })
	b.tickAt(t, "2024-01-15 10:30:00")
	b.hold(t, domain.HeldByCron, 2*runPage+10)
	b.tickAt(t, "2024-01-15 11:00:00")
	require.Equal(t, 10, b.heldBy(t, domain.HeldByCron))
	var released int
	require.NoError(t, b.pool.QueryRow(t.Context(), `SELECT released FROM cron_run`).Scan(&released))
	require.Equal(t, 2*runPage, released)
}

// Two that lead for a moment make a run once, and release no more than its batch.
func TestTwoSchedulersMakeARunOnce(t *testing.T) {
	t.Parallel()
	b, settings := setup(t)
	settings.Change(func(s *setting.Settings) { s.CronBatch = 5 })
	b.tickAt(t, "2024-01-15 10:30:00")
	b.hold(t, domain.HeldByCron, 20)
	b.clock = at("2024-01-15 11:00:00")
	var both sync.WaitGroup
	errs := make([]error, 4)
	for i := range errs {
		both.Go(func() { _, errs[i] = b.another(settings).tick(t.Context()) })
	}
	both.Wait()
	for _, err := range errs {
		require.NoError(t, err)
	}
	require.Equal(t, 5, b.sent(t))
}

func TestChangedSettingsCountAtOnce(t *testing.T) {
	t.Parallel()
	b, settings := setup(t)
	schedule := func(expression string) {
		settings.Change(func(s *setting.Settings) { s.CronSchedule = expression })
	}
	b.hold(t, domain.HeldByCron, 1)
	schedule("0 3 * * *")
	b.tickAt(t, "2024-01-15 10:30:00")
	schedule("0 4 * * *")
	b.tickAt(t, "2024-01-15 14:00:00")
	require.Zero(t, b.sent(t), "a time before the change is none that was missed")
	schedule("0 3 * * *")
	b.tickAt(t, "2024-01-16 03:30:00")
	require.Zero(t, b.sent(t), "nor is one of the schedule that counted before")
	schedule("*/5 * * * *")
	b.tickAt(t, "2024-01-16 03:34:00")
	require.Zero(t, b.sent(t))
	b.tickAt(t, "2024-01-16 03:35:00")
	require.Equal(t, 1, b.sent(t))
}

func TestWhileTheCronIsOffItsTimesPassBy(t *testing.T) {
	t.Parallel()
	b, settings := setup(t)
	b.hold(t, domain.HeldByCron, 1)
	settings.Change(func(s *setting.Settings) { s.CronEnabled = false })
	b.tickAt(t, "2024-01-15 10:30:00")
	b.tickAt(t, "2024-01-15 12:00:00")
	settings.Change(func(s *setting.Settings) { s.CronEnabled = true })
	b.tickAt(t, "2024-01-15 12:30:00")
	require.Zero(t, b.sent(t))
	b.tickAt(t, "2024-01-15 13:00:00")
	require.Equal(t, 1, b.sent(t))
}

func TestARunMissedWhileTheConnectorWasOffIsMadeUpForOnce(t *testing.T) {
	t.Parallel()
	b, settings := setup(t)
	settings.Change(func(s *setting.Settings) { s.Enabled, s.CronBatch = false, 1 })
	b.hold(t, domain.HeldByCron, 2)
	b.tickAt(t, "2024-01-15 10:30:00")
	b.tickAt(t, "2024-01-15 12:30:00")
	require.Zero(t, b.sent(t))
	settings.Change(func(s *setting.Settings) { s.Enabled = true })
	b.tickAt(t, "2024-01-15 12:40:00")
	b.tickAt(t, "2024-01-15 12:50:00")
	require.Equal(t, 1, b.sent(t))
}

func TestWhatWasHeldWhileTheConnectorWasOff(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		immediate                    bool
		sent, waitForCron, stillHeld int
	}{
		"goes_out_at_once":      {true, 250, 0, 0},
		"or_waits_for_the_cron": {false, 0, 250, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, settings := setup(t)
			settings.Change(func(s *setting.Settings) { s.Enabled, s.ImmediateSync = false, c.immediate })
			b.hold(t, domain.HeldByDisabled, 250)
			b.tickAt(t, "2024-01-15 10:30:00")
			require.Equal(t, 250, b.heldBy(t, domain.HeldByDisabled))
			settings.Change(func(s *setting.Settings) { s.Enabled = true })
			b.tickAt(t, "2024-01-15 10:30:01")
			require.Equal(t, c.sent, b.sent(t))
			require.Equal(t, c.waitForCron, b.heldBy(t, domain.HeldByCron))
			require.Equal(t, c.stillHeld, b.heldBy(t, domain.HeldByDisabled))
		})
	}
}

// A schedule that cannot be read stops the cron alone, and is told.
func TestAScheduleThatCannotBeReadStopsTheCronAlone(t *testing.T) {
	t.Parallel()
	b, settings := setup(t)
	settings.Change(func(s *setting.Settings) { s.CronSchedule = "hourly" })
	b.hold(t, domain.HeldByDisabled, 1)
	_, err := b.tick(t.Context())
	require.ErrorContains(t, err, "change the setting cron_schedule")
	require.Equal(t, 1, b.sent(t))
}

func TestRunNow(t *testing.T) {
	t.Parallel()
	b, settings := setup(t)
	settings.Change(func(s *setting.Settings) { s.CronBatch, s.CronEnabled = 2, false })
	b.hold(t, domain.HeldByCron, 3)
	released, waiting, err := RunNow(t.Context(), b.pool, settings)
	require.NoError(t, err)
	require.Equal(t, []int{2, 1}, []int{released, waiting})
	settings.Change(func(s *setting.Settings) { s.Enabled = false })
	_, _, err = RunNow(t.Context(), b.pool, settings)
	require.ErrorIs(t, err, orders.ErrDisabled)
	require.Equal(t, 2, b.sent(t))
}

// The loop of one leader: another stands by, and goes on when the first has ended.
func TestOneLeads(t *testing.T) {
	t.Parallel()
	b, settings := setup(t)
	first, end := context.WithCancel(t.Context())
	defer end()
	second, endSecond := context.WithCancel(t.Context())
	defer endSecond()
	var running sync.WaitGroup
	running.Go(func() { _ = b.another(settings).Run(first) })
	running.Go(func() { _ = b.another(settings).Run(second) })
	for range 2 {
		b.hold(t, domain.HeldByDisabled, 10)
		require.Eventually(t, func() bool { return b.sent(t) == b.put }, testkit.Patience, 10*time.Millisecond)
		end()
	}
	endSecond()
	running.Wait()
}
