package api

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/mux"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/httpapi"
	"github.com/erpconnector/erpconnector/shared/httpapi/problem/problemtest"
	"github.com/erpconnector/erpconnector/shared/setting"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// operator reads and changes the settings, and a page records what is answered.
type operator struct {
	*problemtest.Recorder
	t    *testing.T
	pool *pgxpool.Pool
}

func operating(t *testing.T, name string, pool *pgxpool.Pool) *operator {
	t.Helper()
	environment := setting.Defaults()
	environment.ErpBaseURL, environment.RetryableCodes = "https://user:hunter2@erp.example.com/api", []int{409}
	minute := requested
	store := setting.NewStore(pool, environment, func() time.Time { minute = minute.Add(time.Minute); return minute })
	router := mux.NewRouter().UseEncodedPath()
	for _, r := range settingsRoutes(store, slog.New(slog.NewTextHandler(t.Output(), nil))) {
		require.EqualValues(t, "Escooter_ErpConnector::config", r.Resource)
		router.Handle(r.Path, httpapi.CheckQuery(r)).Methods(r.Method)
	}
	who := httpapi.Identity{Name: "api", All: true}
	if name == "settings_without_the_right" {
		who = httpapi.Identity{Name: "api", Resources: []httpapi.Resource{httpapi.ResourceConfig}}
	}
	granted := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		router.ServeHTTP(w, r.WithContext(httpapi.WithIdentity(r.Context(), who)))
	})
	return &operator{Recorder: problemtest.New(t, name, granted), t: t, pool: pool}
}

func (o *operator) read(pathAndQuery string) {
	o.t.Helper()
	o.Do(problemtest.Request{Method: http.MethodGet, Path: settingsPath + pathAndQuery})
}

func (o *operator) put(tag, body string) {
	o.t.Helper()
	req := problemtest.Request{Method: http.MethodPut, Path: settingsPath, Body: body}
	if tag != "" {
		req.Header = []string{"If-Match", tag}
	}
	o.Do(req)
}

func TestGoldenSettings(t *testing.T) {
	t.Parallel()
	for name, story := range map[string]func(o *operator){
		"settings_as_they_are": func(o *operator) {
			o.Whole = true
			o.read("")
		},
		"settings_changed": func(o *operator) {
			o.Whole = true
			o.put(`"0"`, `{"enabled": false, "erp_timeout": 10, "retryable_codes": [], "reason": "the ERP moves tonight"}`)
		},
		"settings_change_and_return": func(o *operator) {
			o.put(`"0"`, `{"erp_timeout": "10s", "cron_batch": 50}`)
			o.Note("the same again is no change")
			o.put(`"1"`, `{"erp_timeout": 10}`)
			o.Note("null returns to the environment's value; a compressing proxy has weakened the tag")
			o.put(`W/"1"`, `{"erp_timeout": null}`)
			o.Note("whatever they are")
			o.put(`*`, `{"cron_batch": 60, "reason": "quarter end"}`)
			o.read("/history")
			o.read("/history?limit=2")
			o.read("/history?limit=2&cursor=2.erp_timeout")
			o.read("/history?name=erp_timeout")
		},
		"settings_without_the_right": func(o *operator) {
			o.put(`*`, `{"erp_base_url": "https://elsewhere.example.com", "erp_timeout": 10}`)
			o.put(`*`, `{"erp_base_url": null}`)
			o.Note("all else is allowed")
			o.put(`*`, `{"erp_timeout": 10}`)
		},
		"settings_that_lead_nowhere": func(o *operator) {
			o.put(`*`, `{"erp_base_url": "http://169.254.169.254/latest"}`)
			o.put(`*`, `{"erp_base_url": "http://[64:ff9b::a9fe:a9fe]/"}`)
		},
		"settings_lost_update": func(o *operator) {
			o.put(`"0"`, `{"cron_batch": 50}`)
			o.Note("somebody who has read the first version")
			o.Whole = true
			o.put(`"0"`, `{"cron_batch": 60}`)
		},
		"settings_refused": func(o *operator) {
			o.put(`"0"`, `{"enabled": "no", "retry_max_attempts": 0, "erp_timeout": "11m", "erp_base_url": "https://me:secret@erp", "a/b": 1,
 "cron_schedule": "0 0 31 2 *", "retryable_codes": [200], "retry_jitter": 2, "reason": "a\nb"}`)
			o.Note("what does not go together")
			o.put(`"0"`, `{"retry_max_delay": "30s"}`)
			o.put(`"0"`, `{"reason": 1, "debug": true}`)
			o.put(`"0"`, `{"reason": "none"}`)
			o.put(`"0"`, `[]`)
			o.put(`"0"`, `{`)
			o.put(``, `{"debug": true}`)
			o.put(`"a"`, `{"debug": true}`)
			o.put(`"0", "1"`, `{"debug": true}`)
			o.put(`*`, `{"reason": "`+strings.Repeat("x", maxSettingsBody)+`"}`)
			o.read("/history")
			o.read("/history?limit=0&cursor=x&name=speed")
			o.Note("what may mean two things, and what is misspelt")
			o.put(`"0"`, `{"debug": true, "debug": false}`)
			o.put(`"0"`, `{"Debug": true}`)
			o.put(`"0"`, `{"cron_bacth": 10}`)
			o.put(`"0"`, `{"debug": true} {}`)
			o.put(`"0"`, `{"cron_batch": 1e300, "reason": "a\u0000b"}`)
			o.put(`"99999999999999999999"`, `{"debug": true}`)
			o.read("?version=1")
			o.read("/history?nmae=debug&limit=1e9")
		},
		"settings_that_cannot_be_used": func(o *operator) {
			o.Note("written by hand")
			_, err := o.pool.Exec(o.t.Context(), `INSERT INTO setting (name, value, changed_by, changed_at) VALUES ('cron_batch', '"many"', 'psql', $1)`, requested)
			require.NoError(o.t, err)
			o.Whole = true
			o.read("")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			story(operating(t, name, testkit.Postgres(t).Pool))
		})
	}
}

func TestGoldenSettingsPostgresAway(t *testing.T) {
	t.Parallel()
	pool, err := pgxpool.New(context.Background(), "postgres://127.0.0.1:1/nowhere?connect_timeout=1")
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	o := operating(t, "settings_postgres_away", pool)
	o.read("")
	o.put(`"0"`, `{"debug": true}`)
	o.read("/history")
}

// Of those who have read the same version one changes it, and the others are answered 412.
func TestOneOfManyPutsWins(t *testing.T) {
	t.Parallel()
	store := setting.NewStore(testkit.Postgres(t).Pool, setting.Defaults(), nil)
	h := &settingsHandler{store: store, log: slog.New(slog.DiscardHandler)}
	answers := make([]int, 8)
	var sending sync.WaitGroup
	for i := range answers {
		sending.Go(func() {
			w := httptest.NewRecorder()
			r := httptest.NewRequestWithContext(t.Context(), http.MethodPut, settingsPath, strings.NewReader(fmt.Sprintf(`{"cron_batch": %d}`, i+1)))
			r.Header.Set("If-Match", settingsTag(0))
			h.put(w, r)
			answers[i] = w.Code
		})
	}
	sending.Wait()
	slices.Sort(answers)
	require.Equal(t, append([]int{http.StatusOK}, slices.Repeat([]int{http.StatusPreconditionFailed}, len(answers)-1)...), answers)
}

// The ETag that a reader was given is the one that its change goes with, however often others change the settings.
func TestTheTagOfEachVersion(t *testing.T) {
	t.Parallel()
	store := setting.NewStore(testkit.Postgres(t).Pool, setting.Defaults(), nil)
	for version := range int64(12) {
		on, p := ifMatch([]string{settingsTag(version)})
		require.Nil(t, p)
		require.Equal(t, version, *on)
		change := setting.Change{Values: map[string]json.RawMessage{"cron_batch": json.RawMessage(strconv.FormatInt(version+1, 10))}, On: on, By: "test"}
		v, err := store.Change(t.Context(), change)
		require.NoError(t, err)
		require.Equal(t, version+1, v.Version)
	}
}
