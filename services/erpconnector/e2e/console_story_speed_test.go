//go:build speed

package e2e

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/services/mockerp"
	"github.com/erpconnector/erpconnector/shared/httpapi"
	"github.com/erpconnector/erpconnector/shared/run"
	"github.com/erpconnector/erpconnector/shared/testkit"
	"github.com/erpconnector/erpconnector/shared/testkit/manyorders"
)

// How long somebody of support needs for what no console can do for them. The pauses are a part of what is measured: the limit is for a
// person and the console together.
const (
	perKey  = 150 * time.Millisecond // some 80 words a minute
	perStep = time.Second            // to see what has come, and to move a hand
	perRead = 3 * time.Second        // of a sentence that has to be understood
)

const (
	storyOrders = 100_000
	storyLimit  = 30 * time.Second
)

// person uses a browser no faster than people do.
type person struct {
	*browser

	paused time.Duration
}

// asAPerson does what somebody does from the overview on. It requires that this takes no longer than it may, and prints how long it took.
func (b *browser) asAPerson(name string, does func(*person)) {
	b.t.Helper()
	b.open("/console/overview")
	b.until(`document.querySelector('.backlog tbody tr')`)
	p, began := &person{browser: b}, time.Now()
	does(p)
	took := time.Since(began)
	b.t.Logf("an order is mended %s in %.1f s, of which the person's pauses are %.1f s", name, took.Seconds(), p.paused.Seconds())
	require.Less(b.t, took, storyLimit)
}

// pauses lets time pass.
func (p *person) pauses(d time.Duration) {
	p.t.Helper()
	p.paused += d
	require.True(p.t, run.Sleep(p.t.Context(), d))
}

// types presses a key after the other.
func (p *person) types(text string) {
	p.t.Helper()
	for _, r := range text {
		p.pauses(perKey)
		p.press(string(r))
	}
}

// TestSupportMendsAnOrderInThirtySeconds is what support does all day, with a clock beside it: find an order that has failed among 100,000,
// read why, mend that, send the order again, and see that it has arrived.
//
//	go test -tags speed -count=1 -v -run TestSupportMendsAnOrderInThirtySeconds ./services/erpconnector/e2e
func TestSupportMendsAnOrderInThirtySeconds(t *testing.T) {
	cfg := configured(t, testkit.EmbeddedBroker(t))
	manyorders.Fill(t, testkit.PoolOf(t, cfg.DatabaseURL), storyOrders)
	p := start(t, cfg)
	p.fail(mockerp.Fault{Order: "000000123", Status: http.StatusUnprocessableEntity, Says: "customer 4711 is locked", Times: 1},
		mockerp.Fault{SKU: "Z-77", Status: http.StatusUnprocessableEntity, Says: "no such sku Z-77"})
	p.failed("000000123", "A")
	p.failed("000000124", "Z-77")
	p.withUser("support", httpapi.ResourceViewStatus, httpapi.ResourceResync, httpapi.ResourceManage, httpapi.ResourcePublish)
	b := browse(t, p.base)
	b.prefers("light", 1280)
	b.open("/console")
	b.logIn("support", passwordOf("support"))
	b.until(`document.querySelector('.backlog tbody tr')`)
	b.asAPerson("by a search", (*person).mendsByASearch)
	b.asAPerson("by the kind of error", (*person).mendsByTheKindOfError)
	b.clean()
	for _, order := range []string{"000000123", "000000124"} {
		p.becomes(order, ended("success"))
	}
}

// failed is an order of one item that the ERP has refused.
func (p *product) failed(order, sku string) {
	p.t.Helper()
	event := invoice("evt-"+order, order)
	event["order"].(map[string]any)["items"].([]any)[0].(map[string]any)["sku"] = sku //nolint:forcetypeassert // a test
	status, answer := p.publish(event)
	require.Equal(p.t, http.StatusAccepted, status, answer)
	p.becomes(order, ended("failed"))
}

// mendsByASearch: a customer asks for an order. The ERP has locked the customer, which a colleague undoes meanwhile.
func (p *person) mendsByASearch() {
	p.t.Helper()
	p.pauses(perStep)
	p.clickOn("nav a", "Orders")
	p.until(`document.querySelectorAll('a[data-sync]').length === 50`)
	p.pauses(perStep)
	p.press("/")
	p.types("000000123")
	p.until(`document.querySelectorAll('a[data-sync]').length === 1`)
	p.shoot("story-search")
	p.pauses(perStep)
	p.press(kb.Enter)
	p.until(`document.activeElement.dataset.sync`)
	p.press(kb.Enter)
	p.reads("Failed after attempt 1 of 3: the ERP answered 422: customer 4711 is locked")
	p.pauses(perRead)
	p.press("r")
	p.reads("Send the order again?")
	p.pauses(perRead)
	p.press(kb.Enter)
	p.reads("The ERP has the order, as ERP-")
	p.pauses(perStep)
}

// mendsByTheKindOfError: the overview says that orders have failed. One kind of errors is new: a wrong SKU, which is corrected.
func (p *person) mendsByTheKindOfError() {
	p.t.Helper()
	p.pauses(perStep)
	p.shoot("story-overview")
	p.clickOn(".backlog a", "Why?")
	const orders = `[...document.querySelectorAll('main tbody tr')].find((row) => row.innerText.startsWith('no such sku #\n'))?.querySelector('a.button')`
	p.until(orders)
	p.shoot("story-failures")
	p.pauses(perRead)
	require.True(p.t, evaluate[bool](p.browser, orders+`.click() ?? true`))
	p.until(`document.querySelectorAll('a[data-sync]').length === 1`)
	p.pauses(perStep)
	p.click("a[data-sync]")
	p.reads("Failed after attempt 1 of 3: the ERP answered 422: no such sku Z-77")
	p.pauses(perRead)
	p.clickOn("main button", "Correct …")
	p.until(`document.querySelector('#corrected')`)
	p.pauses(perRead) // finds the line, and writes two letters
	p.corrects(`"Z-77"`, `"A"`)
	p.reads("and sent to the ERP at once.")
	require.Contains(p.t, p.difference(), fmt.Sprintf("%q", "Z-77"))
	p.shoot("story-correct")
	p.pauses(perRead)
	p.clickOn("dialog button", "Publish and send")
	p.reads("The ERP has the order, as ERP-")
	p.pauses(perStep)
}
