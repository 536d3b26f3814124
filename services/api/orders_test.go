package api

import (
	"net/http"
	"strings"
	"testing"

	"github.com/erpconnector/erpconnector/shared/problem/problemtest"
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
			c.post("settle-order", `{"orderIncrementId": "1", "reason": "`+strings.Repeat("x", 201)+`"}`)
			c.Note("a reference that is longer than any that is kept")
			c.post("settle-order", `{"orderIncrementId": "1", "reason": "why", "erpReference": 1e999999999}`)
		},
		"requests_of_an_unknown_order": func(c *caller) {
			c.post("sync-order", `{"orderIncrementId": "000000123"}`)
			c.post("send-order-now", `{"orderIncrementId": "000000123", "reason": "why"}`)
			c.signed(`{"orderIncrementId": "000000123", "erpReference": "ERP-123", "status": "accepted"}`)
			c.signed(`{"orderIncrementId": "000000123", "status": "processing"}`)
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
			c.Note("a status of 201 bytes")
			c.signed(`{"orderIncrementId": "000000123", "status": "` + strings.Repeat("x", 201) + `"}`)
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
