package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/services/mockerp"
	"github.com/erpconnector/erpconnector/shared/httpapi"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// corrects replaces a part of the text in the editor, as somebody who types.
func (b *browser) corrects(old, by string) {
	b.t.Helper()
	b.until(`document.querySelector('#corrected')`)
	require.True(b.t, evaluate[bool](b, fmt.Sprintf(`{
		const area = document.querySelector('#corrected'), before = area.value;
		area.value = before.replace(%q, %q);
		area.dispatchEvent(new Event('input', {bubbles: true}));
		area.value !== before;
	}`, old, by)), "the editor has no %s", old)
}

// difference is what the editor shows as changed, a line each.
func (b *browser) difference() string {
	b.t.Helper()
	return evaluate[string](b, `[...document.querySelectorAll('.diff del, .diff ins')].map((line) => line.textContent).join('\n')`)
}

// sync is the sync of an order, with what was sent.
func (p *product) sync(id int) map[string]any {
	p.t.Helper()
	status, answer := p.do(http.MethodGet, fmt.Sprintf("%s/syncs/%d", httpapi.BasePath, id), nil)
	require.Equal(p.t, http.StatusOK, status, answer)
	return answer
}

// erpWithout is an ERP that takes every order but one with this SKU.
func erpWithout(t *testing.T, sku string) (url string) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		content, _ := io.ReadAll(r.Body)
		w.Header().Set("Content-Type", "application/json")
		if bytes.Contains(content, fmt.Appendf(nil, `"sku":%q`, sku)) {
			w.WriteHeader(http.StatusUnprocessableEntity)
			_, _ = fmt.Fprintf(w, `{"error": "no such sku %s"}`, sku)
			return
		}
		_, _ = io.WriteString(w, `{"erp_reference": "ERP-4711", "status": "accepted"}`)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// An order fails for a wrong SKU. It is corrected, the difference is seen, and it is sent as corrected, with every digit as it was.
func TestAnOrderIsCorrectedInTheConsole(t *testing.T) {
	t.Parallel()
	cfg := configured(t, testkit.EmbeddedBroker(t))
	cfg.Settings.ErpBaseURL = erpWithout(t, "A")
	p := start(t, cfg)
	event := invoice("evt-1", "000000123")
	event["order"].(map[string]any)["updated_at"] = "2024-01-15 10:30:00"
	event["order"].(map[string]any)["ours"] = json.RawMessage(`{"exact": 12345678901234567890.10}`)
	status, answer := p.publish(event)
	require.Equal(t, http.StatusAccepted, status, answer)
	p.becomes("000000123", ended("failed"))

	b := browse(t, p.base)
	b.open("/console/orders/1")
	b.signIn("token")
	b.reads("Failed after attempt 1 of 3: the ERP answered 422: no such sku A")
	b.clickOn("main button", "Show request")
	b.clickOn("main button", "Show answer")
	b.reads(`"sku": "A"`)
	b.reads(`"error": "no such sku A"`)
	b.isAccessible("an order with its contents")
	b.clickOn("main button", "Correct …")
	b.reads("The corrected order is published as order.updated, and sent to the ERP at once.")
	b.reads("Nothing is changed yet.")
	b.until(`document.querySelector('dialog button.main').disabled`)
	for _, wrong := range []struct{ old, by, says string }{
		{`"sku": "A"`, `"sku": "A`, "This is no JSON yet:"},
		{`"000000123"`, `"000000124"`, `order_increment_id must stay "000000123"`},
	} {
		b.corrects(wrong.old, wrong.by)
		b.reads(wrong.says)
		b.until(`document.querySelector('dialog button.main').disabled`)
		b.isAccessible(wrong.says)
		b.corrects(wrong.by, wrong.old)
	}
	b.corrects(`"sku": "A"`, `"sku": "B-77"`)
	b.reads("2 lines go, 2 come.")
	require.Regexp(t, `^−goes: +"sku": "A"\n\+comes: +"sku": "B-77"\n`+
		`−goes: +"updated_at": "2024-01-15 10:30:00"\n\+comes: +"updated_at": "20\d\d-[-:\dT]+Z"$`, b.difference())
	b.reads("updated_at becomes the time at which you have read the order")
	b.isAccessible("an editor")
	b.clickOn("dialog button", "Publish and send")
	b.reads("Order 000000123: the correction is published, and on its way to the ERP.")
	b.reads("The ERP has the order, as ERP-4711.")
	require.Contains(t, p.sync(1)["payload"], `"sku":"B-77","name":"Größe <L> & more","qty":2,"price":99.990`)
	b.clickOn("main button", "Correct …")
	b.until(`document.querySelector('#corrected')?.value.includes('12345678901234567890.10')`)
	b.clean()
}

// What a correction does depends on where the order stands, and is said before.
func TestACorrectionInEachState(t *testing.T) {
	t.Parallel()
	cfg := configured(t, testkit.EmbeddedBroker(t))
	cfg.Settings.BaseDelay = 20 * time.Minute
	p := start(t, cfg)
	p.fail(mockerp.Fault{Order: "1", Status: http.StatusServiceUnavailable, Times: 1})
	for i, order := range []string{"1", "2"} {
		status, answer := p.publish(invoice(fmt.Sprint("evt-", i), order))
		require.Equal(t, http.StatusAccepted, status, answer)
	}
	p.becomes("2", ended("success"))
	p.becomes("1", func(s map[string]any) bool { return s["status"] == "queued" && s["next_attempt_at"] != nil })
	b := browse(t, p.base)
	find := func(order string) {
		b.open("/console/orders#order=" + order)
		b.click("a[data-sync]")
		b.reads("Order " + order)
	}
	b.open("/console")
	b.signIn("token")
	b.reads("Overview")

	find("1")
	const waits = `/^Waits for attempt 2 of 3 in \d\d min( \d+ s)?: the ERP answered 503/.test(document.querySelector('[data-sentence]').innerText)`
	b.until(waits)
	sentence := evaluate[string](b, `document.querySelector('[data-sentence]').innerText`)
	b.until(fmt.Sprintf(`document.querySelector('[data-sentence]').innerText !== %q && `, sentence) + waits) // it counts down
	b.clickOn("main button", "Correct …")
	b.reads("it does not wait for its next attempt, and its attempts begin anew")
	b.corrects(`"A"`, `"B"`)
	b.clickOn("dialog button", "Publish and send")
	p.becomes("1", ended("success"))
	b.reads("The ERP has the order, as ERP-")
	require.Equal(t, 2, evaluate[int](b, `document.querySelectorAll('[data-attempt="1"]').length`), "the first of each generation")

	find("2")
	b.clickOn("main button", "Correct …")
	b.reads("and nothing is sent: the ERP keeps the order as it was")
	b.corrects(`"A"`, `"B"`)
	b.clickOn("dialog button", "Publish")
	b.reads("Order 2: the correction is published.")
	_, status := p.do(http.MethodGet, httpapi.BasePath+"/sync-status/2", nil)
	require.Equal(t, "success", status["status"])

	// The shop has changed the order while somebody corrects it: its state stays.
	b.clickOn("main button", "Correct …")
	b.corrects(`"B"`, `"C"`)
	changed := invoice("evt-later", "2")
	changed["type"] = "order.updated"
	changed["order"].(map[string]any)["updated_at"] = time.Now().Add(time.Hour).UTC().Format(time.RFC3339)
	code, answer := p.publish(changed)
	require.Equal(t, http.StatusAccepted, code, answer)
	b.clickOn("dialog button", "Publish")
	b.reads("The shop has published a newer state of the order meanwhile.")
	b.clickOn("dialog button", "Cancel")
	b.clickOn("main button", "Correct …")
	b.until(`document.querySelector('#corrected')?.value.includes('"A"')`)
	b.corrects(`"price": "99.990"`, `"price": null`)
	b.clickOn("dialog button", "Publish")
	b.reads("Order 2: the correction is published.\n⚠ /order/items/0/price is missing")
	b.clean()
}

// Who lacks a right is not offered what needs it, and reads which one it is.
func TestWhoMayNotCorrectIsToldWhatIsMissing(t *testing.T) {
	t.Parallel()
	p := troubled(t)
	for held, lacks := range map[string]string{
		"view_status": "It lacks: publish (publish events), manage (all about orders and dead letters; see what was sent).",
		"manage":      "It lacks: publish (publish events).",
	} {
		status, made := p.do(http.MethodPost, httpapi.BasePath+"/tokens", map[string]any{"name": held, "resources": []string{"Escooter_ErpConnector::" + held}})
		require.Equal(t, http.StatusCreated, status, made)
		b := browse(t, p.base)
		b.open("/console/orders/1")
		b.signIn(fmt.Sprint(made["token"]))
		b.reads("Your token cannot correct the order. " + lacks)
		require.False(t, evaluate[bool](b, `Boolean(document.querySelector('[data-action=correct]'))`))
		require.Equal(t, held == "manage", evaluate[bool](b, `Boolean(document.querySelector('.record button'))`), "a request is shown to who may see it")
		b.isAccessible(held)
		b.clean()
	}
}

// The sentence says what is happening, whatever the state.
func TestTheSentenceAboutAnOrder(t *testing.T) {
	t.Parallel()
	b := browse(t, start(t, configured(t, testkit.EmbeddedBroker(t))).base)
	b.open("/console")
	const callback = `{type: 'vendor_erp_sync_callback', generation: 1, version: 9, status: '%s', cause: '%s'}`
	for _, c := range []struct{ sync, events, says string }{
		{`status: 'queued', attempts: 0`, ``, "On its way to attempt 1 of 5."},
		{
			`status: 'queued', attempts: 2, next_attempt_at: '2024-01-15 10:06:12', http_status: 503, last_error: 'busy'`, ``,
			"Waits for attempt 3 of 5 in 6 min 12 s: the ERP answered 503: busy",
		},
		{`status: 'queued', attempts: 2, next_attempt_at: '2024-01-15 09:59:59', last_error: 'busy'`, ``, "On its way to attempt 3 of 5."},
		{`status: 'queued', attempts: 0, waits_for: 'waits: the ERP has failed'`, ``, "The order waits: the ERP has failed."},
		{`status: 'pending', attempts: 0`, ``, "Held: the cron sends it, or the connector once it is turned on again. “Send now” does it at once."},
		{`status: 'in_progress', attempts: 1`, ``, "Attempt 2 of 5 is under way: the ERP has not answered yet."},
		{
			`status: 'in_progress', attempts: 1`,
			`{type: 'vendor_erp_sync_before_send', generation: 1, version: 5, attempts: 1, occurred_at: '2024-01-15T09:59:48.000Z'}`,
			"Attempt 2 of 5 is under way for 12 s: the ERP has not answered yet.",
		},
		{`status: 'success', attempts: 1, erp_reference: 'ERP-7'`, ``, "The ERP has the order, as ERP-7."},
		{
			`status: 'success', attempts: 1, erp_reference: 'ERP-7'`, fmt.Sprintf(callback, "success", "settle by jane: seen there"),
			"The ERP has the order, as ERP-7. (settle by jane: seen there)",
		},
		{
			`status: 'failed', attempts: 5, http_status: 422, last_error: 'no such sku'`, ``,
			"Failed after attempt 5 of 5: the ERP answered 422: no such sku",
		},
		{`status: 'failed', attempts: 0, last_error: 'no line to send'`, ``, "Failed without a call to the ERP: no line to send"},
		{
			`status: 'failed', attempts: 1, last_error: 'cancelled'`, fmt.Sprintf(callback, "failed", "cancel by jane: a test"),
			"Ended by a decision, after 1 attempt: cancel by jane: a test",
		},
		{
			`status: 'failed', attempts: 5, last_error: 'busy'`,
			fmt.Sprintf(strings.Replace(callback, "9", "1", 1), "failed", "note") + `, {generation: 1, version: 8, status: 'failed'}`,
			"Failed after attempt 5 of 5: busy",
		},
	} {
		require.Equal(t, c.says, evaluate[string](b, fmt.Sprintf(`import('/console/assets/x/sentence.js').then((m) =>
			m.sentenceOf({generation: 1, max_attempts: 5, %s}, [%s], new Date('2024-01-15T10:00:00Z')))`, c.sync, c.events)), c.sync)
	}
}

// A difference has all lines of both texts in their order, and no more changes than there must be.
func TestADifferenceIsWholeAndShort(t *testing.T) {
	t.Parallel()
	b := browse(t, start(t, configured(t, testkit.EmbeddedBroker(t))).base)
	b.open("/console")
	require.Empty(t, evaluate[string](b, `import('/console/assets/x/diff.js').then(({ diffOf }) => {
		const common = (x, y) => { // the length of the longest common part, the slow way
			let row = Array(y.length + 1).fill(0);
			for (const a of x) row = y.reduce((next, b, j) => [...next, a === b ? row[j] + 1 : Math.max(row[j + 1], next[j])], [0]);
			return row[y.length];
		};
		let seed = 7;
		const random = (n) => (seed = (seed * 48271) % 2147483647) % n;
		const lines = () => Array.from({ length: 1 + random(12) }, () => 'abcd'[random(4)]);
		for (let n = 0; n < 2000; n++) {
			const [x, y] = [lines(), lines()];
			const diff = diffOf(x.join('\n'), y.join('\n'));
			const side = (sign) => diff.filter((l) => l.sign === ' ' || l.sign === sign).map((l) => l.line).join();
			const changed = diff.filter((l) => l.sign !== ' ').length;
			if (side('-') !== x.join() || side('+') !== y.join() || changed !== x.length + y.length - 2 * common(x, y)) {
				return x.join() + ' → ' + y.join() + ': ' + JSON.stringify(diff);
			}
		}
		const long = (word) => Array.from({ length: 600 }, (_, i) => word + i).join('\n');
		return diffOf(long('a'), long('b')).length === 1200 ? '' : 'two other texts';
	})`))
}
