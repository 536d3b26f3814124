package e2e

import (
	"fmt"
	"net/http"
	"os"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/services/mockerp"
	"github.com/erpconnector/erpconnector/shared/httpapi"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

func (b *browser) shot(name string) {
	picture, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(90))
	require.NoError(b.t, err)
	require.NoError(b.t, os.WriteFile("/tmp/editresend-shots/"+name+".png", picture, 0o600))
}

// An order fails for a wrong SKU; it is corrected, the difference is seen, and it is sent as corrected.
func TestAnOrderIsCorrectedInTheConsole(t *testing.T) {
	t.Parallel()
	p := start(t, configured(t, testkit.EmbeddedBroker(t)))
	p.fail(mockerp.Fault{Order: "000000123", Status: http.StatusUnprocessableEntity, Times: 1})
	event := invoice("evt-1", "000000123")
	event["order"].(map[string]any)["updated_at"] = "2024-01-15 10:30:00"
	status, answer := p.publish(event)
	require.Equal(t, http.StatusAccepted, status, answer)
	p.becomes("000000123", ended("failed"))
	b := browse(t, p.base)
	b.open("/console/orders/1")
	b.signIn("token")
	defer func() { t.Log(b.said) }()
	for theme, width := range map[string]int64{"light": 1280, "dark": 390} {
		b.prefers(theme, width)
		b.reads("Show request")
		b.clickOn("main button", "Show request")
		b.clickOn("main button", "Show answer")
		b.until(`document.querySelectorAll('.timeline pre').length === 2`)
		b.isAccessible("an order " + theme)
		b.shot("order-" + theme)
		b.clickOn("main button", "Hide")
		b.clickOn("main button", "Hide")
		b.clickOn("main button", "Correct …")
		b.reads("Nothing is changed yet.")
		b.shot("editor-new-" + theme)
		evaluate[any](b, `{ const t = document.querySelector('#corrected'); t.value = t.value.replace('"sku": "A"', '"sku": "B-77"'); t.dispatchEvent(new Event('input', {bubbles: true})) }`)
		b.reads("B-77")
		b.isAccessible("an editor " + theme)
		b.shot("editor-" + theme)
		b.clickOn("dialog button", "Cancel")
	}
	b.prefers("light", 1280)
	require.NotNil(t, fmt.Sprint(httpapi.BasePath))
	b.clean()
}
