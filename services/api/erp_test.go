package api

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/config"
	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/httpapi"
	"github.com/erpconnector/erpconnector/shared/httpapi/problem/problemtest"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/orders"
	"github.com/erpconnector/erpconnector/shared/pace"
	"github.com/erpconnector/erpconnector/shared/setting"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

const erpPath = "/rest/V1/erpconnector/erp"

// askERP asks how the pace stands.
func (c *caller) askERP() {
	c.t.Helper()
	c.Whole = true
	c.Do(problemtest.Request{Method: http.MethodGet, Path: erpPath})
}

// change changes the pace as a syncer or an operator does.
func (c *caller) change(op pace.Op) {
	c.t.Helper()
	store := pace.NewStore(c.pool)
	v, err := store.Load(c.t.Context())
	require.NoError(c.t, err)
	_, _, err = store.Change(c.t.Context(), v.State, op)
	require.NoError(c.t, err)
}

// breaker makes a change of the breaker, which must be one.
func (c *caller) breaker(change func(domain.Breaker) (domain.Breaker, bool)) {
	c.t.Helper()
	c.change(func(s pace.State) pace.State {
		b, ok := change(s.Breaker)
		require.True(c.t, ok)
		s.Breaker = b
		return s
	})
}

// outage is a time in which the ERP answers 502: the breaker opens, and each probe fails.
func (c *caller) outage(probes int) {
	c.t.Helper()
	policy := domain.DefaultBreakerPolicy()
	began := requested.Truncate(time.Hour)
	by := func(at time.Time) domain.Moment { return domain.Moment{Now: at, By: "syncer-1/k2m7qa"} }
	c.breaker(func(b domain.Breaker) (domain.Breaker, bool) {
		var calls domain.CallRecord
		for i := range 10 {
			calls = calls.With(domain.Call{Order: domain.OrderRef{IncrementID: fmt.Sprint(i)}, Began: began, Epoch: b.Epoch, Health: domain.HealthFailing}, policy)
		}
		return b.Trip(calls, policy, by(began))
	})
	for range probes {
		c.breaker(func(b domain.Breaker) (domain.Breaker, bool) { return b.BeginProbe(policy, by(b.ProbeAt)) })
		c.probed(domain.ProbeFailing, "HTTP 502")
	}
}

// probed ends a probe, a second after it began.
func (c *caller) probed(verdict domain.ProbeVerdict, said string) {
	c.t.Helper()
	c.breaker(func(b domain.Breaker) (domain.Breaker, bool) {
		m := domain.Moment{Now: b.Since.Add(time.Second), By: "syncer-1/k2m7qa"}
		return b.EndProbe(domain.ProbeResult{Epoch: b.Epoch, Verdict: verdict, Said: said}, domain.DefaultBreakerPolicy(), m)
	})
}

// members are two syncers with calls under way; they are seen for an hour, as the test may be slow.
func (c *caller) members() {
	c.t.Helper()
	_, err := c.pool.Exec(c.t.Context(), `INSERT INTO erp_member (process, joined_at, seen_at, in_flight)
		SELECT p, now(), now() + interval '1 hour', n FROM (VALUES ('syncer-1/k2m7qa', 2), ('syncer-2/x9f3bd', 1)) AS m (p, n)`)
	require.NoError(c.t, err)
}

// orders are one that could be sent now, one whose retry is due, one whose retry is not, and one that is being sent.
func (c *caller) orders() {
	c.t.Helper()
	later := time.Date(2999, 1, 1, 0, 0, 0, 0, time.UTC)
	for i, r := range []row{
		{status: domain.Queued, version: domain.RequestVersion(1, 0)},
		{status: domain.Queued, attempts: 1, last: &attempted, next: &attempted, err: new("HTTP 502"), version: domain.AttemptVersion(1, 1, domain.PhaseAfter)},
		{status: domain.Queued, attempts: 1, last: &attempted, next: &later, err: new("HTTP 502"), version: domain.AttemptVersion(1, 1, domain.PhaseAfter)},
		{status: domain.InProgress, version: domain.AttemptVersion(1, 1, domain.PhaseBefore)},
	} {
		r.ref, r.syncID = domain.OrderRef{Source: "default", IncrementID: fmt.Sprint(i + 1)}, int64(i+1)
		c.accepted(open(r.ref, r.syncID))
		c.projected(r)
	}
}

// askWaits asks of each of the orders where it stands, and what it waits for.
func (c *caller) askWaits() {
	c.t.Helper()
	for i := range 4 {
		c.ask(fmt.Sprint(i + 1))
	}
}

func TestGoldenERP(t *testing.T) {
	t.Parallel()
	hold := func(until time.Time) pace.Op {
		return func(s pace.State) pace.State {
			s.Hold = domain.Hold{Until: until, Why: "the ERP asked to wait by Retry-After"}
			return s
		}
	}
	for name, story := range map[string]func(c *caller){
		"erp_that_nobody_has_called": func(c *caller) { c.askERP() },
		"erp_that_works": func(c *caller) {
			c.members()
			c.askERP()
			c.orders()
			c.Note("nothing keeps an order")
			c.askWaits()
		},
		"erp_open_by_failures": func(c *caller) {
			c.members()
			c.outage(2)
			c.askERP()
			c.orders()
			c.Note("orders that could be sent now wait; a retry that is not due waits for its time")
			c.askWaits()
		},
		"erp_while_it_is_probed": func(c *caller) {
			c.outage(0)
			c.breaker(func(b domain.Breaker) (domain.Breaker, bool) {
				return b.BeginProbe(domain.DefaultBreakerPolicy(), domain.Moment{Now: b.ProbeAt, By: "syncer-2/x9f3bd"})
			})
			c.askERP()
		},
		"erp_open_by_hand": func(c *caller) {
			c.breaker(func(b domain.Breaker) (domain.Breaker, bool) {
				return b.OpenByHand("a new server", domain.Moment{Now: attempted, By: "jane"})
			})
			c.askERP()
			c.orders()
			c.ask("1")
		},
		"erp_held_by_retry_after": func(c *caller) {
			c.change(hold(attempted))
			c.Note("a wait that is over is none")
			c.askERP()
			c.change(hold(time.Date(2999, 1, 1, 0, 0, 0, 0, time.UTC)))
			c.askERP()
			c.orders()
			c.ask("1")
		},
		"erp_closing": func(c *caller) {
			c.members()
			c.outage(1)
			c.breaker(func(b domain.Breaker) (domain.Breaker, bool) {
				return b.BeginProbe(domain.DefaultBreakerPolicy(), domain.Moment{Now: b.ProbeAt, By: "syncer-2/x9f3bd"})
			})
			c.probed(domain.ProbeGood, "HTTP 200")
			c.breaker(func(b domain.Breaker) (domain.Breaker, bool) {
				tally := domain.Tally{Epoch: b.Epoch, Succeeded: 1}
				return b.Count(tally, 64, domain.DefaultBreakerPolicy(), domain.Moment{Now: b.Since.Add(time.Second), By: "syncer-1/k2m7qa"})
			})
			c.askERP()
			c.orders()
			c.ask("1")
			c.Note("closed again: when it was out stands in the history")
			c.breaker(func(b domain.Breaker) (domain.Breaker, bool) {
				return b.CloseByHand("it works", domain.Moment{Now: b.Since.Add(time.Second), By: "joe"})
			})
			c.askERP()
			c.ask("1")
		},
		"erp_asked_wrongly": func(c *caller) {
			c.Do(problemtest.Request{Method: http.MethodGet, Path: erpPath + "?source=default"})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			story(setup(t, name))
		})
	}
}

// The window's end depends on the day, so it stands on no page.
func TestTheERPInsideOfAWindow(t *testing.T) {
	t.Parallel()
	pool := testkit.Postgres(t).Pool
	now := time.Now().UTC()
	begins := time.Date(now.Year(), now.Month()+6, 1, 8, 0, 0, 0, time.UTC) // in half a year
	s := setting.Defaults()
	s.WorkingHours = fmt.Sprintf("0 8 1 %d * 1h UTC", begins.Month())
	handler := serveWith(t, pool, s)
	c := &caller{t: t, pool: pool}
	c.orders()
	get := func(path string, into any) {
		t.Helper()
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
		require.Equal(t, http.StatusOK, w.Code, w.Body)
		require.NoError(t, json.Unmarshal(w.Body.Bytes(), into))
	}
	var got pace.Report
	get(erpPath, &got)
	want := "waits for the ERP's window until " + begins.Format(time.RFC3339)
	require.Equal(t, begins, *got.WindowUntil)
	require.Equal(t, want, got.WaitsFor)
	require.Equal(t, domain.BreakerClosed, got.State, "a window is no outage")
	for id, wants := range map[string]string{"1": want, "2": want, "3": "", "4": ""} {
		var order status
		get("/rest/V1/erpconnector/sync-status/"+id, &order)
		require.Equal(t, wants, order.WaitsFor, id)
	}
}

// Who may see the status of an order may see the ERP's pace, and nobody else.
func TestTheRightToSeeTheERP(t *testing.T) {
	t.Parallel()
	pool := testkit.Postgres(t).Pool
	cfg, settings := config.ERP{HMAC: "secret"}, setting.Fixed(setting.Defaults())
	log := slog.New(slog.DiscardHandler)
	all := routes(pool, orders.New(pool, settings), kafka.Config{}, cfg, settings, log)
	server := httpapi.NewServer(config.HTTP{Token: "s3cret"}, nil, all, nil, log)
	for authorization, want := range map[string]int{
		"Bearer s3cret": http.StatusOK,
		"bearer s3cret": http.StatusOK,
		"":              http.StatusUnauthorized,
		"Bearer":        http.StatusUnauthorized,
		"Bearer other":  http.StatusUnauthorized,
		"Basic s3cret":  http.StatusUnauthorized,
	} {
		w := httptest.NewRecorder()
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, erpPath, nil)
		r.Header.Set("Authorization", authorization)
		server.Handler().ServeHTTP(w, r)
		require.Equal(t, want, w.Code, authorization)
		if want == http.StatusUnauthorized {
			require.Contains(t, w.Body.String(), "a token that holds Escooter_ErpConnector::view_status")
			require.NotContains(t, w.Body.String(), "in_flight")
		}
	}
}

func TestGoldenERPPostgresAway(t *testing.T) {
	t.Parallel()
	pool, err := pgxpool.New(context.Background(), "postgres://127.0.0.1:1/nowhere?connect_timeout=1")
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	c := &caller{t: t, pool: pool, Recorder: problemtest.New(t, "erp_postgres_away", serve(t, pool))}
	c.Do(problemtest.Request{Method: http.MethodGet, Path: erpPath})
}

// Where an order stands is worth more than what it waits for: support asks for it when things fail.
func TestTheStatusIsToldWithoutThePace(t *testing.T) {
	t.Parallel()
	pool := testkit.Postgres(t).Pool
	c := &caller{t: t, pool: pool}
	c.orders()
	_, err := pool.Exec(t.Context(), `ALTER TABLE erp_pace RENAME TO gone`)
	require.NoError(t, err)
	var said bytes.Buffer
	statuses := newStatusReads(pool, pace.NewStore(pool), setting.Fixed(setting.Defaults()), slog.New(slog.NewTextHandler(&said, nil)))
	for id, warnings := range map[string]int{"1": 1, "4": 0} { // one that is being sent waits for nothing, so nobody asks
		said.Reset()
		got, err := statuses.read(t.Context(), domain.OrderRef{Source: "default", IncrementID: id})
		require.NoError(t, err)
		require.Empty(t, got.WaitsFor)
		require.NotEmpty(t, got.Status)
		require.Equal(t, warnings, bytes.Count(said.Bytes(), []byte(`msg="the ERP's pace not read; the status is told without it"`)), id)
	}
}

// Who reads an answer finds each of its members on the page, with what it is.
func TestThePageExplainsEachMemberOfTheERP(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/erp.md")
	require.NoError(t, err)
	_, section, found := strings.Cut(string(page), "\n### Over HTTP\n")
	require.True(t, found)
	section, _, _ = strings.Cut(section, "\n### ")
	for _, f := range reflect.VisibleFields(reflect.TypeFor[pace.Report]()) {
		if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" {
			require.Contains(t, section, "`"+name+"`")
		}
	}
}
