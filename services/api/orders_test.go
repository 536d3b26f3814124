package api

import (
	"net/http"
	"strings"
	"testing"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/httpapi/problem/problemtest"
	"github.com/erpconnector/erpconnector/shared/setting"
	"github.com/erpconnector/erpconnector/shared/signature"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

func (c *caller) post(path, body string, header ...string) {
	c.t.Helper()
	c.Do(problemtest.Request{
		Method: http.MethodPost, Path: "/rest/V1/erpconnector/" + path, Header: append([]string{"Content-Type", "application/json"}, header...), Body: body,
	})
}

// signed posts a callback as the ERP signs it.
func (c *caller) signed(body string) {
	c.t.Helper()
	c.post("webhook", body, signature.HeaderModule, signature.Module("secret", []byte(body)))
}

// TestRequestGolden pins every answer that refuses, word for word; what is started is told in docs/states.md.
func TestRequestGolden(t *testing.T) {
	t.Parallel()
	tests := map[string]func(c *caller){
		"requests_that_cannot_be": func(c *caller) {
			c.post("sync-order", `{"orderIncrementId": `)
			c.post("sync-order", `{"orderIncrementId": 123}`)
			c.post("sync-order", `{}`)
			c.post("resync-order", `{"orderIncrementId": "1", "source": "Shop B", "newKey": true}`)
			c.post("sync-order", `{"orderIncrementId": "1", "newKey": true, "reason": "why", "erpReference": "ERP-1"}`)
			c.Note("by hand a reason is required, of bounded length")
			c.post("cancel-order", `{"orderIncrementId": "1"}`)
			c.post("settle-order", `{"orderIncrementId": "1", "reason": "`+strings.Repeat("x", 501)+`"}`)
			c.Note("a reason that says nothing, and texts that not every reader of the log can keep")
			c.post("cancel-order", `{"orderIncrementId": "1", "reason": " "}`)
			c.post("cancel-order", `{"orderIncrementId": "1", "reason": "a\u0000b"}`)
			c.post("settle-order", `{"orderIncrementId": "1", "reason": "a\nb", "erpReference": "\u001b[2J"}`)
			c.post("settle-order", `{"orderIncrementId": "1", "reason": "why", "erpReference": "`+strings.Repeat("x", 2049)+`"}`)
			c.post("settle-order", `{"orderIncrementId": "1", "reason": "why", "erpReference": 1e999999999}`)
		},
		"commands_that_may_mean_another_order": func(c *caller) {
			outlet := domain.OrderRef{Source: "outlet", IncrementID: order.IncrementID}
			c.accepted(open(order, 1))
			c.accepted(open(outlet, 2))
			c.Note("a shop in the query and in the body alike, or in one of them")
			c.post("sync-order?source=outlet&wait=0", `{"orderIncrementId": "000000123"}`)
			c.post("sync-order?source=outlet&wait=0", `{"orderIncrementId": "000000123", "source": "outlet"}`)
			c.post("sync-order?wait=0", `{"orderIncrementId": "000000123", "source": "outlet"}`)
			c.post("sync-order?wait=0", `{"orderIncrementId": "000000123", "source": null}`)
			c.Note("two shops, none, and what is none")
			c.post("resync-order?source=outlet", `{"orderIncrementId": "000000123", "source": "default"}`)
			c.post("resync-order?source=", `{"orderIncrementId": "000000123"}`)
			c.post("resync-order?source=Outlet", `{"orderIncrementId": "000000123", "source": ""}`)
			c.Note("misspelt, twice, in other letters")
			c.post("resync-order", `{"orderIncrementId": "000000123", "sourec": "outlet"}`)
			c.post("resync-order?sourec=outlet&source=a&source=b", `{"orderIncrementId": "000000123"}`)
			c.post("resync-order?source=out;let", `{"orderIncrementId": "000000123"}`)
			c.post("resync-order", `{"orderIncrementId": "000000123", "SOURCE": "outlet", "newKey": false, "newKey": true}`)
			c.post("resync-order", `{"orderIncrementId": "000000124", "order_increment_id": "000000123"}`)
			c.Note("queries of what is read")
			c.ask("000000123?sourec=outlet")
			c.ask("000000123?source=outlet&source=default")
			c.askTimeline("000000123?limits=1")
		},
		"numbers_that_do_not_fit": func(c *caller) {
			c.accepted(open(order, 1))
			for _, wait := range []string{"1e300", "Inf", "NaN", "-1", "100000000000", "61", "soon", "0x1p-2", "%00"} {
				c.post("sync-order?wait="+wait, `{"orderIncrementId": "000000123"}`)
			}
			c.askTimeline("000000123?limit=99999999999999999999")
			c.post("sync-order?wait=0.01", `{"orderIncrementId": "000000123"}`)
		},
		"a_resync_of_what_has_reached_the_erp": func(c *caller) {
			g := open(order, 1)
			g.State, g.ClosedBy, g.KeyAnswered = domain.GateClosed, domain.ClosedByAnswer, true
			c.accepted(g)
			c.post("resync-order?wait=0", `{"orderIncrementId": "000000123"}`)
			c.post("resync-order?wait=0", `{"orderIncrementId": "000000123", "reason": "why"}`)
			c.post("resync-order?wait=0", `{"orderIncrementId": "000000123", "newKey": true}`)
			c.post("send-order-now?wait=0", `{"orderIncrementId": "000000123", "reason": "why"}`)
			c.post("resync-order?wait=0", `{"orderIncrementId": "000000123", "newKey": true, "reason": "the ERP lost it"}`)
		},
		"requests_of_an_unknown_order": func(c *caller) {
			c.post("sync-order", `{"orderIncrementId": "000000123"}`)
			c.post("send-order-now", `{"orderIncrementId": "000000123", "reason": "why"}`)
			c.signed(`{"orderIncrementId": "000000123", "erpReference": "ERP-123", "status": "accepted"}`)
			c.signed(`{"orderIncrementId": "000000123", "status": "processing"}`)
		},
		"orders_of_numbers_that_nobody_sees": func(c *caller) {
			c.Note("accepted before such numbers were refused: it is found, and settled")
			old := order
			old.IncrementID = "1001\u00a0"
			c.accepted(open(old, 1))
			c.ask("1001%C2%A0")
			c.post("settle-order?wait=0", `{"orderIncrementId": "1001\u00a0", "reason": "why", "erpReference": "ERP-1"}`)
			c.signed(`{"orderIncrementId": "1001\u00a0", "status": "processing"}`)
			c.Note("accepted before such sources were refused")
			old = domain.OrderRef{Source: "..", IncrementID: "1"}
			c.accepted(open(old, 2))
			c.ask("1?source=..")
			c.post("settle-order?wait=0", `{"orderIncrementId": "1", "source": "..", "reason": "why", "erpReference": "ERP-2"}`)
			c.signed(`{"orderIncrementId": "1", "source": "..", "status": "processing"}`)
			c.Note("unknown: each door says what is odd about the number")
			c.ask("1001%E2%80%8B")
			c.post("sync-order", `{"orderIncrementId": "1001\u200b"}`)
			c.signed(`{"orderIncrementId": "1001 ", "status": "accepted"}`)
		},
		"what_is_under_way_and_what_conflicts": func(c *caller) {
			c.accepted(open(order, 1))
			c.post("sync-order?wait=0", `{"orderIncrementId": "000000123"}`)
			c.post("cancel-order", `{"orderIncrementId": "000000123", "reason": "why"}`)
		},
		"callbacks_that_change_nothing": func(c *caller) {
			const said = `{"orderIncrementId": "000000123", "erpReference": "ERP-1", "status": "accepted"}`
			first := open(order, 1)
			c.accepted(first)
			c.signed(said)
			c.Note("the same body again, the same in other words")
			c.signed(said)
			c.signed(said + " ")
			c.Note("after a resync: the same body, the old reference, the older key, neither key nor reference, another status")
			c.accepted(first.Resync(5, true, attempted))
			c.signed(said)
			c.signed(said + "  ")
			c.signed(`{"orderIncrementId": "000000123", "status": "accepted", "idempotencyKey": "` + first.IdempotencyKey + `"}`)
			c.signed(`{"orderIncrementId": "000000123", "status": "rejected"}`)
			c.signed(`{"orderIncrementId": "000000123", "status": "processing"}`)
		},
		"callbacks_that_cannot_be": func(c *caller) {
			const body = `{"orderIncrementId": "000000123", "erpReference": "ERP-123", "status": "accepted"}`
			c.accepted(open(order, 1))
			c.Note("without a signature, with another body's, with one of another secret")
			c.post("webhook", body)
			c.post("webhook", body, signature.HeaderModule, signature.Module("secret", []byte("{}")))
			c.post("webhook", body, signature.HeaderModule, signature.Module("other", []byte(body)))
			c.post("webhook", body, signature.HeaderID, "msg_1", signature.HeaderTimestamp, "1614265330", signature.HeaderSignature, "v1,g0hM9SsE")
			c.Note("signed, but no callback")
			c.signed(`[]`)
			c.signed(`{"source": "Shop B"}`)
			c.signed(`{"orderIncrementId": "000000123", "erpReference": {"id": 1}, "status": "accepted"}`)
			c.signed(`{"orderIncrementId": "000000123", "erpReference": 1e999999999, "status": "accepted"}`)
			c.Note("signed, but it may mean two things")
			c.signed(`{"orderIncrementId": "000000123", "status": "rejected", "STATUS": "accepted"}`)
			c.signed(`{"orderIncrementId": "000000123", "status": "rejected", "status": "accepted"}`)
			c.signed(`{"orderIncrementId": "000000123", "status": "rejected", "\u017ftatus": "accepted"}`)
			c.signed("{\"orderIncrementId\": \"000000123\", \"status\": \"accepted\", \"erpReference\": \"Gr\xf6\xdfe\"}")
			c.signed("\xEF\xBB\xBF" + body)
			c.signed(body + "{}")
			c.signed(`{"orderIncrementId": "000000123", "status": "accepted", "erpReference": "a\u0000b", "idempotencyKey": "\ud800"}`)
			c.Note("texts that cannot be kept, and a query, which nobody has signed")
			c.signed(`{"orderIncrementId": "000000123", "status": "` + strings.Repeat("x", 501) + `", "erpReference": "a\nb", "idempotencyKey": "` + strings.Repeat("k", 256) + `"}`)
			c.post("webhook?source=outlet", body, signature.HeaderModule, signature.Module("secret", []byte(body)))
		},
	}
	for name, story := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			story(setup(t, name))
		})
	}
	t.Run("the_connector_is_off", func(t *testing.T) {
		t.Parallel()
		s := setting.Defaults()
		s.Enabled = false
		pool := testkit.Postgres(t).Pool
		c := &caller{Recorder: problemtest.New(t, "the_connector_is_off", serveWith(t, pool, s)), t: t, pool: pool}
		c.post("sync-order", `{"orderIncrementId": "000000123"}`)
		c.post("resync-order", `{"orderIncrementId": "000000123"}`)
		c.signed(`{"orderIncrementId": "000000123", "status": "accepted"}`)
		c.signed(`{"orderIncrementId": "000000123", "status": "processing"}`)
		c.letters()
		c.post("dead-letters/7/redrive", `{"reason": "why"}`)
	})
	t.Run("postgres_away_for_requests", func(t *testing.T) {
		t.Parallel()
		c := setup(t, "postgres_away_for_requests")
		c.pool.Close()
		c.post("sync-order", `{"orderIncrementId": "000000123"}`)
		c.signed(`{"orderIncrementId": "000000123", "status": "accepted"}`)
	})
}
