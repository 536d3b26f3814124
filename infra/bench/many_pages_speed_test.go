//go:build speed

package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/testkit/chromium"
)

// How long a page of the console may take, in milliseconds: until there is something to read, and until its content stands.
const (
	maxPaint   = 300
	maxContent = 500
)

const opened = 5 // times, of each page

const listed = `a[data-sync]`

// shownAt are the pages by their addresses, each with what stands there when its content does: elements by CSS selectors.
func shownAt(orders int) map[string][]string {
	rows := []string{"main tbody tr"}
	list := []string{listed, "nav.tabs b:not(:empty)"}
	return map[string][]string{
		"overview": {".chart canvas", ".backlog tbody tr"}, "overview#range=day": {".chart canvas"}, "overview#range=week&source=outlet": {".chart canvas"},
		"orders": list, "orders#status=failed": list, "orders#status=failed&source=outlet": list, "orders#status=success": list, "orders#error_group=2": list,
		"orders#sort=-created_at": list, "orders#error=sku": list, "orders#attempts_from=2&status=success": {"main [role=status]"},
		"orders#q=1000000007": list, "orders#q=ERP-7": list, "orders#q=c7@example.test": list, "orders#q=no+such+sku": list, "orders#q=10000000": {"main [role=status]"},
		"orders/10": {"[data-sentence]"}, fmt.Sprintf("orders/%d", orders/2/1001*1001): {"[data-sentence]"},
		"failures": rows, "failures#all=yes": rows, "quarantine": rows, "dead-letters": rows, "live": {".head .badge.good"},
		"alerts": {"main [role=status]"}, "alerts#show=resolved": {"main [role=status]"}, "alerts#show=destinations": rows,
		"users": rows, "audit": {"[data-kind=audit]", "[data-kind=verify]"}, "settings": {".setting"}, "tokens": rows,
	}
}

// noteContent notes in a page, before its own scripts run, when its content stands: in the frame after what is waited for has come, and
// after nothing says that it is being loaded.
const noteContent = `(() => {
	const selectors = (%s)[location.pathname.replace('/console/', '') + location.hash];
	if (!selectors) return;
	const observer = new MutationObserver(() => {
		const main = document.querySelector('main');
		if (!main || main.textContent.includes('Loading …') || !selectors.every((one) => document.querySelector(one))) return;
		observer.disconnect();
		requestAnimationFrame(() => setTimeout(() => { window.contentAt = performance.now(); }));
	});
	observer.observe(document, { subtree: true, childList: true, characterData: true });
})()`

// readTimes is what a page has noted, in milliseconds since the navigation began.
const readTimes = `({
	paint: performance.getEntriesByName('first-contentful-paint')[0]?.startTime,
	content: window.contentAt,
	requests: performance.getEntriesByType('resource').filter((r) => r.name.includes('/rest/')).map((r) => (
		{ path: decodeURIComponent(r.name.slice(r.name.indexOf('/erpconnector/') + 13)), took: r.responseEnd - r.startTime, status: r.responseStatus })),
	errors: [...document.querySelectorAll('[role=alert]')].map((notice) => notice.innerText),
})`

// shown is how a page came to be.
type shown struct {
	Paint, Content float64
	Requests       []struct {
		Path   string
		Took   float64
		Status int
	}
	Errors []string
}

// consolePages opens each page of the console some times and prints what it took. On a machine that is busy with something else the best
// of them is what counts.
func (m *many) consolePages(t *testing.T) {
	_, err := m.pool.Exec(t.Context(), `INSERT INTO alert_destination (name, kind, address, alerts, created_at, created_by, changed_at, changed_by)
		VALUES ('measured', 'slack', 'https://alerts.test', '{}', now(), 'test', now(), 'test')`) // without one, the page of alerts warns
	require.NoError(t, err)
	pages := shownAt(*manyFlag)
	tab := m.signedIn(t, pages)
	t.Logf("%-50s %21s %21s %31s  %s", "page, times in ms", "paint: median, worst", "content: median, worst", "statements, ms and pages of PG", "slowest request")
	for _, path := range slices.Sorted(maps.Keys(pages)) {
		m.openPage(t, tab, path)
	}
	tab.Clean()
}

// signedIn is a browser whose pages note their times.
func (m *many) signedIn(t *testing.T, pages map[string][]string) *chromium.Tab {
	t.Helper()
	tab := chromium.Start(t, m.site)
	tab.Open("/console")
	tab.Until(`document.getElementById('token')`)
	chromium.Evaluate[any](tab, fmt.Sprintf(`{ const field = document.getElementById('token'); field.value = %q; field.form.requestSubmit(); }`, token))
	tab.Until(`document.querySelector('nav a[aria-current=page]')`)
	selectors, err := json.Marshal(pages)
	require.NoError(t, err)
	tab.Do(chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{
			Source: fmt.Sprintf(noteContent, selectors),
		})
		return err
	}))
	return tab
}

func (m *many) openPage(t *testing.T, tab *chromium.Tab, path string) {
	t.Helper()
	before := m.work(t)
	var paint, content []float64
	slowest, by := 0.0, ""
	for range opened {
		tab.Open("/console/" + path)
		tab.Until(`window.contentAt`)
		page := chromium.Evaluate[shown](tab, readTimes)
		require.Empty(t, page.Errors, path)
		for _, r := range page.Requests {
			require.Less(t, r.Status, 400, "%s asks %s", path, r.Path)
			if r.Took > slowest {
				slowest, by = r.Took, r.Path
			}
		}
		paint, content = append(paint, page.Paint), append(content, page.Content)
	}
	work := m.work(t)
	slices.Sort(paint)
	slices.Sort(content)
	t.Logf("%-50.50s %10.0f %10.0f %10.0f %11.0f %10.1f %10.1f %10.0f  %.0f ms: %.80s", path, paint[opened/2], paint[opened-1], content[opened/2], content[opened-1],
		(work[0]-before[0])/opened, (work[1]-before[1])/opened, (work[2]-before[2])/opened, slowest, strings.TrimPrefix(by, "/"))
	if paint[0] > maxPaint**slackFlag || content[0] > maxContent**slackFlag {
		t.Errorf("%s takes at least %.0f ms until it can be read, %.0f ms until its content stands: more than %.0f and %.0f times %d and %d", path,
			paint[0], content[0], *slackFlag, *slackFlag, maxPaint, maxContent)
	}
}
