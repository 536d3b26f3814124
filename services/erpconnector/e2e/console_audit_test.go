package e2e

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/httpapi"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// runs are the newest runs, as the API lists them.
func (p *product) runs() []any {
	p.t.Helper()
	status, answer := p.do(http.MethodGet, httpapi.BasePath+"/audits", nil)
	require.Equal(p.t, http.StatusOK, status, answer)
	return answer["audits"].([]any)
}

// An audit and a verification that the page has started find what is broken, and name the order; before that they find nothing.
func TestTheConsoleStartsAnAuditThatFindsWhatIsBroken(t *testing.T) {
	t.Parallel()
	p := troubled(t)
	b := browse(t, p.base)
	start := func(kind, question, do string) {
		t.Helper()
		runs := len(p.runs())
		b.clickOn("main button", kind+" …")
		b.reads(question)
		b.fill("reason", "to see")
		b.isAccessible(kind + ": the question")
		b.clickOn("dialog button", do)
		testkit.Eventually(t, func() bool {
			all := p.runs()
			return len(all) == runs+1 && all[0].(map[string]any)["state"] == "done"
		}, "the run ends: %v", p.runs())
	}
	b.open("/console/audit")
	b.signIn("token")
	b.reads("Nobody has asked for one yet.")
	b.reads("Not made by itself. To change that: audit_interval")
	start("Audit", "Look whether an order is lost?", "Start the audit")
	b.reads("Nothing is broken: 4 accepted = 4 ended + 0 alive + 0 not requested + 0 broken.")
	start("Verify", "Compare the table with the log?", "Start the verification")
	b.reads("No difference in 4 rows and ")
	b.reads("Asked for by api; ended")

	p.sql(`DELETE FROM erp_outbox WHERE key = '000000124' AND topic = 'vendor_erp_sync_requested'`)
	p.sql(`UPDATE vendor_erp_sync SET erp_reference = 'ERP-by-hand' WHERE order_increment_id = '000000125'`)
	p.sql(`DELETE FROM vendor_erp_sync WHERE order_increment_id = '000000126'`)
	start("Audit", "Look whether an order is lost?", "Start the audit")
	b.reads("1 thing is broken: 4 accepted = 3 ended + 0 alive + 0 not requested + 1 broken.")
	b.reads("record_unknown")
	start("Verify", "Compare the table with the log?", "Start the verification")
	b.reads("2 differences in 4 rows")
	b.reads("row_only_in_log")
	b.reads(`The row says "ERP-by-hand" in erp_reference`)
	for theme, width := range map[string]int64{"light": 1280, "dark": 390} {
		b.prefers(theme, width)
		b.open("/console/audit")
		b.reads("row_only_in_log")
		b.isAccessible("what was found, " + theme)
		require.False(t, evaluate[bool](b, `document.documentElement.scrollWidth > innerWidth`), "wider than a window of %d", width)
	}
	b.prefers("light", 1280)
	require.Equal(t, 1, evaluate[int](b, `document.querySelectorAll('main a[href="/console/orders/2"]').length`), "the order that the audit names")
	b.clickOn("main .table a", "Audit 1")
	b.until(`document.querySelector('[data-run="1"]') && !document.querySelector('[data-run="3"]')`)
	b.clean()
}

// While a run is under way the page shows how far it is, nobody can start another one, and it can be cancelled.
func TestARunIsWatchedAndCancelledInTheConsole(t *testing.T) {
	t.Parallel()
	p := troubled(t)
	p.sql(`INSERT INTO audit_run (kind, reason, asked_by, asked_at, state, started_at, begun, done, of_all) VALUES ('verify', 'the nightly one', 'jane', now(), 'running', now(), 2, 400, 812)`)
	b := browse(t, p.base)
	b.open("/console/audit")
	b.signIn("token")
	b.reads("400 of 812 places of the log are read. It was begun 2 times")
	b.reads("the nightly one")
	require.Equal(t, 2, evaluate[int](b, `document.querySelectorAll('main button.main:disabled').length`))
	b.isAccessible("a run that is under way")
	p.sql(`UPDATE audit_run SET done = 500`)
	b.reads("500 of 812 places")
	p.sql(`INSERT INTO audit_run (kind, reason, asked_by, asked_at, state, started_at, begun, made_by, seen_at) VALUES ('audit', '', 'root', now(), 'running', now(), 1, 'command', now() + interval '1 h')`)
	b.reads("Run by root with erpconnector audit; began")
	require.Equal(t, 2, evaluate[int](b, `document.querySelectorAll('main button.main:disabled').length`))
	b.isAccessible("a command beside it")
	p.sql(`UPDATE audit_run SET state = 'failed', error = 'it could not tell', ended_at = now() WHERE made_by = 'scheduler'`)
	b.reads("it could not tell")
	b.until(`!document.querySelector('main button.main:disabled')`)
	require.Equal(t, 1, evaluate[int](b, `document.querySelectorAll('main progress').length`), "a command keeps nobody from asking")
	b.clickOn("main button", "Cancel …")
	b.clickOn("dialog button", "Cancel it")
	b.reads("cancelled by api")
	require.Equal(t, "cancelled", p.runs()[0].(map[string]any)["state"], fmt.Sprint(p.runs()))
	b.clean()
}
