package e2e

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/services/mockerp"
	"github.com/erpconnector/erpconnector/shared/httpapi"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// troubled is a product with an order that the ERP has refused once, and three that it took.
func troubled(t *testing.T) *product {
	t.Helper()
	p := start(t, configured(t, testkit.EmbeddedBroker(t)))
	p.fail(mockerp.Fault{Order: "000000123", Status: http.StatusUnprocessableEntity, Code: "ORD-17", Field: "items[0].sku", Times: 1})
	for i := range 4 {
		order := fmt.Sprintf("%09d", 123+i)
		status, answer := p.publish(invoice("evt-"+order, order))
		require.Equal(t, http.StatusAccepted, status, answer)
	}
	status, answer := p.publish(strange("evt-strange"))
	require.Equal(t, http.StatusUnprocessableEntity, status, answer)
	p.becomes("000000123", ended("failed"))
	for i := range 3 {
		p.becomes(fmt.Sprintf("%09d", 124+i), ended("success"))
	}
	return p
}

// strange is an event of a type that there is none of.
func strange(id string) map[string]any {
	event := invoice(id, "000000900")
	event["type"] = "invoice.paid"
	return event
}

// What support does all day: find an order that has failed, read why, send it again, see that it has arrived. By keyboard alone.
func TestSupportMendsAnOrderInTheConsole(t *testing.T) {
	t.Parallel()
	p := troubled(t)
	b := browse(t, p.base)
	b.open("/")
	b.signIn("wrong")
	b.reads("This token is not known, was revoked, or has expired.")
	evaluate[any](b, `document.getElementById('token').value = ''; document.getElementById('token').focus()`)
	b.press("token" + kb.Enter)
	b.until(`document.querySelector('nav a[aria-current=page]')`)
	b.open("/console/orders")
	b.reads("000000124")
	b.press("jj")
	b.until(`document.activeElement === document.querySelectorAll('a[data-sync]')[1]`)
	b.press("k")
	b.until(`document.activeElement === document.querySelectorAll('a[data-sync]')[0]`)

	b.press("/")
	b.until(`document.activeElement.id === 'search'`)
	b.press("told to answer")
	b.reads("Error has: told to answer")
	b.until(`document.querySelectorAll('a[data-sync]').length === 1`)
	b.reads("Error has: told to answer")
	b.press(kb.Enter)
	b.until(`document.activeElement.dataset.sync`)
	b.press(kb.Enter)
	b.reads("Failed after attempt 1 of 3: the ERP answered 422")
	b.press("r")
	b.reads("Send the order again?")
	b.press(kb.Enter)
	b.reads("The ERP has the order, as ERP-")
	b.until(`!document.querySelector('dialog')`)
	require.NotContains(t, evaluate[string](b, `document.body.innerText`), "Größe", "nobody has asked for it")
	b.clickOn("main button", "Show what was sent")
	b.reads("Größe <L> & more")
	b.clean()
}

// What has failed of one cause is sent again: one to try, then the rest by a bulk job.
func TestAKindOfFailureIsSentAgain(t *testing.T) {
	t.Parallel()
	p := start(t, configured(t, testkit.EmbeddedBroker(t)))
	p.fail(mockerp.Fault{Status: http.StatusUnprocessableEntity, Times: 3})
	for i := range 3 {
		order := fmt.Sprint(700 + i)
		p.publish(invoice("evt-"+order, order))
		p.becomes(order, ended("failed"))
	}
	b := browse(t, p.base)
	b.open("/console/failures")
	b.signIn("token")
	b.reads("FAULT")
	require.Equal(t, []string{"Error", "ERP's code", "Orders", "First seen", "Last seen", "What to do"}, evaluate[[]string](b, `[...document.querySelectorAll('main th')].map((th) => th.textContent)`),
		"no answer names a field")
	b.clickOn("main button", "Resend one …")
	b.reads("Send order 700 again?")
	b.clickOn("dialog button", "Send it")
	p.becomes("700", ended("success"))
	b.clickOn("main button", "Resend all 2 …")
	b.reads("2 of them must succeed before the others go out.")
	b.clickOn("dialog button", "Send 2")
	b.reads("2 of 2 orders. 2 succeeded")
	b.reads("all orders have come to their end")
	b.reads("Nothing is wrong: there is no order with an error.")
	b.isAccessible("a job")
	b.clean()
}

// An event that was refused is corrected and sent; another one is discarded.
func TestARefusedEventIsCorrectedInTheConsole(t *testing.T) {
	t.Parallel()
	p := start(t, configured(t, testkit.EmbeddedBroker(t)))
	for _, id := range []string{"evt-1", "evt-2"} {
		status, answer := p.publish(strange(id))
		require.Equal(t, http.StatusUnprocessableEntity, status, answer)
	}
	b := browse(t, p.base)
	b.open("/console/quarantine")
	b.signIn("token")
	b.reads(`type is "invoice.paid"; it must be order.placed`)
	b.clickOn("main button", "Correct …")
	b.until(`document.querySelector('textarea')?.value.includes('invoice.paid')`)
	b.isAccessible("a correction")
	b.clickOn("dialog button", "Send")
	b.reads("the event was not accepted")
	evaluate[any](b, `const t = document.querySelector('textarea'); t.value = t.value.replace('invoice.paid', 'invoice.created')`)
	b.clickOn("dialog button", "Send")
	b.reads("Entry 1: accepted.")
	p.becomes("000000900", ended("success"))
	b.until(`document.querySelectorAll('main tbody tr').length === 1`)
	b.clickOn("main button", "Discard …")
	b.fill("reason", "a test of the shop")
	b.press(kb.Enter)
	b.reads("No event waits here.")
	b.clickOn("main a", "Discarded")
	b.reads("Discarded by api: a test of the shop")
	b.clean()
}

// What an operator does: change a setting, make and revoke a token, stop the calls to the ERP and let them out.
func TestAnOperatorInTheConsole(t *testing.T) {
	t.Parallel()
	p := start(t, configured(t, testkit.EmbeddedBroker(t)))
	b := browse(t, p.base)
	b.open("/console/settings")
	b.signIn("token")
	b.clickOn("main button", "Change … erp_timeout")
	b.fill("value", "soon")
	b.fill("reason", "a slow ERP")
	b.press(kb.Enter)
	b.reads("nothing was done; correct what errors lists")
	b.fill("value", "10s")
	b.press(kb.Enter)
	b.reads("changed by api")
	b.clickOn("main button", "History erp_timeout")
	b.reads("a slow ERP")
	b.clickOn("dialog button", "Close")

	b.open("/console/tokens")
	b.clickOn("main button", "New token …")
	b.fill("name", "jane")
	b.click(`dialog input[value=view_status]`)
	b.press(kb.Enter)
	b.until(`document.querySelector('.secret')?.innerText.startsWith('erpc_')`)
	b.clickOn("dialog button", "Close")
	b.clickOn("main button", "Revoke … jane")
	b.clickOn("dialog button", "Revoke")
	b.reads("The token of jane is revoked.")

	b.open("/console/overview")
	b.clickOn("main button", "Stop calls …")
	b.fill("reason", "it moves")
	b.press(kb.Enter)
	b.reads("calls stopped")
	b.reads("api stopped them at")
	b.clickOn("main button", "Let calls out …")
	b.fill("reason", "it has moved")
	b.press(kb.Enter)
	b.reads("takes calls")
	b.clean()
}

// A spreadsheet runs what looks like a formula, and the texts of an order are its customer's.
func TestTheExportHoldsNoFormulas(t *testing.T) {
	t.Parallel()
	p := start(t, configured(t, testkit.EmbeddedBroker(t)))
	b := browse(t, p.base)
	b.open("/console")
	csv := func(value string) string {
		return evaluate[string](b, fmt.Sprintf(`import('/console/assets/x/csv.js').then((m) => m.csvOf([{a: %q, b: null}], ['a', 'b']))`, value))
	}
	for value, want := range map[string]string{
		"=1+1": "'=1+1", "@SUM(A1)": "'@SUM(A1)", "+1": "'+1", "-1": "'-1", "\t=1": "'\t=1", "ERP-7": "ERP-7", `say "no", please`: `"say ""no"", please"`,
		"=a,b": `"'=a,b"`, "two\nlines": "\"two\nlines\"",
	} {
		require.Equal(t, "a,b\r\n"+want+",\r\n", csv(value))
	}
}

// A number that is written 1.10 in an event that is corrected is sent as 1.10.
func TestACorrectedEventKeepsItsDigits(t *testing.T) {
	t.Parallel()
	p := start(t, configured(t, testkit.EmbeddedBroker(t)))
	b := browse(t, p.base)
	b.open("/console")
	const event = `{"price":1.10,"id":12345678901234567890,"name":"1.10"}`
	sent := evaluate[string](b, fmt.Sprintf(`import('/console/assets/x/api.js').then((m) => JSON.stringify(m.exact(%q)))`, event))
	require.Equal(t, []string{event}, []string{sent})
}

// A token that is revoked ends what is signed in with it, and the reader is told so.
func TestARevokedTokenEndsTheSession(t *testing.T) {
	t.Parallel()
	p := troubled(t)
	status, made := p.do(http.MethodPost, httpapi.BasePath+"/tokens", map[string]any{"name": "support", "resources": []string{"Escooter_ErpConnector::view_status"}})
	require.Equal(t, http.StatusCreated, status)
	b := browse(t, p.base)
	b.open("/console/orders")
	b.signIn(fmt.Sprint(made["token"]))
	b.reads("000000124")
	status, _ = p.do(http.MethodDelete, httpapi.BasePath+"/tokens/1", nil)
	require.Equal(t, http.StatusOK, status)
	b.reads("The session has ended: it has expired, or was revoked.")
	b.clean()
}
