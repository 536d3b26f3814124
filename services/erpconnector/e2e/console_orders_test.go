package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/httpapi"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// Whatever the list API can filter by, the console can: each filter is a chip that can be added, and taken away.
func TestEveryFilterIsAChip(t *testing.T) {
	t.Parallel()
	described, err := os.ReadFile("../../../shared/contracts/openapi.json")
	require.NoError(t, err)
	var api struct {
		Paths map[string]struct {
			Get struct{ Parameters []struct{ Name, In string } }
		}
	}
	require.NoError(t, json.Unmarshal(described, &api))
	var filters []string
	for _, parameter := range api.Paths[httpapi.BasePath+"/syncs"].Get.Parameters {
		name := parameter.Name
		if parameter.In == "query" && !strings.HasPrefix(name, "searchCriteria") && !slices.Contains([]string{"cursor", "fields", "limit", "sort"}, name) {
			filters = append(filters, name)
		}
	}
	require.Contains(t, filters, "error_group")
	p := troubled(t)
	b := browse(t, p.base)
	b.open("/console/orders")
	b.signIn("token")
	b.reads("000000124")
	offered := evaluate[[]string](b, `[...document.querySelectorAll('#filter option')].map((o) => o.value)`)
	require.ElementsMatch(t, filters, offered)

	add := func(name, value string) {
		b.click("#add-filter > summary")
		evaluate[any](b, fmt.Sprintf(`(() => { const s = document.getElementById('filter'); s.value = %q; s.dispatchEvent(new Event('change')); })(), null`, name))
		b.until(`document.activeElement.id === 'filter-value'`)
		b.press(value + kb.Enter)
	}
	add("status", "failed,queued")
	b.reads("Status: Failed, Queued")
	add("http_status", "422")
	b.reads("HTTP status: 422")
	b.until(`document.querySelectorAll('a[data-sync]').length === 1`)
	require.Equal(t, "#status=failed%2Cqueued&http_status=422", evaluate[string](b, `location.hash`))
	b.click(".chip button")
	b.until(`location.hash === '#http_status=422'`)
	b.clean()
}

// What the table shows is what the file holds: the chosen columns, the orders that match. The browser keeps the choice.
func TestTheExportIsWhatIsShown(t *testing.T) {
	t.Parallel()
	p := troubled(t)
	b := browse(t, p.base)
	b.open("/console/orders#status=success&sort=created_at")
	b.signIn("token")
	b.until(`document.querySelectorAll('a[data-sync]').length === 3`)
	b.clickOn("main summary", "Columns")
	for _, column := range []string{"Shop", "Attempts", "Error", "ERP reference", "Changed", "Number in the shop"} {
		b.clickOn("main details label", column)
	}
	headings := `[...document.querySelectorAll('thead th')].map((th) => th.innerText).join()`
	b.until(headings + ` === 'Order,Number in the shop,Status'`)
	b.open("/console/orders#status=success&sort=created_at")
	b.until(headings + ` === 'Order,Number in the shop,Status'`)
	evaluate[any](b, `URL.createObjectURL = (blob) => { blob.text().then((text) => { window.exported = text; }); return 'data:,'; }; null`)
	b.clickOn("main button", "Export CSV")
	b.until(`window.exported`)
	number := evaluate[string](b, `document.querySelector('tbody td:nth-child(2)').innerText`)
	want := "\ufefforder_increment_id,order_id,status\r\n"
	for i := range 3 {
		want += fmt.Sprintf("%09d,%s,success\r\n", 124+i, number)
	}
	require.Equal(t, strings.TrimPrefix(want, "\ufeff"), strings.TrimPrefix(evaluate[string](b, `window.exported`), "\ufeff"))
	b.clickOn("main button", "The usual ones")
	b.until(headings + ` === 'Order,Shop,Status,Attempts,Error,ERP reference,Changed'`)
	b.clean()
}

// The menu has what the token may use, in two groups; on a phone it opens by a button, and closes when a page is chosen.
func TestTheMenu(t *testing.T) {
	t.Parallel()
	p := start(t, configured(t, testkit.EmbeddedBroker(t)))
	b := browse(t, p.base)
	b.prefers("light", 390)
	b.open("/console")
	b.signIn("token")
	b.reads("takes calls")
	seen := `document.querySelector('#menu').checkVisibility()`
	require.False(t, evaluate[bool](b, seen))
	b.click(".opener")
	b.until(seen)
	b.isAccessible("the menu on a phone")
	groups := evaluate[string](b, `document.querySelector('#menu').innerText.replaceAll('\n', ' ')`)
	require.Regexp(t, `Work.*Orders.*Live.*Dead letters.*Manage.*Alerts.*Tokens.*Users`, groups)
	b.clickOn("#menu a", "Settings")
	b.reads("retry_max_attempts")
	b.until(`!` + seen)
	b.click(".opener")
	b.until(seen)
	evaluate[any](b, `document.querySelector('#menu a').focus(), null`)
	b.press(kb.Escape)
	b.until(`!` + seen)
	b.prefers("light", 1280)
	b.until(seen)
	b.clean()
}

// In the event that is to be corrected, what is wrong is marked: the value, or what should hold it.
func TestTheWrongPlaceIsMarked(t *testing.T) {
	t.Parallel()
	p := start(t, configured(t, testkit.EmbeddedBroker(t)))
	b := browse(t, p.base)
	b.open("/console")
	for pointer, want := range map[string]string{
		"/type": `"x"`, "/order/items/1/sku": `"B"`, "/order/items/0/qty": "{\n        \"sku\": \"A\"\n      }", "/a~1b": "1.10", "/none/of/it": "", "": "",
	} {
		marked := evaluate[string](b, fmt.Sprintf(`Promise.all([import('/console/assets/x/quarantine.js'), import('/console/assets/x/api.js')]).then(([q, a]) => {
			const event = a.exact('{"type":"x","order":{"items":[{"sku":"A"},{"sku":"B"}]},"a/b":1.10}');
			return JSON.stringify(event, null, 2).slice(...q.placeOf(event, %q));
		})`, pointer))
		if want == "" {
			require.Regexp(t, `(?s)^\{\n  "type".*\}$`, marked, pointer)
		} else {
			require.Equal(t, want, marked, pointer)
		}
	}
	require.Equal(t, "Zoë", evaluate[string](b, `import('/console/assets/x/api.js').then((m) => m.textOf('Wm/Dqw=='))`))
}
