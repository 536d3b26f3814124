package api

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/access"
	"github.com/erpconnector/erpconnector/shared/alert"
	"github.com/erpconnector/erpconnector/shared/config"
	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/httpapi"
	"github.com/erpconnector/erpconnector/shared/setting"
	"github.com/erpconnector/erpconnector/shared/signature"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// alerted is the API of alerts behind tokens, with what it logs.
type alerted struct {
	*office

	log *testkit.Log
}

func alerting(t *testing.T) *alerted {
	t.Helper()
	a := &alerted{&office{caller: &caller{t: t, pool: testkit.Postgres(t).Pool}}, new(testkit.Log)}
	log, store := slog.New(slog.NewJSONHandler(a.log, &slog.HandlerOptions{Level: slog.LevelDebug})), access.NewStore(a.pool)
	routes := append(tokenRoutes(store, log), alertRoutes(a.pool, config.ERP{}, config.Mail{}, setting.Fixed(setting.Defaults()), log)...)
	a.server = httpapi.NewServer(config.HTTP{Token: "first"}, access.NewVerifier(store, log), routes, nil, log).Handler()
	return a
}

// refusedAlert is a problem as an answer has it.
type refusedAlert struct {
	Code, Detail string
	Errors       []struct{ Pointer, Parameter, Code, Detail string }
}

func TestDestinationsAreMadeChangedAndRemoved(t *testing.T) {
	t.Parallel()
	a := alerting(t)
	const path = "/alerts/destinations"
	var made, changed destination
	require.Equal(t, http.StatusCreated, a.ask("first", http.MethodPost, path,
		`{"name": "on-call", "kind": "webhook", "address": "https://ops.example.com/hook?token=hunter2", "alerts": ["breaker", "backlog"]}`, &made))
	require.Regexp(t, `^whsec_`, made.Secret)
	require.Equal(t, "https://ops.example.com/hook?****", made.Address)
	require.True(t, made.Enabled)
	require.Equal(t, "api", made.CreatedBy)
	var slack destination
	require.Equal(t, http.StatusCreated, a.ask("first", http.MethodPost, path, `{"name": "#orders", "kind": "slack", "address": "https://hooks.slack.com/services/hunter2"}`, &slack))
	require.Empty(t, slack.Secret)

	var all struct{ Destinations []destination }
	require.Equal(t, http.StatusOK, a.ask("first", http.MethodGet, path, "", &all))
	require.Len(t, all.Destinations, 2)
	require.Empty(t, all.Destinations[0].Secret, "it is shown once")
	require.Equal(t, []domain.AlertKind{}, all.Destinations[1].Alerts)
	require.NotContains(t, fmt.Sprint(all), "hunter2")

	require.Equal(t, http.StatusOK, a.ask("first", http.MethodPatch, path+"/1", `{"enabled": false, "alerts": []}`, &changed))
	require.False(t, changed.Enabled)
	require.Empty(t, changed.Alerts)
	require.Equal(t, "on-call", changed.Name)
	d, err := alert.NewStore(a.pool).Get(t.Context(), 1)
	require.NoError(t, err)
	require.Equal(t, []string{made.Secret, "https://ops.example.com/hook?token=hunter2"}, []string{d.Secret.Reveal(), d.Address}, "what the body does not name stays")
	require.Equal(t, http.StatusOK, a.ask("first", http.MethodPatch, path+"/1", `{"secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}`, &changed))
	require.Empty(t, changed.Secret)

	require.Equal(t, http.StatusOK, a.ask("first", http.MethodDelete, path+"/2", "", nil))
	for _, path := range []string{path + "/2", path + "/99999999999999999999"} {
		var said refusedAlert
		require.Equal(t, http.StatusNotFound, a.ask("first", http.MethodDelete, path, "", &said))
		require.Equal(t, "destination_not_found", said.Code)
		require.Equal(t, http.StatusNotFound, a.ask("first", http.MethodPatch, path, `{"enabled": true}`, nil))
		require.Equal(t, http.StatusNotFound, a.ask("first", http.MethodPost, path+"/test", "", nil))
	}
	require.NotContains(t, a.log.String(), "hunter2")
	require.NotContains(t, a.log.String(), "whsec_")
	a.pool.Close()
	require.Equal(t, http.StatusServiceUnavailable, a.ask("first", http.MethodGet, path, "", nil))
	require.Equal(t, http.StatusServiceUnavailable, a.ask("first", http.MethodGet, "/alerts", "", nil))
}

func TestDestinationsThatAreRefused(t *testing.T) {
	t.Parallel()
	a := alerting(t)
	const path = "/alerts/destinations"
	require.Equal(t, http.StatusCreated, a.ask("first", http.MethodPost, path, `{"name": "ops", "kind": "email", "address": "ops@example.com"}`, nil))
	for name, c := range map[string]struct {
		method, path, body string
		status             int
		code, place        string // of the answer; place: of its first error
	}{
		"http":              {http.MethodPost, path, `{"name": "x", "kind": "webhook", "address": "http://ops.example.com"}`, 422, "request_refused", "/address"},
		"metadata":          {http.MethodPost, path, `{"name": "x", "kind": "webhook", "address": "https://169.254.169.254/"}`, 422, "request_refused", "/address"},
		"nothing":           {http.MethodPost, path, `{}`, 422, "request_refused", "/name"},
		"a_misspelt_member": {http.MethodPost, path, `{"name": "x", "kind": "email", "adress": "ops@example.com"}`, 422, "request_refused", "/adress"},
		"a_secret_of_mail":  {http.MethodPost, path, `{"name": "x", "kind": "email", "address": "ops@example.com", "secret": "x"}`, 422, "request_refused", "/secret"},
		"the_name_is_taken": {http.MethodPost, path, `{"name": "ops", "kind": "email", "address": "ops@example.com"}`, 409, "destination_name_taken", ""},
		"the_kind_stays":    {http.MethodPatch, path + "/1", `{"kind": "slack"}`, 422, "request_refused", "/kind"},
		"a_change_to_none":  {http.MethodPatch, path + "/1", `{"address": "nobody"}`, 422, "request_refused", "/address"},
		"no_json":           {http.MethodPatch, path + "/1", `enabled`, 400, "not_json", ""},
		"no_state":          {http.MethodGet, "/alerts?state=over", "", 400, "query_invalid", "state"},
		"no_alert":          {http.MethodGet, "/alerts?alert=fire", "", 400, "query_invalid", "alert"},
		"no_cursor":         {http.MethodGet, "/alerts?cursor=x", "", 400, "query_invalid", "cursor"},
	} {
		t.Run(name, func(t *testing.T) {
			var said refusedAlert
			require.Equal(t, c.status, a.ask("first", c.method, c.path, c.body, &said))
			require.Equal(t, c.code, said.Code)
			if c.place != "" {
				require.Equal(t, c.place, said.Errors[0].Pointer+said.Errors[0].Parameter)
			}
		})
	}
}

// Saying where the connector sends something takes the right that the ERP's address takes. The rest is a matter of the configuration.
func TestWhoMayDoWhatWithAlerts(t *testing.T) {
	t.Parallel()
	a := alerting(t)
	const path, body = "/alerts/destinations", `{"name": "ops", "kind": "email", "address": "ops@example.com"}`
	token := func(name, resources string) string {
		return a.make(`{"name": "` + name + `", "resources": ["Escooter_ErpConnector::` + resources + `"]}`).Token
	}
	operator, viewer := token("operator", "config"), token("viewer", "view_status")
	both := token("both", `config", "Escooter_ErpConnector::erp_address`)
	require.Equal(t, http.StatusForbidden, a.ask(operator, http.MethodPost, path, body, nil))
	require.Equal(t, http.StatusCreated, a.ask(both, http.MethodPost, path, body, nil))
	require.Equal(t, http.StatusForbidden, a.ask(operator, http.MethodPatch, path+"/1", `{"address": "other@example.com"}`, nil))
	require.Equal(t, http.StatusOK, a.ask(operator, http.MethodPatch, path+"/1", `{"enabled": false}`, nil))
	require.Equal(t, http.StatusOK, a.ask(both, http.MethodPatch, path+"/1", `{"address": "other@example.com"}`, nil))
	for _, route := range []string{"GET " + path, "POST " + path, "PATCH " + path + "/1", "DELETE " + path + "/1", "POST " + path + "/1/test"} {
		var method, to string
		_, _ = fmt.Sscan(route, &method, &to)
		require.Equal(t, http.StatusForbidden, a.ask(viewer, method, to, body, nil), route)
		require.Equal(t, http.StatusUnauthorized, a.ask("nobody", method, to, body, nil), route)
	}
	require.Equal(t, http.StatusOK, a.ask(viewer, http.MethodGet, "/alerts", "", nil))
	require.Equal(t, http.StatusForbidden, a.ask(operator, http.MethodGet, "/alerts", "", nil))
	shop := a.make(`{"name": "shop", "resources": ["Escooter_ErpConnector::view_status"], "source": "outlet"}`).Token
	require.Equal(t, http.StatusForbidden, a.ask(shop, http.MethodGet, "/alerts", "", nil), "alerts are about all shops")
	require.Equal(t, http.StatusOK, a.ask(operator, http.MethodDelete, path+"/1", "", nil))
}

// One call tries a destination, and says what came back.
func TestADestinationIsTried(t *testing.T) {
	t.Parallel()
	a := alerting(t)
	status := http.StatusOK
	var secret string
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if !signature.VerifyStandard([]string{secret}, r.Header.Get("webhook-id"), r.Header.Get("webhook-timestamp"), r.Header.Get("webhook-signature"), body, time.Now()) {
			status = http.StatusUnauthorized
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, r.Header.Get("webhook-id"))
	}))
	t.Cleanup(receiver.Close)
	var made destination
	require.Equal(t, http.StatusCreated, a.ask("first", http.MethodPost, "/alerts/destinations", `{"name": "x", "kind": "webhook", "enabled": false, "address": "`+receiver.URL+`"}`, &made))
	secret = made.Secret
	var result testResult
	require.Equal(t, http.StatusOK, a.ask("first", http.MethodPost, "/alerts/destinations/1/test", "", &result))
	require.True(t, result.Delivered)
	require.Equal(t, http.StatusOK, *result.HTTPStatus)
	require.Equal(t, result.MessageID, result.Said)
	secret = "whsec_other"
	require.Equal(t, http.StatusOK, a.ask("first", http.MethodPost, "/alerts/destinations/1/test", "", &result))
	require.False(t, result.Delivered)
	require.Equal(t, http.StatusUnauthorized, *result.HTTPStatus)
	receiver.Close()
	result = testResult{}
	require.Equal(t, http.StatusOK, a.ask("first", http.MethodPost, "/alerts/destinations/1/test", "", &result))
	require.Nil(t, result.HTTPStatus)
	require.Contains(t, result.Said, "connection refused")
}

// Alerts are listed page by page, with what became of their notices.
func TestAlertsAreListed(t *testing.T) {
	t.Parallel()
	a := alerting(t)
	store, now := alert.NewStore(a.pool), time.Date(2024, 1, 15, 10, 30, 0, 0, time.UTC)
	require.Equal(t, http.StatusCreated, a.ask("first", http.MethodPost, "/alerts/destinations", `{"name": "ops", "kind": "email", "address": "ops@example.com"}`, nil))
	look := func(at time.Time, levels domain.AlertLevels) {
		open, err := store.Open(t.Context())
		require.NoError(t, err)
		for _, c := range (domain.AlertPolicy{}).Look(open.Alerts(), levels, at) {
			applied, err := store.Apply(t.Context(), open, alert.Change{AlertChange: c, Data: alert.Data{Text: "so it is", Details: map[string]any{"a": "b"}}}, at)
			require.NoError(t, err)
			require.True(t, applied)
		}
	}
	look(now, domain.AlertLevels{domain.AlertQuarantine: {"": 3}, domain.AlertOrdersFailed: {"7": 1}})
	look(now.Add(time.Minute), domain.AlertLevels{domain.AlertQuarantine: {}, domain.AlertBreaker: {"": 1}})
	var page alertPage
	require.Equal(t, http.StatusOK, a.ask("first", http.MethodGet, "/alerts?limit=2", "", &page))
	require.Equal(t, []domain.AlertKind{domain.AlertBreaker, domain.AlertQuarantine}, []domain.AlertKind{page.Alerts[0].Alert, page.Alerts[1].Alert})
	over := page.Alerts[1]
	require.Equal(t, []any{"resolved", "2024-01-15T10:30:00Z", "2024-01-15T10:31:00Z", "so it is", int64(0)}, []any{over.State, over.OpenedAt, *over.ResolvedAt, over.Text, over.Level})
	require.Equal(t, []domain.AlertEvent{domain.AlertResolved, domain.AlertOpened}, []domain.AlertEvent{over.Deliveries[0].Event, over.Deliveries[1].Event})
	require.Equal(t, []any{"ops", alert.Pending, 0}, []any{over.Deliveries[0].Destination, over.Deliveries[0].State, over.Deliveries[0].Attempts})
	require.Equal(t, http.StatusOK, a.ask("first", http.MethodGet, "/alerts?limit=2&cursor="+*page.Next, "", &page))
	require.Len(t, page.Alerts, 1)
	require.Equal(t, []any{domain.AlertOrdersFailed, "7", "open"}, []any{page.Alerts[0].Alert, page.Alerts[0].Subject, page.Alerts[0].State})
	require.Nil(t, page.Next)
	for query, want := range map[string]int{"state=open": 2, "state=resolved": 1, "state=all": 3, "alert=breaker": 1, "alert=breaker&state=resolved": 0} {
		require.Equal(t, http.StatusOK, a.ask("first", http.MethodGet, "/alerts?"+query, "", &page))
		require.Len(t, page.Alerts, want, query)
	}
}
