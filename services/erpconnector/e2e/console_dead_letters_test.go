package e2e

import (
	"fmt"
	"testing"

	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/shared/event"
)

// A dead letter that has stopped an order offers to send the order or the record again; one that has not is looked at and discarded.
func TestDeadLettersInTheConsole(t *testing.T) {
	t.Parallel()
	onSpoilers(t, func(p spoiler) {
		p.spoilRequests("000000123", "000000124")
		p.everything()
		p.stopped("000000123")
		p.stopped("000000124")
		orphan := &kgo.Record{Topic: p.cfg.TopicPrefix + event.TopicSuccess, Key: []byte("000000125"), Value: []byte("Zoë\xff, no JSON")}
		require.NoError(p.t, p.client.ProduceSync(p.t.Context(), orphan).FirstErr())

		b := browse(p.t, p.base)
		row := func(order, says string) string {
			return fmt.Sprintf(`[...document.querySelectorAll('main tbody tr')].find((row) => row.innerText.includes(%q) && row.innerText.includes(%q))`, order, says)
		}
		press := func(row, button string) {
			found := fmt.Sprintf(`[...(%s)?.querySelectorAll('button') || []].find((b) => b.innerText === %q)`, row, button)
			b.until(found)
			evaluate[bool](b, found+`.click() ?? true`)
		}
		const stopped, wentOn = "The order has stopped", "No order has stopped."
		b.open("/console/dead-letters")
		b.signIn("token")
		b.until(row("000000123", stopped))
		for theme, width := range map[string]int64{"light": 1280, "dark": 390} {
			b.prefers(theme, width)
			b.open("/console/dead-letters")
			b.until(row("000000123", stopped))
			b.isAccessible("dead letters " + theme)
			require.False(p.t, evaluate[bool](b, `document.documentElement.scrollWidth > innerWidth`), "wider than a window of %d", width)
		}
		press(row("000000123", stopped), "Resync")
		b.clickOn("dialog button", "Resync")
		p.becomes("000000123", ended("success"))
		b.clickOn("main a", "Discarded")
		b.until(row("000000123", "resync by api"))
		b.clickOn("main a", "Open")

		press(row("000000124", stopped), "Send back …")
		b.fill("reason", "a new release")
		b.press(kb.Enter)
		b.until(`/Dead letter \d+: /.test(document.body.innerText)`)
		b.clickOn("main a", "Sent back")
		b.until(row("000000124", "a new release"))
		b.open("/console/dead-letters")
		b.until(row("000000124", "Sent back 1 time before."))

		b.open("/console/dead-letters")
		b.until(row("000000125", wentOn))
		require.NotContains(p.t, evaluate[string](b, row("000000125", wentOn)+`.innerText`), "Send back")
		press(row("000000125", wentOn), "Show")
		b.reads("Zoë�, no JSON")
		b.isAccessible("a record")
		b.clickOn("dialog button", "Close")
		press(row("000000125", wentOn), "Discard …")
		b.fill("reason", "nobody needs it")
		b.press(kb.Enter)
		b.until(`!(` + row("000000125", "") + `)`)
		b.clean()
	})
}
