package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/services/mockerp"
	"github.com/erpconnector/erpconnector/shared/httpapi"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// ofSKU is an event of an order of two pieces of something.
func ofSKU(kind, order, sku string) map[string]any {
	e := invoice(kind+"-"+order, order)
	e["type"] = kind
	if kind != "invoice.created" {
		delete(e, "invoice")
	}
	item := e["order"].(map[string]any)["items"].([]any)[0].(map[string]any) //nolint:forcetypeassert // the test fails
	item["sku"] = sku
	return e
}

// as is the product asked with a token of its own that may do these things.
func (p *product) as(name string, resources ...httpapi.Resource) *product {
	p.t.Helper()
	status, made := p.do(http.MethodPost, httpapi.BasePath+"/tokens", map[string]any{"name": name, "resources": resources})
	require.Equal(p.t, http.StatusCreated, status, "%v", made)
	who := *p
	who.token = made["token"].(string) //nolint:forcetypeassert // the test fails
	return &who
}

// publishAll publishes batches of up to 500 events, which are all taken.
func (p *product) publishAll(events []any) {
	p.t.Helper()
	for batch := range slices.Chunk(events, 500) {
		status, answer := p.publish(batch)
		require.Equal(p.t, http.StatusOK, status, "%v", answer)
		for _, result := range answer["results"].([]any) { //nolint:forcetypeassert // the test fails
			require.Equal(p.t, "accepted", result.(map[string]any)["result"]) //nolint:forcetypeassert // the test fails
		}
	}
}

// listed are the numbers of the orders that match, page by page.
func (p *product) listed(query string) (orders []string) {
	p.t.Helper()
	for cursor := ""; ; {
		status, page := p.do(http.MethodGet, httpapi.BasePath+"/syncs?limit=500&sort=created_at&"+query+cursor, nil)
		require.Equal(p.t, http.StatusOK, status, "%v", page)
		for _, s := range page["syncs"].([]any) { //nolint:forcetypeassert // the test fails
			orders = append(orders, s.(map[string]any)["order_increment_id"].(string)) //nolint:forcetypeassert // the test fails
		}
		next, more := page["next"].(string)
		if !more {
			return orders
		}
		cursor = "&cursor=" + next
	}
}

// failureGroups are the kinds of errors that failed orders have, the most frequent first.
func (p *product) failureGroups() (groups []map[string]any) {
	p.t.Helper()
	status, answer := p.do(http.MethodGet, httpapi.BasePath+"/syncs/errors?status=failed", nil)
	require.Equal(p.t, http.StatusOK, status, "%v", answer)
	for _, g := range answer["errors"].([]any) { //nolint:forcetypeassert // the test fails
		groups = append(groups, g.(map[string]any)) //nolint:forcetypeassert // the test fails
	}
	return groups
}

// resyncGroup sends a kind of failed orders again, five of them first.
func (p *product) resyncGroup(group map[string]any, reason string) (job string) {
	p.t.Helper()
	job, preview := p.startBulk("resync", map[string]any{"filter": map[string]any{"status": "failed", "error_group": group["error_group"]}, "reason": reason, "canary": 5})
	require.Equal(p.t, group["syncs"], preview["orders"])
	require.Empty(p.t, preview["would_refuse"])
	return job
}

// isDone watches a job until all its orders are at the ERP.
func (p *product) isDone(job string, orders int) {
	p.t.Helper()
	done := p.jobIs(job, "done")
	require.Equal(p.t, map[string]any{"orders": 5.0, "state": "passed"}, done["canary"])
	require.InDelta(p.t, orders, done["orders"].(map[string]any)["succeeded"], 0) //nolint:forcetypeassert // the test fails
	require.Equal(p.t, "jane", done["started_by"])
	lines := p.results(job)
	require.Len(p.t, lines, orders)
	for _, line := range lines {
		require.Equal(p.t, []any{"succeeded", "success", nil}, []any{line["result"], line["status"], line["last_error"]})
	}
}

// Support finds 1,001 failed orders of two causes: the shop wrote a wrong number of an article, and the ERP has blocked another one.
// The first is mended by updates of the orders, the second at the ERP; a try before that costs five calls. All through the API.
func TestSupportMendsAThousandFailedOrders(t *testing.T) {
	t.Parallel()
	testkit.OnEmbeddedFirst(t, func(t *testing.T, brokers kafka.Config) {
		const wrong, blocked = 601, 400
		p := start(t, configured(t, brokers))
		p.fail(mockerp.Fault{SKU: "A-10", Status: http.StatusUnprocessableEntity, Says: "no such sku A-10", Code: "ORD-17", Field: "items[0].sku"},
			mockerp.Fault{SKU: "B-7", Status: http.StatusBadRequest, Says: "sku B-7 is blocked", Label: "blocked"})
		shop := p.as("the shop", httpapi.ResourcePublish)
		jane := p.as("jane", httpapi.ResourceViewStatus, httpapi.ResourceResync)
		var placed, mended []any
		for i := range wrong + blocked {
			order := fmt.Sprint(10_000 + i)
			if i < wrong {
				placed, mended = append(placed, ofSKU("invoice.created", order, "A-10")), append(mended, ofSKU("order.updated", order, "A-1O"))
			} else {
				placed = append(placed, ofSKU("invoice.created", order, "B-7"))
			}
		}
		shop.publishAll(placed)
		jane.failedNow(wrong + blocked)

		require.Len(t, jane.listed("status=failed"), wrong+blocked)
		groups := jane.failureGroups()
		require.Len(t, groups, 2)
		for i, want := range []struct {
			syncs, status float64
			text, value   string
			code, field   any
		}{{wrong, 422, "no such sku #", "138217.98", "ORD-17", "items[#].sku"}, {blocked, 400, "sku # is blocked", "91992.00", "FAULT", nil}} {
			g := groups[i]
			require.Equal(t, []any{want.syncs, want.status, want.text, want.code, want.field}, []any{g["syncs"], g["http_status"], g["error"], g["erp_code"], g["field"]})
			require.Equal(t, map[string]any{"amounts": []any{map[string]any{"currency": "EUR", "grand_total": want.value}}}, g["value"])
			require.Len(t, jane.listed(fmt.Sprintf("status=failed&error_group=%s", g["error_group"])), int(want.syncs))
		}

		// Nothing is mended yet: the canary fails, and no other order is sent.
		calls := p.erpCalls()
		job := jane.resyncGroup(groups[1], "I hope for the best")
		paused := jane.jobIs(job, "paused")
		require.Equal(t, map[string]any{"orders": 5.0, "state": "failed"}, paused["canary"])
		status, stopped := jane.bulk(http.MethodPost, job+"/stop", map[string]any{"reason": "it is still blocked"})
		require.Equal(t, http.StatusOK, status, "%v", stopped)
		require.Equal(t, []any{"stopped", "jane"}, []any{stopped["state"], stopped["changed_by"]})
		jane.failedNow(wrong + blocked)
		require.InDelta(t, calls+5, p.erpCalls(), 0)

		shop.publishAll(mended)
		jane.isDone(jane.resyncGroup(groups[0], "the shop has sent the right numbers"), wrong)
		require.Len(t, jane.failureGroups(), 1)
		status, _ = p.do(http.MethodDelete, "/mockerp/faults?label=blocked", nil)
		require.Less(t, status, 300)
		jane.isDone(jane.resyncGroup(groups[1], "the ERP takes it now"), blocked)
		require.Empty(t, jane.failureGroups())
		require.Len(t, jane.listed("status=success"), wrong+blocked)
		p.bookedOnceEach(map[string]int{"A-1O": wrong, "B-7": blocked})
		p.conserved()
	})
}

// erpCalls is how often the mock ERP was called.
func (p *product) erpCalls() float64 {
	p.t.Helper()
	_, stats := p.do(http.MethodGet, "/mockerp/stats", nil)
	return stats["calls"].(float64) //nolint:forcetypeassert // the test fails
}

// bookedOnceEach checks that the mock ERP has booked so many orders of each article, and none of them twice.
func (p *product) bookedOnceEach(want map[string]int) {
	p.t.Helper()
	got, times := map[string]int{}, map[string]int{}
	for _, call := range p.calls("") {
		if call.Status != http.StatusCreated {
			continue
		}
		var body struct{ Items []struct{ SKU string } }
		require.NoError(p.t, json.Unmarshal([]byte(call.Body), &body))
		got[body.Items[0].SKU]++
		times[call.Order]++
	}
	require.Equal(p.t, want, got)
	for order, n := range times {
		require.Equal(p.t, 1, n, order)
	}
	require.InDelta(p.t, len(times), p.bookings(), 0)
}
