package setting_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/erpconnector/erpconnector/shared/setting"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

var noon = time.Date(2024, 1, 15, 12, 0, 0, 0, time.UTC)

func newStore(t *testing.T) (*setting.Store, *pgxpool.Pool) {
	t.Helper()
	pool := testkit.Postgres(t).Pool
	return setting.NewStore(pool, setting.Defaults(), func() time.Time { return noon }), pool
}

type values map[string]json.RawMessage

func raw(s string) json.RawMessage { return json.RawMessage(s) }

func TestChangeAndReturn(t *testing.T) {
	t.Parallel()
	store, _ := newStore(t)
	v, err := store.View(t.Context())
	require.NoError(t, err)
	require.Equal(t, setting.View{Settings: setting.Defaults(), Environment: setting.Defaults()}, v)

	want := setting.Defaults()
	want.MaxAttempts, want.RetryableCodes = 7, []int{409, 423}
	v, err = store.Change(t.Context(), setting.Change{
		Values: values{"retry_max_attempts": raw(`7`), "retryable_codes": raw(`[423,409]`), "erp_timeout": raw(`null`)},
		By:     "jane", Reason: "the ERP is moving",
	})
	require.NoError(t, err)
	require.EqualValues(t, 1, v.Version)
	require.Equal(t, want, v.Settings)
	require.Equal(t, []setting.Row{
		{Name: "retry_max_attempts", Value: raw(`7`), Version: 1, By: "jane", At: noon},
		{Name: "retryable_codes", Value: raw(`[409, 423]`), Version: 1, By: "jane", At: noon},
	}, v.Rows)
	read, err := store.View(t.Context())
	require.NoError(t, err)
	require.Equal(t, v, read)

	same, err := store.Change(t.Context(), setting.Change{Values: values{"retryable_codes": raw(`[409,423]`), "debug": raw(`null`)}, By: "joe"})
	require.NoError(t, err)
	require.Equal(t, v, same, "what stands there already is no change")

	v, err = store.Change(t.Context(), setting.Change{Values: values{"retry_max_attempts": raw(`null`), "enabled": raw(`true`)}, By: "joe"})
	require.NoError(t, err)
	require.EqualValues(t, 2, v.Version)
	want.MaxAttempts = 5
	require.Equal(t, want, v.Settings)

	past, next, err := store.History(t.Context(), setting.Filter{Limit: 3})
	require.NoError(t, err)
	require.Equal(t, []setting.Past{
		{Version: 2, Name: "enabled", After: raw(`true`), By: "joe", At: noon},
		{Version: 2, Name: "retry_max_attempts", Before: raw(`7`), By: "joe", At: noon},
		{Version: 1, Name: "retry_max_attempts", After: raw(`7`), By: "jane", At: noon, Reason: "the ERP is moving"},
	}, past)
	cursor, err := setting.ParseCursor(next.String())
	require.NoError(t, err)
	past, next, err = store.History(t.Context(), setting.Filter{Limit: 3, After: cursor})
	require.NoError(t, err)
	require.Nil(t, next)
	require.Len(t, past, 1)
	require.Equal(t, "retryable_codes", past[0].Name)
	past, _, err = store.History(t.Context(), setting.Filter{Limit: 3, Name: "enabled"})
	require.NoError(t, err)
	require.Len(t, past, 1)
}

func TestRefusedChanges(t *testing.T) {
	t.Parallel()
	store, pool := newStore(t)
	before, err := store.Change(t.Context(), setting.Change{Values: values{"retry_max_delay": raw(`"5m"`)}, By: "jane"})
	require.NoError(t, err)
	for name, c := range map[string]struct {
		change setting.Change
		wrong  string
	}{
		"all_at_once_and_nothing_of_it": {
			setting.Change{Values: values{"enabled": raw(`false`), "cron_batch": raw(`-1`), "speed": raw(`1`)}, Reason: "a\nb"},
			"reason contains the control character U+000A; remove it\ncron_batch is -1; it must be a whole number from 0 to 10000\nspeed is no setting: there are " + strings.Join(setting.Names(), ", "),
		},
		"misspelt": {
			setting.Change{Values: values{"cron_bacth": raw(`10`)}},
			"cron_bacth is no setting: did you mean cron_batch?",
		},
		"texts_that_no_door_takes": {
			setting.Change{Values: values{"cron_schedule": raw(`"0 * * *\u0000 *"`), "erp_base_url": raw(`"http://erp/` + strings.Repeat("x", 2000) + `"`)}, Reason: strings.Repeat("x", 501)},
			"reason has 501 bytes; at most 500 are taken\n" +
				"cron_schedule contains the control character U+0000; remove it; it must be five fields (minute, hour, day, month, weekday) in UTC that occur, like 0 * * * *\n" +
				"erp_base_url has 2011 bytes; at most 2000 are taken; it must be an http or https URL without user, password, query and fragment, like https://erp.example.com/api",
		},
		"with_what_is_in_force": {
			setting.Change{Values: values{"retry_base_delay": raw(`"10m"`)}},
			"retry_max_delay is 5m; it must be 0 (no cap) or at least the base delay, which is 10m",
		},
		"a_secret_in_a_url": {
			setting.Change{Values: values{"erp_base_url": raw(`"https://me:hunter2@erp"`)}},
			`erp_base_url is "https://****@erp"; it must be an http or https URL without user, password, query and fragment, like https://erp.example.com/api`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := store.Change(t.Context(), c.change)
			require.EqualError(t, err, c.wrong)
			require.ErrorAs(t, err, new(setting.Problems))
		})
	}
	after, err := store.View(t.Context())
	require.NoError(t, err)
	require.Equal(t, before, after)

	t.Run("what_was_wrong_before_does_not_stand_in_the_way", func(t *testing.T) {
		_, err := pool.Exec(t.Context(), `INSERT INTO setting (name, value, changed_by) VALUES ('cron_batch', '"many"', 'psql')`)
		require.NoError(t, err)
		v, err := store.Change(t.Context(), setting.Change{Values: values{"debug": raw(`true`)}, By: "jane"})
		require.NoError(t, err)
		require.Equal(t, `cron_batch is "many"; it must be a whole number from 0 to 10000`, v.Unusable("cron_batch"))
		require.Equal(t, 100, v.Settings.CronBatch)
		v, err = store.Change(t.Context(), setting.Change{Values: values{"cron_batch": raw(`50`)}, By: "jane"})
		require.NoError(t, err)
		require.Empty(t, v.Unused)
		require.Equal(t, 50, v.Settings.CronBatch)
	})
}

// Of those who change the same version one wins, and the others are told what is in force.
func TestLostUpdatesAreRefused(t *testing.T) {
	t.Parallel()
	store, _ := newStore(t)
	const writers, rounds = 8, 5
	for round := range int64(rounds) {
		errs := make([]error, writers)
		var writing sync.WaitGroup
		for i := range writers {
			writing.Go(func() {
				_, errs[i] = store.Change(t.Context(), setting.Change{
					Values: values{"cron_batch": raw(strconv.Itoa(int(round)*writers + i + 1))}, By: fmt.Sprint("writer ", i), On: new(round),
				})
			})
		}
		writing.Wait()
		won := 0
		for _, err := range errs {
			if err == nil {
				won++
				continue
			}
			var stale *setting.StaleError
			require.ErrorAs(t, err, &stale)
			require.Equal(t, round+1, stale.Current.Version)
		}
		require.Equal(t, 1, won)
	}
	past, _, err := store.History(t.Context(), setting.Filter{Limit: 100})
	require.NoError(t, err)
	require.Len(t, past, rounds)
}

// Any sequence of changes leaves what the fold of its history says.
func TestTheTableIsTheFoldOfTheHistory(t *testing.T) {
	t.Parallel()
	store, _ := newStore(t)
	given := map[string][]string{
		"enabled": {`true`, `false`, `null`}, "erp_timeout": {`"5s"`, `5`, `"1m"`, `null`, `"never"`}, "retryable_codes": {`[]`, `[409]`, `null`},
		"retry_base_delay": {`"1m"`, `"1h"`, `null`}, "retry_max_delay": {`0`, `"10m"`, `null`},
	}
	names := []string{"enabled", "erp_timeout", "retryable_codes", "retry_base_delay", "retry_max_delay"}
	rapid.Check(t, func(r *rapid.T) {
		change := values{}
		for range rapid.IntRange(1, 3).Draw(r, "fields") {
			name := rapid.SampledFrom(names).Draw(r, "name")
			change[name] = raw(rapid.SampledFrom(given[name]).Draw(r, "value"))
		}
		_, err := store.Change(context.Background(), setting.Change{Values: change, By: "rapid"})
		if err != nil {
			require.ErrorAs(r, err, new(setting.Problems))
		}
		v, err := store.View(context.Background())
		require.NoError(r, err)
		require.Empty(r, v.Unused)
		require.Equal(r, foldHistory(r, store), byName(v.Rows))
	})
}

// foldHistory replays the history page by page, and checks that each entry begins where the one before it ended.
func foldHistory(t require.TestingT, store *setting.Store) map[string]string {
	var past []setting.Past
	for f := (setting.Filter{Limit: 50}); ; {
		page, next, err := store.History(context.Background(), f)
		require.NoError(t, err)
		past = append(past, page...)
		if next == nil {
			break
		}
		f.After = *next
	}
	state := map[string]string{}
	for i := len(past) - 1; i >= 0; i-- {
		p := past[i]
		require.Equal(t, state[p.Name], string(p.Before), "%+v", p)
		state[p.Name] = string(p.After)
		if p.After == nil {
			delete(state, p.Name)
		}
	}
	return state
}

func byName(rows []setting.Row) map[string]string {
	out := map[string]string{}
	for _, r := range rows {
		out[r.Name] = string(r.Value)
	}
	return out
}
