package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/httpapi"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

func (c *caller) exec(sql string, args ...any) {
	c.t.Helper()
	_, err := c.pool.Exec(c.t.Context(), sql, args...)
	require.NoError(c.t, err)
}

// listed writes what the projector has of four orders: two failed of one cause, one waits for a retry, one is a success.
func (c *caller) listed() {
	c.t.Helper()
	for i, o := range []struct {
		source, id, text string
		status           domain.Status
		group            domain.ErrorGroup
	}{
		{"default", "000000123", "no such sku A1", domain.Failed, domain.ErrorGroup{HTTPStatus: 422, Code: domain.ErrorRejected, Text: "no such sku #"}},
		{"outlet", "000000123", "no such sku B2", domain.Failed, domain.ErrorGroup{HTTPStatus: 422, Code: domain.ErrorRejected, Text: "no such sku #"}},
		{"default", "000000124", "no answer within 30s", domain.Queued, domain.ErrorGroup{Code: domain.ErrorTimeout, Text: "no answer within #"}},
		{source: "default", id: "000000125", status: domain.Success},
	} {
		syncID, at := int64(i+1), attempted.Add(time.Duration(i)*time.Minute)
		r := row{ref: domain.OrderRef{Source: o.source, IncrementID: o.id}, syncID: syncID, status: o.status, attempts: 1, last: &at, version: domain.AttemptVersion(1, 1, domain.PhaseAfter)}
		if o.text != "" {
			r.err = &o.text
		}
		if o.status == domain.Success {
			r.reference = new("ERP-125")
		}
		c.projected(r)
		c.exec(`UPDATE vendor_erp_sync SET payload = '{"order": 1}', response = '{"error": "no"}', idempotency_key = $2 WHERE sync_id = $1`, syncID, fmt.Sprint("ERP_", syncID))
		c.exec(`INSERT INTO sales_order (order_key, source, increment_id, order_id, snapshot, created_at, updated_at) VALUES ($1, $2, $3, 123, $4::json, now(), now())`,
			r.ref.Key(), o.source, o.id, fmt.Sprintf(`{"customer_email": "Jane.%s@example.test", "currency": "EUR", "totals": {"grand_total": "%d.90"}}`, o.source, 100+i))
		group := int64(0)
		if o.text != "" {
			group = o.group.ID()
			c.exec(`INSERT INTO vendor_erp_sync_error_group VALUES ($1, $2, $3, $4, $5, $5) ON CONFLICT (group_id) DO UPDATE SET last_seen = excluded.last_seen`,
				group, o.group.HTTPStatus, o.group.Code, o.group.Text, at)
			c.exec(`INSERT INTO vendor_erp_sync_error VALUES ($1, $2, $3)`, syncID, group, at)
		}
		c.exec(`INSERT INTO vendor_erp_sync_count VALUES ($1, $2, $3, 1)`, o.source, o.status, group)
	}
	c.exec(`UPDATE vendor_erp_sync_counted SET offsets = 0`)
}

func TestSyncsGolden(t *testing.T) {
	t.Parallel()
	for name, story := range map[string]func(c *caller){
		"syncs": func(c *caller) {
			c.Whole = true
			c.get("syncs?fields=sync_id")
			c.get("syncs/counts")
			c.listed()
			c.Note("the last changed first, two a page")
			c.get("syncs?limit=2")
			c.get("syncs?limit=2&cursor=u.1705314720000000.3")
			c.Note("some members only, the oldest first")
			c.get("syncs?fields=sync_id,source,order_increment_id&sort=created_at")
			c.Note("how many there are")
			c.get("syncs/counts")
			c.get("syncs/counts?source=outlet&status=failed,queued")
		},
		"syncs_that_match": func(c *caller) {
			c.listed()
			for _, query := range []string{
				"status=failed", "status=failed,success&source=default", "order=000000123", "order=000000123&source=outlet", "order_id=123", "email=jane.outlet@example.test",
				"erp_reference=ERP-125", "idempotency_key=ERP_3", "error_code=erp_timeout", "error=No%20such%20SKU%20X9", "http_status=422&source=outlet",
				"created_since=2024-01-15&created_until=2024-01-16", "created_since=24h", "updated_since=2024-01-15%2010:32:00", "attempts_from=2", "attempts_to=1&limit=1",
			} {
				c.get("syncs?fields=sync_id&" + query)
			}
		},
		"syncs_errors": func(c *caller) {
			c.listed()
			c.get("syncs/errors")
			c.get("syncs/errors?source=outlet")
			c.get("syncs/errors?status=queued&limit=1")
			c.Note("what the ERP's answer says of the error")
			c.exec(`UPDATE vendor_erp_sync_error_group SET erp_code = 'ORD-17', field = 'items[#].sku' WHERE http_status = 422`)
			c.get("syncs/errors?status=failed")
			c.Note("the syncs of a group")
			group := domain.ErrorGroup{HTTPStatus: 422, Code: domain.ErrorRejected, Text: "no such sku #"}
			c.get(fmt.Sprintf("syncs?error_group=%d&fields=sync_id,source,last_error", group.ID()))
		},
		"one_sync": func(c *caller) {
			c.listed()
			c.Note("what was sent and answered needs the right to manage")
			c.get("syncs/1")
			c.get("syncs/1?fields=status,error_code")
			c.Note("the timeline")
			c.accepted(open(order, 1))
			c.exec(`INSERT INTO vendor_erp_sync_event (occurred_at, topic, partition, "offset", sync_id, version, type, status, attempts)
				VALUES ($1, $2, 3, 17, 1, 1, $2, 'queued', 0)`, requested, event.TopicRequested)
			c.get("syncs/1/events?limit=1")
			c.Note("where it stood at a time")
			c.exec(`INSERT INTO vendor_erp_sync_event (occurred_at, topic, partition, "offset", sync_id, version, type, status, attempts, error, error_code)
				VALUES ($1, $2, 3, 18, 1, $3, $2, 'queued', 0, NULL, ''), ($4, $5, 3, 9, 1, $6, $5, 'failed', 1, 'no such sku A1', 'erp_rejected')`,
				requested, event.TopicRequested, domain.RequestVersion(1, 0), attempted, event.TopicFailed, domain.AttemptVersion(1, 1, domain.PhaseTerminal))
			c.get("syncs/1?as_of=2024-01-15T10:29:30Z")
			c.get("syncs/1?as_of=2024-01-15T10:30:00Z")
			c.get("syncs/1?as_of=2024-01-15")
			c.get("syncs/1?as_of=noon&fields=status")
			c.exec(`DELETE FROM vendor_erp_sync_event WHERE version = $1; `, domain.RequestVersion(1, 0))
			c.exec(`INSERT INTO erp_timeline_floor (before) VALUES ('2024-02-01')`)
			c.get("syncs/1?as_of=2024-01-15T10:30:00Z")
			c.get("syncs/9")
			c.get("syncs/99999999999999999999")
			c.get("syncs/9/events")
		},
		"the_order_of_a_sync": func(c *caller) {
			c.Whole = true
			c.listed()
			c.exec(`UPDATE sales_order SET snapshot_at = '2024-01-15 10:30:00.5Z' WHERE order_key = 'outlet/000000123'`)
			c.get("syncs/2/order")
			c.Note("no time is known of it")
			c.get("syncs/1/order")
			c.Note("no event has told of it")
			c.exec(`DELETE FROM sales_order WHERE order_key = '000000123'`)
			c.get("syncs/1/order")
			c.get("syncs/9/order")
		},
		"records_that_are_none": func(c *caller) {
			c.listed()
			c.exec(`INSERT INTO vendor_erp_sync_event (occurred_at, topic, partition, "offset", sync_id, version, type, status, attempts)
				VALUES ($1, $2, 3, 17, 1, 1, $2, 'queued', 0)`, requested, event.TopicRequested)
			c.get("syncs/9/events/vendor_erp_sync_requested/3/17")
			for _, place := range []string{"vendor_erp_sync_requested/3/18", "vendor_erp_sync_due/3/17", "vendor_erp_sync_requested/3/99999999999999999999", "vendor_erp_sync_requested/99999999999/1"} {
				c.get("syncs/1/events/" + place)
			}
			c.Note("another order's")
			c.get("syncs/2/events/vendor_erp_sync_requested/3/17")
		},
		"syncs_asked_wrongly": func(c *caller) {
			c.get("syncs?status=lost&source=Shop%20B&sort=order&fields=sync_id,stats&limit=501&order_id=0&http_status=20&created_since=yesterday&attempts_from=x")
			c.get("syncs?cursor=next")
			c.get("syncs?cursor=c.1.1")
			c.get("syncs?source=")
			c.get("syncs?updated_since=2024-01-16&updated_until=2024-01-15&created_since=1h&created_until=2h")
			c.get("syncs?state=failed")
			c.get("syncs/counts?limit=1")
			c.get("syncs/errors?error_group=x&limit=0&trend=weeks")
			c.get("syncs/7?fields=all")
		},
		"syncs_postgres_away": func(c *caller) {
			c.pool.Close()
			for _, path := range []string{"syncs", "syncs?error=any", "syncs/counts", "syncs/errors", "syncs/1", "syncs/1/events", "syncs/1/order"} {
				c.get(path)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			story(setup(t, name))
		})
	}
}

// What was sent and answered is shown to who may manage, and no cache keeps it.
func TestPayloadsAreForManagers(t *testing.T) {
	t.Parallel()
	c := &caller{t: t, pool: testkit.Postgres(t).Pool}
	c.listed()
	for _, grant := range []struct {
		holds httpapi.Resource
		shown bool
	}{{httpapi.ResourceManage, true}, {httpapi.ResourceViewStatus, false}} {
		r := httptest.NewRequestWithContext(httpapi.WithIdentity(t.Context(), httpapi.Identity{Name: "jane", Resources: []httpapi.Resource{grant.holds}}), http.MethodGet, "/rest/V1/erpconnector/syncs/1", nil)
		w := httptest.NewRecorder()
		serve(t, c.pool).ServeHTTP(w, r)
		require.Equal(t, http.StatusOK, w.Code)
		if grant.shown {
			require.Contains(t, w.Body.String(), `"payload":"{\"order\": 1}","response":"{\"error\": \"no\"}"`)
			require.NotContains(t, w.Body.String(), "withheld")
			require.Equal(t, "no-store", w.Header().Get("Cache-Control"))
		} else {
			require.NotContains(t, w.Body.String(), "payload\":")
		}
	}
}

// The trend ends with the hour, or the day, that now is in.
func TestErrorsHaveATrend(t *testing.T) {
	t.Parallel()
	c := &caller{t: t, pool: testkit.Postgres(t).Pool}
	c.listed()
	now := time.Now()
	c.exec(`UPDATE vendor_erp_sync_error SET updated_at = $1`, now)
	for name, points := range map[string]int{"hours": 24, "days": 14} {
		w := httptest.NewRecorder()
		serve(t, c.pool).ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/rest/V1/erpconnector/syncs/errors?source=outlet&trend="+name, nil))
		require.Equal(t, http.StatusOK, w.Code)
		var out errorGroups
		require.NoError(t, json.Unmarshal(w.Body.Bytes(), &out))
		require.Len(t, out.Errors, 1)
		trend := out.Errors[0].Trend
		require.Len(t, trend, points)
		sum := int64(0)
		for _, p := range trend[points-2:] { // the hour may end meanwhile
			sum += p.Syncs
		}
		require.EqualValues(t, 1, sum)
		from, err := time.Parse(domain.ModuleTime, trend[points-1].From)
		require.NoError(t, err)
		require.WithinRange(t, now, from.Add(-time.Hour), from.Add(25*time.Hour))
	}
}
