package setting

import (
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/testkit"
)

// watching is a Watcher at work.
type watching struct {
	*Watcher
	t     *testing.T
	store *Store
	pool  *pgxpool.Pool
	log   *testkit.Log
}

func watch(t *testing.T, pool *pgxpool.Pool, poll time.Duration) *watching {
	t.Helper()
	log := &testkit.Log{}
	store := NewStore(pool, Defaults(), nil)
	w := NewWatcher(store, slog.New(slog.NewTextHandler(log, nil)))
	w.poll = poll
	require.NoError(t, w.Load(t.Context()))
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { _ = w.Run(ctx) })
	t.Cleanup(func() { cancel(); running.Wait() })
	return &watching{Watcher: w, t: t, store: store, pool: pool, log: log}
}

func (w *watching) change(name, value string) {
	w.t.Helper()
	_, err := w.store.Change(w.t.Context(), Change{Values: map[string]json.RawMessage{name: json.RawMessage(value)}, By: "jane"})
	require.NoError(w.t, err)
}

func (w *watching) execute(sql string) {
	w.t.Helper()
	_, err := w.pool.Exec(w.t.Context(), sql)
	require.NoError(w.t, err)
}

// becomes returns how long it took until the settings were as wanted.
func (w *watching) becomes(want func(Settings) bool) time.Duration {
	w.t.Helper()
	began := time.Now()
	require.Eventually(w.t, func() bool { return want(w.Current()) }, testkit.Patience, time.Millisecond)
	return time.Since(began)
}

func (w *watching) logs(line string) {
	w.t.Helper()
	require.Eventually(w.t, func() bool { return strings.Contains(w.log.String(), line) }, testkit.Patience, time.Millisecond, "no %q in %s", line, w.log)
}

func TestANotificationPutsAChangeInForce(t *testing.T) {
	t.Parallel()
	w := watch(t, testkit.Postgres(t).Pool, time.Hour)
	w.listening()
	w.change("erp_timeout", `"5s"`)
	t.Logf("in force after %s", w.becomes(func(s Settings) bool { return s.ErpTimeout == 5*time.Second }))
	w.change("erp_timeout", `null`)
	w.becomes(func(s Settings) bool { return s.ErpTimeout == 30*time.Second })
	w.logs(`msg="setting in force" service=settings setting=erp_timeout value=5s before=30s`)
}

// Who changes the ERP's address sends all orders elsewhere.
func TestAChangeOfTheErpsAddressIsAnnounced(t *testing.T) {
	t.Parallel()
	w := watch(t, testkit.Postgres(t).Pool, 10*time.Millisecond)
	const announced = `level=WARN msg="the ERP's address has changed: orders go there from now on" service=settings `
	w.change("erp_base_url", `"https://erp.example.com/a"`)
	w.logs(announced + `value=https://erp.example.com/a before="" changed_by=jane`)
	w.change("erp_base_url", `"https://erp.example.com/b"`)
	w.logs(announced + `value=https://erp.example.com/b before=https://erp.example.com/a changed_by=jane`)
	_, err := w.store.Change(t.Context(), Change{Values: map[string]json.RawMessage{"erp_base_url": json.RawMessage("null")}, By: "joe"})
	require.NoError(t, err)
	w.logs(announced + `value="" before=https://erp.example.com/b changed_by=joe`)
	require.Equal(t, 3, strings.Count(w.log.String(), announced))
}

// listening waits until the watcher's connection listens.
func (w *watching) listening() {
	w.t.Helper()
	require.Eventually(w.t, func() bool {
		var n int
		err := w.pool.QueryRow(w.t.Context(), `SELECT count(*) FROM pg_stat_activity
			WHERE datname = current_database() AND pid <> pg_backend_pid() AND query LIKE 'SELECT name, value%' AND state = 'idle'`).Scan(&n)
		return err == nil && n == 1
	}, testkit.Patience, 10*time.Millisecond)
}

// A change that nobody tells of, and one by hand that counts no version, are found by polling.
func TestPollingFindsWhatNobodyTellsOf(t *testing.T) {
	t.Parallel()
	w := watch(t, testkit.Postgres(t).Pool, pollInterval)
	w.listening()
	w.execute(`INSERT INTO setting (name, value, changed_by) VALUES ('cron_batch', '7', 'psql')`)
	took := w.becomes(func(s Settings) bool { return s.CronBatch == 7 })
	t.Logf("in force after %s", took)
	w.execute(`UPDATE setting SET value = '8'`)
	w.becomes(func(s Settings) bool { return s.CronBatch == 8 })
	w.execute(`DELETE FROM setting`)
	w.becomes(func(s Settings) bool { return s.CronBatch == 100 })
}

// What cannot be used is not in force, is said once, and does not keep the rest from being in force.
func TestRowsThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	pool := testkit.Postgres(t).Pool
	_, err := pool.Exec(t.Context(), `INSERT INTO setting (name, value, changed_by)
		VALUES ('cron_batch', '"many"', 'psql'), ('erp_timeout', '"11m"', 'psql'), ('warp', '9', 'newer'), ('retry_max_attempts', '9', 'psql')`)
	require.NoError(t, err)
	w := watch(t, pool, 10*time.Millisecond)
	want := Defaults()
	want.MaxAttempts = 9
	require.Equal(t, want, w.Current(), "from the start")
	w.execute(`UPDATE setting SET value = '10' WHERE name = 'retry_max_attempts'`)
	w.becomes(func(s Settings) bool { return s.MaxAttempts == 10 })
	w.change("cron_batch", `5`)
	w.becomes(func(s Settings) bool { return s.CronBatch == 5 })
	w.logs(`level=ERROR msg="a stored setting is not used; set it again, or unset it" service=settings setting=erp_timeout`)
	w.logs(`settings of another version of the program are passed over" service=settings settings=[warp]`)
	require.Equal(t, 2, strings.Count(w.log.String(), "setting=cron_batch error="), "once for each state of the table")
}

// While Postgres is away the last known settings stay in force, which is said once; then they are followed again.
func TestPostgresIsAwayForAWhile(t *testing.T) {
	t.Parallel()
	database := testkit.Postgres(t)
	gate := newGate(t, database.Pool)
	config := database.Pool.Config()
	config.ConnConfig.DialFunc = gate.dial
	pool, err := pgxpool.NewWithConfig(context.Background(), config)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	w := watch(t, pool, 10*time.Millisecond)
	w.change("cron_batch", `7`)
	w.becomes(func(s Settings) bool { return s.CronBatch == 7 })
	gate.close()
	w.logs("those last known stay in force")
	attempts := gate.refused(3)
	require.Equal(t, 7, w.Current().CronBatch)
	gate.open()
	w.logs("settings are read again")
	w.change("cron_batch", `8`)
	w.becomes(func(s Settings) bool { return s.CronBatch == 8 })
	require.Equal(t, 1, strings.Count(w.log.String(), "those last known stay in force"), "after %d attempts", attempts)
}

// gate lets connections through, or breaks them and refuses new ones.
type gate struct {
	t      *testing.T
	inner  func(ctx context.Context, network, addr string) (net.Conn, error)
	mu     sync.Mutex
	shut   bool
	no     int
	opened []net.Conn
}

func newGate(t *testing.T, pool *pgxpool.Pool) *gate {
	t.Helper()
	return &gate{t: t, inner: pool.Config().ConnConfig.DialFunc}
}

func (g *gate) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.shut {
		g.no++
		return nil, &net.OpError{Op: "dial", Net: network, Err: net.ErrClosed}
	}
	conn, err := g.inner(ctx, network, addr)
	if err == nil {
		g.opened = append(g.opened, conn)
	}
	return conn, err
}

func (g *gate) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shut = true
	for _, conn := range g.opened {
		_ = conn.Close()
	}
	g.opened = nil
}

func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shut = false
}

// refused waits for this many refused connections.
func (g *gate) refused(n int) (got int) {
	g.t.Helper()
	require.Eventually(g.t, func() bool {
		g.mu.Lock()
		defer g.mu.Unlock()
		got = g.no
		return got >= n
	}, testkit.Patience, time.Millisecond)
	return got
}

// Without Postgres a process does not start on settings that may not be those in force.
func TestNoStartWithoutSettings(t *testing.T) {
	t.Parallel()
	pool, err := pgxpool.New(context.Background(), "postgres://127.0.0.1:1/nowhere?connect_timeout=1")
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	w := NewWatcher(NewStore(pool, Defaults(), nil), slog.New(slog.DiscardHandler))
	require.ErrorContains(t, w.Load(t.Context()), "reading the settings: ")
}

// Symptom: a process ended at its start, as Postgres took longer than five seconds to answer on a busy machine.
func TestAStartWaitsForASlowPostgres(t *testing.T) {
	t.Parallel()
	pool := testkit.Postgres(t).Pool
	slow, err := pool.Begin(t.Context())
	require.NoError(t, err)
	_, err = slow.Exec(t.Context(), `LOCK TABLE setting IN ACCESS EXCLUSIVE MODE`)
	require.NoError(t, err)
	store := NewStore(pool, Defaults(), nil)
	store.timeout = 200 * time.Millisecond
	w, loaded := NewWatcher(store, slog.New(slog.DiscardHandler)), make(chan error, 1)
	go func() { loaded <- w.Load(t.Context()) }()
	select {
	case err := <-loaded:
		require.Fail(t, "it must wait", "%v", err)
	case <-time.After(3 * store.timeout):
	}
	require.NoError(t, slow.Rollback(t.Context()))
	require.NoError(t, <-loaded)
}
