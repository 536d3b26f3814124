package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/services/mockerp"
	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/httpapi"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/signature"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// order makes a request of an order over one of the module's paths, or of ours.
func (p *product) order(path, order string, more map[string]any) (int, map[string]any) {
	p.t.Helper()
	body := map[string]any{"orderIncrementId": order}
	for name, value := range more {
		body[name] = value
	}
	return p.do(http.MethodPost, httpapi.BasePath+"/"+path, body)
}

// callback is the ERP's webhook, signed as the module's ERP signs.
func (p *product) callback(body map[string]any, sign func(req *http.Request, body []byte)) (int, map[string]any) {
	p.t.Helper()
	encoded, err := json.Marshal(body)
	require.NoError(p.t, err)
	return p.deliver(string(encoded), sign)
}

// deliver is callback with these very bytes: what was captured can be sent again.
func (p *product) deliver(body string, sign func(req *http.Request, body []byte)) (int, map[string]any) {
	p.t.Helper()
	req, err := http.NewRequestWithContext(p.t.Context(), http.MethodPost, p.url(httpapi.BasePath+"/webhook"), strings.NewReader(body))
	require.NoError(p.t, err)
	sign(req, []byte(body))
	resp, err := http.DefaultClient.Do(req)
	require.NoError(p.t, err)
	defer func() { _ = resp.Body.Close() }()
	content, err := io.ReadAll(resp.Body)
	require.NoError(p.t, err)
	out := map[string]any{}
	require.NoError(p.t, json.Unmarshal(content, &out), "%s", content)
	return resp.StatusCode, out
}

func byModule(req *http.Request, body []byte) {
	req.Header.Set(signature.HeaderModule, signature.Module("secret", body))
}

func (p *product) accepts(order, reference string) (int, map[string]any) {
	p.t.Helper()
	return p.callback(map[string]any{"orderIncrementId": order, "erpReference": reference, "status": "accepted"}, byModule)
}

// calls are what the mock ERP was sent for an order.
func (p *product) calls(order string) []mockerp.Call {
	p.t.Helper()
	req, err := http.NewRequestWithContext(p.t.Context(), http.MethodGet, p.base+"/mockerp/calls?order="+order, nil)
	require.NoError(p.t, err)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(p.t, err)
	defer func() { _ = resp.Body.Close() }()
	var calls []mockerp.Call
	require.NoError(p.t, json.NewDecoder(resp.Body).Decode(&calls))
	return calls
}

// waits brings an order to where it waits for a retry, long enough for a request until then.
func (p *product) waits(order string) {
	p.t.Helper()
	p.fail(mockerp.Fault{Order: order, Status: 500, RetryAfter: "6", Times: 1})
	p.publish(invoice("e"+order, order))
	p.becomes(order, func(s map[string]any) bool { return s["attempts"] == 1.0 && s["next_attempt_at"] != nil })
}

// failedWith waits for the row: right after the request the gate answers, which knows no error.
func failedWith(text string) func(map[string]any) bool {
	return func(s map[string]any) bool {
		lastError, _ := s["last_error"].(string)
		return s["status"] == "failed" && strings.Contains(lastError, text)
	}
}

func TestRequests(t *testing.T) {
	t.Parallel()
	testkit.OnEmbeddedFirst(t, func(t *testing.T, brokers kafka.Config) {
		cfg := configured(t, brokers)
		cfg.Settings.ErpTimeout = testkit.Patience
		erp := newHeldERP(t, cfg.Settings.ErpBaseURL)
		cfg.Settings.ErpBaseURL = erp.url
		p := start(t, cfg)
		requestsToSend(t, p)
		requestsByHand(t, p)
		callbacks(t, p)
		requestsDuringTheCall(t, p, erp)
		erp.requireNoOverlap(t)
		log := (&crashCase{p: p}).quiet(t)
		for order, facts := range log {
			requireOneEndOfEachGeneration(t, order, facts)
		}
		(&crashCase{p: p}).requireTableIsLog(t, log)
		p.conserved()
	})
}

func requestsToSend(t *testing.T, p *product) {
	t.Helper()
	t.Run("sync_order_answers_what_came_of_it", func(t *testing.T) {
		placed := invoice("e1", "1")
		placed["type"] = "order.placed"
		p.publish(placed)
		status, answer := p.order("sync-order", "1", nil)
		require.Equal(t, http.StatusOK, status, "%v", answer)
		require.Equal(t, true, answer["success"])
		require.Equal(t, "Order synced successfully", answer["message"])
		require.NotNil(t, answer["erp_reference"])
		require.InDelta(t, 1, answer["attempts"], 0)
		_, again := p.order("sync-order", "1", nil)
		require.Equal(t, answer, again, "a synced order is not sent again")
		require.Len(t, p.calls("1"), 1)
	})
	t.Run("a_failed_order_is_sent_by_resync_under_the_same_key", func(t *testing.T) {
		p.fail(mockerp.Fault{Order: "2", Status: 422, Times: 1})
		p.publish(invoice("e2", "2"))
		p.becomes("2", ended("failed"))
		status, answer := p.order("sync-order", "2", nil)
		require.Equal(t, http.StatusOK, status)
		require.Equal(t, false, answer["success"])
		require.Equal(t, "Order sync failed", answer["message"])
		require.Contains(t, answer["detail"], "resync-order")
		status, answer = p.order("resync-order", "2", nil)
		require.Equal(t, http.StatusOK, status, "%v", answer)
		require.Equal(t, "Order resynced successfully", answer["message"])
		require.InDelta(t, 1, answer["attempts"], 0, "a generation begins from nought")
		calls := p.calls("2")
		require.Len(t, calls, 2)
		require.Equal(t, calls[0].Key, calls[1].Key)
	})
	t.Run("a_synced_order_is_sent_again_under_a_new_key", func(t *testing.T) {
		p.publish(invoice("e3", "3"))
		p.becomes("3", ended("success"))
		status, answer := p.order("resync-order", "3", nil)
		require.Equal(t, http.StatusConflict, status, "it would be booked again without a question")
		require.Equal(t, "order_success", answer["code"])
		require.Contains(t, answer["detail"], `"newKey": true`)
		require.Len(t, p.calls("3"), 1)
		_, answer = p.order("resync-order", "3", map[string]any{"newKey": true, "reason": "the ERP lost it"})
		require.Equal(t, true, answer["success"], "%v", answer)
		calls := p.calls("3")
		require.Len(t, calls, 2)
		require.NotEqual(t, calls[0].Key, calls[1].Key)
	})
	t.Run("a_new_key_needs_a_reason", func(t *testing.T) {
		status, _ := p.order("resync-order", "2", map[string]any{"newKey": true})
		require.Equal(t, http.StatusUnprocessableEntity, status)
		before := p.calls("2")
		_, answer := p.order("resync-order", "2", map[string]any{"newKey": true, "reason": "the ERP lost it"})
		require.Equal(t, true, answer["success"], "%v", answer)
		require.NotEqual(t, before[len(before)-1].Key, p.calls("2")[len(before)].Key)
	})
	t.Run("a_resync_overtakes_a_retry_that_waits", func(t *testing.T) {
		p.waits("4")
		_, answer := p.order("resync-order", "4", nil)
		require.Equal(t, true, answer["success"], "%v", answer)
		calls := p.calls("4")
		require.Len(t, calls, 2)
		require.Equal(t, calls[0].Key, calls[1].Key, "the first call's answer may have been lost")
	})
	t.Run("an_order_that_nobody_knows", func(t *testing.T) {
		for _, path := range []string{"sync-order", "resync-order", "cancel-order", "settle-order", "send-order-now"} {
			status, answer := p.order(path, "nobody", map[string]any{"reason": "why"})
			require.Equal(t, http.StatusNotFound, status, path)
			require.Equal(t, false, answer["success"])
		}
	})
	t.Run("it_answers_202_while_it_is_under_way", func(t *testing.T) {
		p.waits("5")
		status, answer := p.order("sync-order?wait=0", "5", nil)
		require.Equal(t, http.StatusAccepted, status)
		require.Equal(t, "queued", answer["status"])
		require.NotNil(t, answer["next_attempt_at"])
		p.becomes("5", ended("success"))
	})
}

func requestsByHand(t *testing.T, p *product) {
	t.Helper()
	why := map[string]any{"reason": "asked by the shop"}
	t.Run("a_waiting_order_is_cancelled", func(t *testing.T) {
		p.waits("10")
		status, answer := p.order("cancel-order", "10", why)
		require.Equal(t, http.StatusOK, status, "%v", answer)
		p.becomes("10", failedWith("asked by the shop"))
		status, _ = p.order("cancel-order", "10", why)
		require.Equal(t, http.StatusConflict, status)
	})
	t.Run("a_waiting_order_is_settled", func(t *testing.T) {
		p.waits("11")
		_, answer := p.order("settle-order", "11", map[string]any{"reason": "booked by hand", "erpReference": "ERP-HAND"})
		require.Equal(t, true, answer["success"], "%v", answer)
		require.Equal(t, "ERP-HAND", p.becomes("11", ended("success"))["erp_reference"])
		require.Len(t, p.calls("11"), 1)
	})
	t.Run("a_waiting_order_is_sent_now", func(t *testing.T) {
		p.waits("12")
		_, answer := p.order("send-order-now", "12", why)
		require.Equal(t, true, answer["success"], "%v", answer)
		require.Len(t, p.calls("12"), 2)
	})
	t.Run("who_and_why_stand_in_the_log", func(t *testing.T) {
		status, answer := p.order("cancel-order", "12", nil)
		require.Equal(t, http.StatusUnprocessableEntity, status, "%v", answer)
		require.Contains(t, fmt.Sprint(p.timeline("10", 5)), "error:cancel by api: asked by the shop")
		require.Contains(t, fmt.Sprint(p.timeline("11", 5)), "cause:settle by api: booked by hand")
		require.Contains(t, fmt.Sprint(p.timeline("12", 5)), "cause:send_now by api")
	})
}

func callbacks(t *testing.T, p *product) {
	t.Helper()
	t.Run("a_callback_settles_a_waiting_order", func(t *testing.T) {
		p.waits("20")
		status, answer := p.accepts("20", "ERP-CB")
		require.Equal(t, http.StatusOK, status, "%v", answer)
		require.Equal(t, "Webhook processed successfully", answer["message"])
		require.Equal(t, true, answer["changed"])
		require.Equal(t, "ERP-CB", p.becomes("20", ended("success"))["erp_reference"])
		_, answer = p.accepts("20", "ERP-CB")
		require.Equal(t, false, answer["changed"], "the same again")
		require.Equal(t, "repeated", answer["reason"])
		require.Len(t, p.calls("20"), 1)
	})
	t.Run("the_erp_changes_its_mind", func(t *testing.T) {
		p.publish(invoice("e22", "22"))
		p.becomes("22", ended("success"))
		p.callback(map[string]any{"orderIncrementId": "22", "status": "rejected"}, byModule)
		p.becomes("22", failedWith("rejected"))
		_, answer := p.order("resync-order", "22", nil)
		require.Equal(t, true, answer["success"], "%v", answer)
	})
	t.Run("an_echo_of_an_older_key_settles_nothing", func(t *testing.T) {
		old := p.calls("22")[0].Key
		_, answer := p.callback(map[string]any{"orderIncrementId": "22", "status": "rejected", "idempotencyKey": old}, byModule)
		require.Equal(t, false, answer["changed"])
		p.becomes("22", ended("success"))
	})
	t.Run("another_status_changes_nothing", func(t *testing.T) {
		status, answer := p.callback(map[string]any{"orderIncrementId": "20", "status": "processing"}, byModule)
		require.Equal(t, http.StatusOK, status)
		require.Contains(t, answer["message"], "changes nothing")
		p.becomes("20", ended("success"))
	})
	t.Run("signatures", func(t *testing.T) {
		body := map[string]any{"orderIncrementId": "20", "status": "rejected", "erpReference": "forged"}
		standard := func(at time.Time) func(*http.Request, []byte) {
			return func(req *http.Request, body []byte) {
				req.Header.Set(signature.HeaderID, "msg_1")
				req.Header.Set(signature.HeaderTimestamp, strconv.FormatInt(at.Unix(), 10))
				req.Header.Set(signature.HeaderSignature, signature.Standard([]string{"secret"}, "msg_1", at, body))
			}
		}
		for name, sign := range map[string]func(*http.Request, []byte){
			"none": func(*http.Request, []byte) {},
			"another": func(req *http.Request, body []byte) {
				req.Header.Set(signature.HeaderModule, signature.Module("other", body))
			},
			"too_old": standard(time.Now().Add(-signature.Tolerance - time.Minute)),
		} {
			status, answer := p.callback(body, sign)
			require.Equal(t, http.StatusUnauthorized, status, name)
			require.Equal(t, "Invalid webhook signature", answer["message"])
		}
		p.becomes("20", ended("success"))
		body["status"] = "accepted"
		status, answer := p.callback(body, standard(time.Now()))
		require.Equal(t, http.StatusOK, status, "%v", answer)
	})
}

// requestsDuringTheCall makes requests while a call waits for its answer.
func requestsDuringTheCall(t *testing.T, p *product, erp *heldERP) {
	t.Helper()
	t.Run("a_callback_during_the_call", func(t *testing.T) {
		called, release := erp.hold(t, "21")
		p.publish(invoice("e21", "21"))
		testkit.Await(t, called)
		p.accepts("21", "ERP-EARLY")
		release()
		p.becomes("21", ended("success"))
	})
	t.Run("a_resync_during_the_call_waits_for_its_end", func(t *testing.T) {
		called, release := erp.hold(t, "23")
		p.publish(invoice("e23", "23"))
		testkit.Await(t, called)
		p.callback(map[string]any{"orderIncrementId": "23", "status": "rejected"}, byModule)
		status, resync := p.order("resync-order?wait=0", "23", nil)
		require.Equal(t, http.StatusAccepted, status, "%v", resync)
		p.timeline("23", 4) // the new request is in Kafka, beside the first one, its call and the callback
		release()
		p.becomes("23", func(s map[string]any) bool { return s["status"] == "success" && len(p.calls("23")) == 2 })
		calls := p.calls("23")
		require.Equal(t, calls[0].Key, calls[1].Key, "the callback carried no key, and the call had no answer yet")
	})
}

// quiet waits until the whole outbox is in the log and every generation has its terminal event, and gives the log.
func (c *crashCase) quiet(t *testing.T) map[string][]logged {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), c.p.cfg.DatabaseURL)
	require.NoError(t, err)
	defer func() { _ = conn.Close(context.WithoutCancel(t.Context())) }()
	deadline := time.Now().Add(testkit.Patience)
	look := time.NewTicker(200 * time.Millisecond) // a look reads the whole log
	defer look.Stop()
	for ; ; <-look.C {
		var written int
		require.NoError(t, conn.QueryRow(t.Context(), `SELECT count(*) FROM erp_outbox`).Scan(&written))
		log := c.log(t)
		open := ""
		if relayed := fromOutbox(log); relayed < written {
			open = fmt.Sprintf("%d of %d rows of the outbox, of any", written-relayed, written)
		}
		for order, facts := range log {
			for generation, terminals := range endsOf(facts) {
				if terminals == 0 {
					open = order + " generation " + generation.String()
				}
			}
		}
		if open == "" {
			return log
		}
		require.True(t, time.Now().Before(deadline), "order %s has not ended", open)
	}
}

// fromOutbox counts the records that came by the outbox and the relay.
func fromOutbox(log map[string][]logged) (n int) {
	for _, facts := range log {
		for _, f := range facts {
			if f.topic == event.TopicSalesOrder || f.topic == event.TopicRequested || f.topic == event.TopicCallback {
				n++
			}
		}
	}
	return n
}

// endsOf counts the terminal events of each generation, by the version of its request.
func endsOf(facts []logged) map[domain.Version]int {
	ends := map[domain.Version]int{}
	for _, f := range facts {
		if f.topic == event.TopicSalesOrder {
			continue
		}
		generation := domain.RequestVersion(f.value.Sync.Generation, 0)
		if f.topic == event.TopicSuccess || f.topic == event.TopicFailed {
			ends[generation]++
			continue
		}
		ends[generation] += 0
	}
	return ends
}

func requireOneEndOfEachGeneration(t *testing.T, order string, facts []logged) {
	t.Helper()
	for generation, terminals := range endsOf(facts) {
		require.Equal(t, 1, terminals, "order %s, generation %s", order, generation)
	}
}
