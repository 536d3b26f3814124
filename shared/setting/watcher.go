package setting

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/erpconnector/erpconnector/shared/run"
)

const (
	pollInterval = 500 * time.Millisecond // finds a change whose notification was lost, in half of the time that is promised
	readTimeout  = 3 * time.Second        // after that Postgres counts as away
)

// Watcher is the Reader of a running process. It listens for changes, and polls too. While Postgres is away, the last known settings stay
// in force. Call Load, then Run.
type Watcher struct {
	pool  *pgxpool.Pool
	store *Store
	log   *slog.Logger
	poll  time.Duration

	current atomic.Pointer[Settings]
	rows    []Row // in force; used by Load, then only by Run
}

// NewWatcher makes a Watcher. Until Load its settings are those of the environment.
func NewWatcher(store *Store, log *slog.Logger) *Watcher {
	w := &Watcher{pool: store.pool, store: store, log: log.With("service", "settings"), poll: pollInterval}
	w.current.Store(&store.environment)
	return w
}

// Current returns the settings in force.
func (w *Watcher) Current() Settings { return *w.current.Load() }

// Load reads the settings for the first time. A process must not work before, as it would use other settings than those in force. While
// Postgres is slow to answer, Load asks again until ctx ends.
func (w *Watcher) Load(ctx context.Context) error {
	v, err := w.store.View(ctx)
	for errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		v, err = w.store.View(ctx)
	}
	if err != nil {
		return err
	}
	w.apply(v.Rows)
	return nil
}

// Name is the worker's name.
func (w *Watcher) Name() string { return "settings" }

// Run follows the changes until ctx ends.
func (w *Watcher) Run(ctx context.Context) error {
	outage := run.Outage{
		Began: "settings cannot be read; those last known stay in force until Postgres answers", Ended: "settings are read again",
	}
	for ctx.Err() == nil {
		err := w.follow(ctx, func() { outage.Report(w.log, nil) })
		if ctx.Err() == nil {
			outage.Report(w.log, err)
		}
		run.Sleep(ctx, w.poll)
	}
	return nil
}

// follow keeps one connection of the pool, so that no load on the pool delays a change.
func (w *Watcher) follow(ctx context.Context, answered func()) error {
	dial, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	conn, err := w.pool.Acquire(dial)
	if err != nil {
		return fmt.Errorf("connecting: %w", err)
	}
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = conn.Conn().Close(closing) // it listens: nobody else is to have it
		conn.Release()
	}()
	if _, err := conn.Exec(dial, "LISTEN "+Channel); err != nil {
		return fmt.Errorf("listening: %w", err)
	}
	for {
		if err := w.readOnce(ctx, conn.Conn()); err != nil {
			return err
		}
		answered()
		if err := w.wait(ctx, conn.Conn()); err != nil {
			return err
		}
	}
}

// wait returns when a notification came, or when it is time to poll.
func (w *Watcher) wait(ctx context.Context, conn *pgx.Conn) error {
	quiet, cancel := context.WithTimeout(ctx, w.poll)
	defer cancel()
	if _, err := conn.WaitForNotification(quiet); err != nil && (quiet.Err() == nil || ctx.Err() != nil) {
		return fmt.Errorf("waiting for a change: %w", err)
	}
	return nil
}

// readOnce reads the whole table, which has no more than a row for each setting. To read a version first would cost as much.
func (w *Watcher) readOnce(ctx context.Context, conn *pgx.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	rows, err := conn.Query(ctx, "SELECT name, value, version, changed_by, changed_at FROM setting ORDER BY name")
	if err != nil {
		return fmt.Errorf("reading: %w", err)
	}
	read, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Row])
	if err != nil {
		return fmt.Errorf("reading: %w", err)
	}
	before := w.Current()
	w.apply(read)
	if after := w.Current(); after.ErpBaseURL != before.ErpBaseURL {
		w.log.Warn("the ERP's address has changed: orders go there from now on", "value", hidePassword(after.ErpBaseURL),
			"before", hidePassword(before.ErpBaseURL), "changed_by", changedBy(ctx, conn, read, NameErpBaseURL))
	}
	return nil
}

// changedBy is who has changed a setting. One that was unset has no row, and its history says who did that.
func changedBy(ctx context.Context, conn *pgx.Conn, rows []Row, name string) string {
	for _, row := range rows {
		if row.Name == name {
			return row.By
		}
	}
	var by string
	err := conn.QueryRow(ctx, "SELECT changed_by FROM setting_history WHERE name = $1 ORDER BY version DESC LIMIT 1", name).Scan(&by)
	if err != nil {
		return "unknown"
	}
	return by
}

// apply puts the rows in force, unless they are; so what is wrong with them is logged once.
func (w *Watcher) apply(rows []Row) {
	if slices.EqualFunc(rows, w.rows, sameValue) {
		return
	}
	w.rows = rows
	before := w.Current()
	after, unused := Resolve(w.store.environment, rows)
	w.current.Store(&after)
	w.log.Debug("settings read", "changed", len(rows), "unused", len(unused))
	for _, p := range unused {
		w.log.Error("a stored setting is not used; set it again, or unset it", "setting", p.Name, "error", p)
	}
	if names := Unknown(rows); len(names) > 0 {
		w.log.Warn("settings of another version of the program are passed over", "settings", names)
	}
	for _, f := range fields {
		if from, to := f.Text(before), f.Text(after); from != to {
			w.log.Info("setting in force", "setting", f.Name, "value", to, "before", from)
		}
	}
}

func sameValue(a, b Row) bool { return a.Name == b.Name && string(a.Value) == string(b.Value) }
