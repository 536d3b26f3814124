package api

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

// auditRuns writes four runs: one found something, one could not tell, one was cancelled, one is under way.
func (c *caller) auditRuns() {
	c.t.Helper()
	const at = `timestamptz '2024-01-15 10:30:00Z'`
	for _, row := range []string{
		`'audit', ` + at + ` - interval '1 day', NULL, 'default', 'after the move', 'done', 1, ` + at + `, 812, 812, NULL, ` + at + `, '{"accepted": 24, "success": 17, "broken": 1}', 1, '{"row_not_in_kafka": 1}',
			'[{"kind": "row_not_in_kafka", "source": "default", "order_increment_id": "000000124", "sync_id": 8, "generation": 1, "where": "outbox id 15, vendor_erp_sync_requested", "means": "Kafka does not have it."}]'`,
		`'verify', NULL, NULL, NULL, '', 'failed', 1, ` + at + `, 0, 0, 'could not tell: Kafka does not answer', NULL, NULL, 0, NULL, NULL`,
		`'verify', NULL, NULL, NULL, '', 'cancelled', 1, ` + at + `, 7, 812, 'cancelled by joe: it is day', NULL, NULL, 0, NULL, NULL`,
		`'verify', NULL, NULL, NULL, '', 'running', 2, NULL, 400, 812, NULL, NULL, NULL, 0, NULL, NULL`,
	} {
		c.exec(`INSERT INTO audit_run (asked_by, asked_at, started_at, kind, from_time, to_time, source, reason, state, begun, ended_at, done, of_all, error, compared_at, counts, found, found_by_kind, findings)
			VALUES ('jane', ` + at + `, ` + at + `, ` + row + `)`)
	}
}

func TestAuditsGolden(t *testing.T) {
	t.Parallel()
	for name, story := range map[string]func(c *caller){
		"audits": func(c *caller) {
			c.get("audits")
			c.auditRuns()
			c.Whole = true
			c.get("audits?limit=2")
			c.get("audits?limit=1&cursor=3&kind=verify")
			c.get("audits/1")
			c.get("audits/4")
			c.Note("there is one at a time")
			c.post("audits", `{"kind": "audit"}`)
			c.post("audits/3/cancel", ``)
		},
		"audits_asked_wrongly": func(c *caller) {
			c.post("audits", `{}`)
			c.post("audits", `{"kind": "rebuild", "reasn": "why"}`)
			c.post("audits", `{"kind": "verify", "source": "default", "from": "2024-01-15"}`)
			c.post("audits", `{"kind": "audit", "from": "yesterday", "to_time": "x", "source": "No Shop", "reason": "a\nb"}`)
			c.post("audits", `{"kind": "audit", "from": "2024-01-15", "to_time": "2024-01-15"}`)
			c.post("audits/1/cancel", `{"reason": "a\nb"}`)
			c.post("audits/1/cancel", ``)
			c.get("audits/1")
			c.get("audits/99999999999999999999")
			c.get("audits?kind=both&limit=0&cursor=x")
		},
		"audits_postgres_away": func(c *caller) {
			c.pool.Close()
			c.post("audits", `{"kind": "audit"}`)
			c.post("audits/1/cancel", ``)
			c.get("audits")
			c.get("audits/1")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			story(setup(t, name))
		})
	}
}

// What was asked for shows, and one who may can end it; a token for one shop may do neither.
func TestAnAuditIsAskedForAndCancelled(t *testing.T) {
	t.Parallel()
	o := opened(t)
	var run wholeAuditRun
	const body = `{"kind": "audit", "from": "2024-01-15", "to_time": "2024-01-15T12:00:00+01:00", "source": "outlet", "reason": "after the move"}`
	require.Equal(t, http.StatusAccepted, o.ask("first", http.MethodPost, "/audits", body, &run))
	path := fmt.Sprintf("/audits/%d", run.ID)
	require.Equal(t, http.StatusOK, o.ask("first", http.MethodGet, path, "", &run))
	require.Equal(t, []any{"queued", "2024-01-15T00:00:00Z", "2024-01-15T11:00:00Z", "outlet", "after the move", "api"},
		[]any{run.State, *run.From, *run.ToTime, *run.Source, run.Reason, run.AskedBy})

	for name, resource := range map[string]string{"outlet": `"Escooter_ErpConnector::manage"], "source": "outlet"`, "viewer": `"Escooter_ErpConnector::view_status"]`} {
		token := o.make(fmt.Sprintf(`{"name": %q, "resources": [%s}`, name, resource)).Token
		for _, r := range [][2]string{{http.MethodPost, "/audits"}, {http.MethodGet, "/audits"}, {http.MethodGet, path}, {http.MethodPost, path + "/cancel"}} {
			require.Equal(t, http.StatusForbidden, o.ask(token, r[0], r[1], ``, nil), "%s %s", name, r)
		}
	}
	require.Equal(t, http.StatusOK, o.ask("first", http.MethodPost, path+"/cancel", `{"reason": "it is day"}`, &run))
	require.Equal(t, "cancelled by api: it is day", *run.Error)
	require.Equal(t, http.StatusConflict, o.ask("first", http.MethodPost, path+"/cancel", ``, nil))
	require.Equal(t, http.StatusAccepted, o.ask("first", http.MethodPost, "/audits", `{"kind": "verify"}`, &run))
}
