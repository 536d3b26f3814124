package setting_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/setting"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// A change in the middle of its work, which waits here for a lock on the history, keeps no reader waiting: readers see all of it or
// nothing. The next change waits for it, and no longer than its caller does.
func TestReadersDoNotWaitForAChange(t *testing.T) {
	t.Parallel()
	store, pool := newStore(t)
	tx, err := pool.Begin(t.Context())
	require.NoError(t, err)
	defer func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) }()
	_, err = tx.Exec(t.Context(), `LOCK TABLE setting_history IN SHARE MODE`)
	require.NoError(t, err)
	changed := make(chan error, 1)
	go func() {
		_, err := store.Change(t.Context(), setting.Change{Values: values{"cron_batch": raw(`7`)}, By: "jane"})
		changed <- err
	}()
	require.Eventually(t, func() bool {
		var waiting bool
		err := pool.QueryRow(t.Context(), `SELECT EXISTS (SELECT FROM pg_locks WHERE relation = 'setting_history'::regclass AND NOT granted)`).Scan(&waiting)
		return err == nil && waiting
	}, testkit.Patience, time.Millisecond)
	v, err := store.View(t.Context())
	require.NoError(t, err, "a reader does not wait")
	require.Equal(t, 100, v.Settings.CronBatch)
	impatient, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = store.Change(impatient, setting.Change{Values: values{"debug": raw(`true`)}, By: "joe"})
	require.ErrorContains(t, err, "changing the settings: ")
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.NoError(t, tx.Rollback(t.Context()))
	require.NoError(t, <-changed)
	v, err = store.View(t.Context())
	require.NoError(t, err)
	require.Equal(t, 7, v.Settings.CronBatch)
	require.False(t, v.Settings.Debug, "who gave up has changed nothing")
}

// Each process is told of what has changed, once, and of nothing else.
func TestOnlyAChangeIsNotified(t *testing.T) {
	t.Parallel()
	store, pool := newStore(t)
	listener, err := pool.Acquire(t.Context())
	require.NoError(t, err)
	defer listener.Release()
	_, err = listener.Exec(t.Context(), "LISTEN "+setting.Channel)
	require.NoError(t, err)
	for _, c := range []setting.Change{
		{Values: values{"cron_batch": raw(`-1`)}}, // refused
		{Values: values{"debug": raw(`null`)}},    // as it is
		{},
		{Values: values{"debug": raw(`true`)}, On: new(int64(9))}, // stale
		{Values: values{"debug": raw(`true`), "cron_batch": raw(`5`)}},
	} {
		_, _ = store.Change(t.Context(), c)
	}
	_, err = pool.Exec(t.Context(), "SELECT pg_notify($1, 'the end')", setting.Channel)
	require.NoError(t, err)
	var heard []string
	for !strings.Contains(strings.Join(heard, ","), "the end") {
		n, err := listener.Conn().WaitForNotification(t.Context())
		require.NoError(t, err)
		heard = append(heard, n.Payload)
	}
	require.Equal(t, []string{"", "the end"}, heard)
}

// The pages of the history are the whole of it, however small they are: none twice, and none left out between two of one version.
func TestPagesOfTheHistory(t *testing.T) {
	t.Parallel()
	store, pool := newStore(t)
	for n := range 3 {
		_, err := store.Change(t.Context(), setting.Change{
			Values: values{"cron_batch": raw(fmt.Sprint(n + 1)), "debug": raw(fmt.Sprint(n%2 == 0)), "erp_timeout": raw(fmt.Sprintf(`"%ds"`, n+1))},
			By:     "eve\n\x1b[2J" + strings.Repeat("e", 200), Reason: strings.Repeat("r", 500),
		})
		require.NoError(t, err)
	}
	whole, next, err := store.History(t.Context(), setting.Filter{Limit: 9})
	require.NoError(t, err)
	require.Nil(t, next, "the last page names no next one")
	require.Len(t, whole, 9)
	require.Equal(t, `eve\n\x1b[2J`+strings.Repeat("e", 113)+"…", whole[0].By, "a name is fitted: nobody could correct it")
	require.Equal(t, strings.Repeat("r", 500), whole[0].Reason)
	for _, limit := range []int{-1, 0, 1, 2, 4, 8} {
		var pages []setting.Past
		f := setting.Filter{Limit: limit}
		for {
			page, next, err := store.History(t.Context(), f)
			require.NoError(t, err)
			require.LessOrEqual(t, len(page), max(1, limit))
			pages = append(pages, page...)
			if next == nil {
				break
			}
			f.After, err = setting.ParseCursor(next.String())
			require.NoError(t, err)
		}
		require.Equal(t, whole, pages, "pages of %d", limit)
	}
	one, _, err := store.History(t.Context(), setting.Filter{Name: "debug", After: setting.Cursor{Version: 3, Name: "debug"}, Limit: 9})
	require.NoError(t, err)
	require.Len(t, one, 2, "of one setting, after the newest")
	none, next, err := store.History(t.Context(), setting.Filter{Name: "retry_jitter", Limit: 9})
	require.NoError(t, err)
	require.Nil(t, next)
	require.Empty(t, none)

	_, err = pool.Exec(t.Context(), `UPDATE setting SET value = '"soon"' WHERE name = 'erp_timeout'`)
	require.NoError(t, err)
	v, err := store.View(t.Context())
	require.NoError(t, err)
	require.Contains(t, v.Unusable("erp_timeout"), `erp_timeout is "soon"; it must be a duration`)
	require.Empty(t, v.Unusable("debug"))
	row, ok := v.Row("debug")
	require.True(t, ok)
	require.JSONEq(t, `true`, string(row.Value))
	_, ok = v.Row("retry_jitter")
	require.False(t, ok, "nobody changed it")
	v, err = store.Change(t.Context(), setting.Change{Values: values{"erp_timeout": json.RawMessage(" null ")}, By: "jane"})
	require.NoError(t, err)
	require.Empty(t, v.Unused, "a value that cannot be used is unset like any other")
}

// Without Postgres each request says which one failed.
func TestPostgresIsAway(t *testing.T) {
	t.Parallel()
	pool, err := pgxpool.New(context.Background(), "postgres://127.0.0.1:1/nowhere?connect_timeout=1")
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	store := setting.NewStore(pool, setting.Defaults(), nil)
	_, err = store.View(t.Context())
	require.ErrorContains(t, err, "reading the settings: ")
	_, err = store.Change(t.Context(), setting.Change{Values: values{"debug": raw(`true`)}})
	require.ErrorContains(t, err, "changing the settings: ")
	_, _, err = store.History(t.Context(), setting.Filter{})
	require.ErrorContains(t, err, "reading the history of the settings: ")
}

// A table that is damaged by hand stops no start that the rest of it allows, and what cannot be read at all is told.
func TestATableThatCannotBeRead(t *testing.T) {
	t.Parallel()
	pool := testkit.Postgres(t).Pool
	store := setting.NewStore(pool, setting.Defaults(), nil)
	began := time.Now().Add(-time.Second)
	v, err := store.Change(t.Context(), setting.Change{Values: values{"debug": raw(`true`)}, By: "jane"})
	require.NoError(t, err)
	require.WithinRange(t, v.Rows[0].At, began, time.Now().Add(time.Second), "without a clock it is the machine's")
	require.NoError(t, pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
		_, err := tx.Exec(t.Context(), `ALTER TABLE setting_history RENAME TO gone`)
		return err
	}))
	_, err = store.Change(t.Context(), setting.Change{Values: values{"debug": raw(`false`)}, By: "jane"})
	require.ErrorContains(t, err, `changing the settings: ERROR: relation "setting_history" does not exist`)
	_, err = store.View(t.Context())
	require.ErrorContains(t, err, `reading the settings: ERROR: relation "setting_history" does not exist`)
}
