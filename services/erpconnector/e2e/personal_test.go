package e2e

import (
	"bufio"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/alert"
	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/httpapi"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// nobodysBusiness is what a token that may only see status never gets: the customer of the orders, and every secret.
var nobodysBusiness = []string{
	"jane", "planted doe", "planted street", "planted city", "10115", "+49", "planted-token", "planted-key", "planted-secret", "planted-password", "planted-address", "hunter2",
}

func (l *observed) keepsToItself(what, said string) {
	l.t.Helper()
	for _, secret := range nobodysBusiness {
		require.NotContains(l.t, strings.ToLower(said), secret, what)
	}
}

// onlooker is told of alerts, may see status, and knows a place in the stream.
type onlooker struct {
	told   *told
	token  string
	lastID string
	user   string // a user's session
}

// anOnlookerComes makes one. What is made for it is secret, too: its token, the address of its alerts, and a user's password.
func (l *observed) anOnlookerComes() onlooker {
	l.t.Helper()
	o := onlooker{told: listensToAlerts(l.t), token: l.as("an onlooker", httpapi.ResourceViewStatus, httpapi.ResourceResync).token}
	status, made := l.do(http.MethodPost, httpapi.BasePath+"/alerts/destinations", map[string]any{
		"name": "on-call", "kind": "webhook", "address": o.told.URL + "/?token=planted-address", "secret": "whsec_cGxhbnRlZC1wbGFudGVkLXBsYW50ZWQtcGxhbnRlZA==",
	})
	require.Equal(l.t, http.StatusCreated, status, "%v", made)
	status, made = l.do(http.MethodPost, httpapi.BasePath+"/users", map[string]any{
		"name": "a user", "password": "hunter2 hunter2", "resources": []httpapi.Resource{httpapi.ResourceViewStatus},
	})
	require.Equal(l.t, http.StatusCreated, status, "%v", made)
	status, o.user = l.answer(http.MethodPost, "/rest/V1/integration/admin/token", `{"username": "a user", "password": "hunter2 hunter2"}`, "Content-Type", "application/json")
	require.Equal(l.t, http.StatusOK, status)
	o.user = strings.Trim(strings.TrimSpace(o.user), `"`)
	l.streams(o.token, "", func(line string) bool {
		id, is := strings.CutPrefix(line, "id: ")
		o.lastID = id
		return is
	})
	return o
}

// streams reads the stream of an order until a line is the last one.
func (l *observed) streams(token, lastID string, isLast func(line string) bool) (all string) {
	l.t.Helper()
	req, err := http.NewRequestWithContext(l.t.Context(), http.MethodGet, l.base+httpapi.BasePath+"/events/stream?order=good", nil)
	require.NoError(l.t, err)
	req.Header.Set("Authorization", "Bearer "+token)
	if lastID != "" {
		req.Header.Set("Last-Event-ID", lastID)
	}
	resp, err := http.DefaultClient.Do(req)
	require.NoError(l.t, err)
	defer func() { _ = resp.Body.Close() }()
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		all += lines.Text() + "\n"
		if isLast(lines.Text()) {
			return all
		}
	}
	require.Fail(l.t, "the stream has ended", "%s", all)
	return ""
}

// seesNoCustomer asks for everything that an onlooker may ask for. The order "good" is one whose customer the ERP did not name.
func (o onlooker) seesNoCustomer(l *observed) {
	l.t.Helper()
	sync := l.becomes("good", ended("success"))["sync_id"]
	as := *l.product
	as.token = o.token
	_, refused := as.do(http.MethodGet, httpapi.BasePath+"/quarantine?code=failed", nil) // its reason names nothing of it
	entry := refused["entries"].([]any)[0].(map[string]any)                              //nolint:forcetypeassert // a test
	_, preview := as.bulk(http.MethodPost, "/resync", map[string]any{"filter": map[string]any{"order": "good", "email": "Jane@planted.example"}, "newKey": true, "reason": "try"})
	l.keepsToItself("preview", fmt.Sprint(preview))
	status, job := as.bulk(http.MethodPost, "/jobs", map[string]any{"token": preview["token"]})
	require.Equal(l.t, http.StatusAccepted, status, "%v", job)
	l.keepsToItself("job", fmt.Sprint(job))
	as.jobIs(fmt.Sprintf("/jobs/%v", job["job_id"]), "done")
	for _, path := range []string{
		"/sync-status/good", "/timeline/good", "/syncs?order=good", "/syncs?email=jane@planted.example&order=good", fmt.Sprintf("/syncs/%v", sync), fmt.Sprintf("/syncs/%v/events", sync),
		fmt.Sprintf("/syncs/%v?as_of=0s", sync), "/syncs/counts", "/syncs/errors", "/quarantine/counts", fmt.Sprintf("/quarantine/%v", entry["id"]), "/bulk/jobs", "/bulk/jobs/1",
		"/bulk/jobs/1/results", "/alerts", "/erp", "/me",
	} {
		status, body := l.answer(http.MethodGet, httpapi.BasePath+path, "", "Authorization", "Bearer "+o.token)
		require.Equal(l.t, http.StatusOK, status, "%s %s", path, body)
		l.keepsToItself(path, body)
	}
	all := l.streams(o.token, o.lastID, func(line string) bool { return line == "event: vendor_erp_sync_success" })
	require.Contains(l.t, all, `"order_increment_id":"good"`)
	l.keepsToItself("stream", all)
	for _, path := range []string{"/alerts/destinations", "/settings", "/users", "/tokens?all=true"} {
		status, body := l.answer(http.MethodGet, httpapi.BasePath+path, "", "Authorization", "Bearer "+l.token)
		require.Equal(l.t, http.StatusOK, status, "%s %s", path, body)
		l.keepsToItself(path, body)
		for _, token := range []string{o.token, o.user, "cGxhbnRlZC1wbGFudGVk"} {
			require.NotContains(l.t, body, token, path)
		}
	}
	o.hears(l, domain.AlertQuarantine)
}

// hears waits for an alert, and looks at all that was told.
func (o onlooker) hears(l *observed, kind domain.AlertKind) {
	l.t.Helper()
	testkit.Eventually(l.t, func() bool {
		_, all := o.told.heard()
		return slices.ContainsFunc(all, func(n alert.Notice) bool { return n.Data.Alert == kind })
	}, "nobody was told of %s", kind)
	_, notices := o.told.heard()
	l.keepsToItself("alerts", fmt.Sprintf("%+v", notices))
}
