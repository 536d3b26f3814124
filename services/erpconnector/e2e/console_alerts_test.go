package e2e

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/require"
)

// Who is told of alerts is decided in the console: somebody is added, tried, changed, turned off and deleted.
func TestDestinationsOfAlertsInTheConsole(t *testing.T) {
	t.Parallel()
	var answer atomic.Int32
	answer.Store(http.StatusNoContent)
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(int(answer.Load())) }))
	t.Cleanup(receiver.Close)
	p := troubled(t)
	b := browse(t, p.base)
	b.open("/console/alerts")
	b.signIn("token")
	b.reads("Nobody is told of alerts")
	b.reads("Events were refused")
	b.reads("1 order has failed with")
	b.isAccessible("open alerts")
	b.clickOn("main .notice a", "Destinations")
	b.reads("There is no destination, so nobody is told of alerts.")

	b.clickOn("main button", "New destination …")
	b.fill("name", "on-call")
	b.fill("address", "not an address")
	b.press(kb.Enter)
	b.reads("address")
	b.reads("nothing was done")
	b.fill("address", receiver.URL+"/alerts")
	b.isAccessible("a new destination")
	b.press(kb.Enter)
	b.until(`document.querySelector('.secret')?.innerText.startsWith('whsec_')`)
	secret := evaluate[string](b, `document.querySelector('.secret').innerText`)
	b.isAccessible("a secret")
	b.clickOn("dialog button", "Close")
	b.until(`!document.body.innerText.includes('whsec_')`)
	b.reads("all alerts")

	b.clickOn("main button", "Try on-call")
	b.reads("on-call has taken the test: HTTP 204")
	answer.Store(http.StatusTeapot)
	b.clickOn("main button", "Try on-call")
	b.reads("on-call has not taken the test: HTTP 418")

	b.clickOn("main button", "Change … on-call")
	b.fill("name", "night")
	b.click(`dialog input[value=breaker]`)
	b.click(`dialog input[name=rotate]`)
	b.clickOn("dialog button", "Change")
	b.until(`document.querySelector('.secret')?.innerText.startsWith('whsec_')`)
	require.NotEqual(t, secret, evaluate[string](b, `document.querySelector('.secret').innerText`))
	b.clickOn("dialog button", "Close")
	b.reads("night is changed.")
	b.until(`[...document.querySelectorAll('main td')].some((cell) => cell.innerText === 'Calls to the ERP are held back')`)
	b.reads(receiver.URL + "/alerts")
	b.clickOn("main button", "Change … night")
	b.until(`document.querySelector('dialog input[value=breaker]').checked && !document.querySelector('dialog input[value=audit]').checked`)
	b.clickOn("dialog button", "Cancel")

	b.clickOn("main button", "Turn off night")
	b.reads("night is off: it is told of nothing.")
	b.isAccessible("destinations")
	b.clickOn("main a", "Past")
	b.reads("Nobody is told of alerts")
	b.clickOn("main a", "Destinations")
	b.clickOn("main button", "Delete … night")
	b.clickOn("dialog button", "Delete")
	b.reads("There is no destination, so nobody is told of alerts.")
	b.clean()
}

// An alert leads to what it is about.
func TestAnAlertLeadsToItsOrders(t *testing.T) {
	t.Parallel()
	p := troubled(t)
	b := browse(t, p.base)
	follow := func(alert string) {
		b.open("/console/alerts")
		link := fmt.Sprintf(`[...document.querySelectorAll('main tbody tr')].find((row) => row.innerText.includes(%q))?.querySelector('a')`, alert)
		b.until(link)
		evaluate[bool](b, link+`.click() ?? true`)
	}
	b.open("/console")
	b.signIn("token")
	b.reads("takes calls")
	follow("Orders have failed")
	b.reads("Kind of error: ")
	b.until(`document.querySelectorAll('a[data-sync]').length === 1`)
	b.reads("000000123")
	follow("Events were refused")
	b.reads(`type is "invoice.paid"`)
	b.clean()
}
