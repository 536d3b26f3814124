package e2e

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/services/mockerp"
	"github.com/erpconnector/erpconnector/shared/httpapi"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// overview is what the API says of the last hour: the sum, and how many orders wait at each stage.
func (p *product) overview(query string) (total map[string]any, waits map[string]any) {
	p.t.Helper()
	status, answer := p.do(http.MethodGet, httpapi.BasePath+"/syncs/overview"+query, nil)
	require.Equal(p.t, http.StatusOK, status, answer)
	waits = map[string]any{}
	for _, stage := range answer["backlog"].([]any) {
		s := stage.(map[string]any)
		waits[fmt.Sprint(s["stage"])] = s["orders"]
	}
	total = answer["total"].(map[string]any)
	sum := 0.0
	for _, point := range answer["points"].([]any) {
		sum += point.(map[string]any)["accepted"].(float64)
	}
	require.InDelta(p.t, total["accepted"], sum, 0)
	return total, waits
}

// mixed is a product with thirty orders: three that the ERP refuses, five that succeed at the second attempt, and the others at once.
func mixed(t *testing.T) *product {
	t.Helper()
	p := start(t, configured(t, testkit.EmbeddedBroker(t)))
	var faults []mockerp.Fault
	for i := range 3 {
		faults = append(faults, mockerp.Fault{Order: fmt.Sprint(700 + i), Status: http.StatusUnprocessableEntity, Times: 1})
	}
	for i := range 5 {
		faults = append(faults, mockerp.Fault{Order: fmt.Sprint(710 + i), Status: http.StatusServiceUnavailable, Times: 1})
	}
	p.fail(faults...)
	for i := range 30 {
		order := fmt.Sprint(700 + i)
		status, answer := p.publish(invoice("evt-"+order, order))
		require.Equal(t, http.StatusAccepted, status, answer)
	}
	for i := range 30 {
		want := "success"
		if i < 3 {
			want = "failed"
		}
		p.becomes(fmt.Sprint(700+i), ended(want))
	}
	return p
}

// Thirty orders, some of which fail: each is counted once, and a rebuild of the projection counts the same.
func TestTheOverviewCountsEachOrderOnce(t *testing.T) {
	t.Parallel()
	p := mixed(t)
	check := func() map[string]any {
		total, waits := p.overview("")
		for name, want := range map[string]float64{"accepted": 30, "succeeded": 27, "failed": 3, "cancelled": 0, "attempts": 35, "success_rate": 0.9} {
			require.InDelta(t, want, total[name], 1e-9, name)
		}
		require.Equal(t, map[string]any{"rejected": 3., "unavailable": 5.}, total["attempt_errors"])
		require.InDelta(t, 35, total["call_ms"].(map[string]any)["count"], 0)
		require.InDelta(t, 27, total["order_ms"].(map[string]any)["count"], 0)
		require.Equal(t, map[string]any{"held": 0., "outbox": 0., "queued": 0., "in_flight": 0., "retry": 0., "failed": 3.}, waits)
		delete(total, "accepted_per_minute") // time passes
		delete(total, "succeeded_per_minute")
		return total
	}
	before := check()
	p.sql(`UPDATE vendor_erp_sync_history SET accepted = accepted + 1`)
	out, err := p.command("rebuild")
	require.NoError(t, err, out)
	require.Equal(t, before, check())
	total, _ := p.overview("?source=outlet&range=week")
	require.InDelta(t, 0, total["accepted"], 0)
}

// The page shows the figures, and the same as a table; what is chosen stands in the address.
func TestTheOverviewInTheConsole(t *testing.T) {
	t.Parallel()
	p := mixed(t)
	b := browse(t, p.base)
	b.open("/console/overview")
	b.signIn("token")
	b.reads("3 failed")
	b.until(`document.querySelectorAll('.plot canvas').length === 4`)
	require.Contains(t, evaluate[string](b, `document.querySelector('.plot').getAttribute('aria-label')`), "30 came in, and 27 went out")
	b.clickOn("main summary", "The numbers as a table")
	b.until(`document.querySelectorAll('.numbers tbody tr').length === 60`)
	b.isAccessible("the table")
	b.clickOn("main nav a", "Last week")
	b.until(`location.hash === '#range=week'`)
	b.until(`document.querySelectorAll('.numbers tbody tr').length === 168`)
	b.reads("90 %")
	b.clickOn(".backlog a", "3")
	b.reads("told to answer 422")
	b.open("/console/overview")
	b.clickOn(".backlog a", "Why?")
	b.reads("Resend all 3 …")
	b.clean()
}

// Before the first order the page says so, and draws nothing.
func TestTheOverviewOfAFreshInstall(t *testing.T) {
	t.Parallel()
	p := start(t, configured(t, testkit.EmbeddedBroker(t)))
	b := browse(t, p.base)
	b.open("/console/overview")
	b.signIn("token")
	b.reads("No order has come yet.")
	b.isAccessible("an empty overview")
	require.False(t, evaluate[bool](b, `!!document.querySelector('.plot')`))
	b.clean()
}
