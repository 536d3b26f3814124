package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/httpapi"
	"github.com/erpconnector/erpconnector/shared/logging"
	"github.com/erpconnector/erpconnector/shared/signature"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// planted is in everything that must never be in a log: personal data, secrets, and what others say.
const planted = "planted"

// observed is the product in debug mode, its log, and an ERP that says more than it should.
type observed struct {
	*product
	conn *pgx.Conn
	out  *testkit.Log
}

// said waits until a line with this message and each of the fragments has been written.
func (l *observed) said(message string, fragments ...string) {
	l.t.Helper()
	testkit.Eventually(l.t, func() bool {
		for _, line := range l.out.Lines() {
			all := strings.Contains(line, `"msg":"`+message+`"`)
			for _, f := range fragments {
				all = all && strings.Contains(line, f)
			}
			if all {
				return true
			}
		}
		return false
	}, "no line %q with %q", message, fragments)
}

// talkativeERP echoes what it was sent in its errors.
func talkativeERP(t *testing.T) string {
	t.Helper()
	var mu sync.Mutex
	calls := map[string]int{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		var order struct {
			ID string `json:"order_increment_id"`
		}
		_ = json.Unmarshal(body, &order)
		mu.Lock()
		calls[order.ID]++
		first := calls[order.ID] == 1
		mu.Unlock()
		w.Header().Set("X-Request-Id", planted)
		switch {
		case order.ID == "busy" && first:
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = io.WriteString(w, `{"error": "cannot mail jane@planted.example", "code": "planted"}`)
		case order.ID == "broken" && first:
			panic(http.ErrAbortHandler)
		case order.ID == "wrong":
			w.WriteHeader(http.StatusUnprocessableEntity)
			_, _ = w.Write(body)
		default:
			_, _ = io.WriteString(w, `{"erp_reference": "ERP-planted"}`)
		}
	}))
	t.Cleanup(server.Close)
	return strings.Replace(server.URL, "//", "//planted-user:planted-password@", 1)
}

func startObserved(t *testing.T, out *testkit.Log) *observed {
	t.Helper()
	cfg := configured(t, testkit.EmbeddedBroker(t))
	cfg.HTTP.Token, cfg.ERP.APIKey, cfg.ERP.HMAC = "planted-token", "planted-key", "planted-secret"
	cfg.Settings.ErpBaseURL, cfg.Settings.Debug = talkativeERP(t), true
	p := startLogging(t, cfg, logging.New(out, slog.LevelInfo))
	p.token = cfg.HTTP.Token.Reveal()
	conn, err := pgx.Connect(t.Context(), cfg.DatabaseURL)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close(t.Context()) })
	return &observed{product: p, conn: conn, out: out}
}

// personal is an invoice with a customer's data in it.
func personal(eventID, order string) map[string]any {
	e := invoice(eventID, order)
	address := map[string]any{
		"firstname": "Jane planted", "lastname": "planted Doe", "street": []any{"planted street 1"}, "city": "planted city",
		"postcode": "planted 10115", "country_id": "DE", "telephone": "+49 planted",
	}
	o := e["order"].(map[string]any) //nolint:forcetypeassert // a test
	o["customer_email"], o["customer_firstname"], o["customer_lastname"] = "jane@planted.example", "Jane planted", "planted Doe"
	o["billing_address"], o["shipping_address"] = address, address
	return e
}

func (l *observed) outbox(events ...any) {
	l.t.Helper()
	require.NoError(l.t, pgx.BeginFunc(l.t.Context(), l.conn, func(tx pgx.Tx) error {
		publishEvents(l.t, tx, events)
		return nil
	}))
}

// send is answer without the body.
func (l *observed) send(method, path, body string, header ...string) int {
	l.t.Helper()
	status, _ := l.answer(method, path, body, header...)
	return status
}

// answer is a request with any header and body, as a caller that nobody knows would send it.
func (l *observed) answer(method, path, body string, header ...string) (int, string) {
	l.t.Helper()
	req, err := http.NewRequestWithContext(l.t.Context(), method, l.base+path, strings.NewReader(body))
	require.NoError(l.t, err)
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	require.NoError(l.t, err)
	defer func() { _ = resp.Body.Close() }()
	content, err := io.ReadAll(resp.Body)
	require.NoError(l.t, err)
	return resp.StatusCode, string(content)
}

// The log has everything that is promised, and nothing of a customer or a secret, whatever goes wrong. Nor have metrics, alerts, the stream,
// and the answers to those who may not see it.
func TestTheLogTellsWhatIsPromisedAndNothingElse(t *testing.T) {
	var out testkit.Log
	t.Run("a_day", func(t *testing.T) { // at its end the product has stopped
		l := startObserved(t, &out)
		onlooker := l.anOnlookerComes()
		l.ordersAreSent()
		onlooker.hears(l, domain.AlertOrdersFailed)
		l.eventsAreRefused()
		l.invoicesWait()
		l.theErpCallsBack()
		l.operatorsAsk()
		l.strangersCome()
		l.recordsAreBroken()
		onlooker.seesNoCustomer(l)
		l.othersAreToldNothing()
	})
	messages := map[string]bool{}
	for line := range logLines(t) {
		_, message, _ := strings.Cut(line, ": ")
		messages[message] = true
	}
	for _, line := range out.Lines() {
		require.NotContains(t, strings.ToLower(line), planted)
		require.NotRegexp(t, `erpc_[A-Z2-7]{6}_|whsec_|hunter2|bulk_[A-Z2-7]`, line, "an API token, a secret of a webhook, a password, a token of a preview")
		var fields map[string]any
		require.NoError(t, json.Unmarshal([]byte(line), &fields), line)
		require.True(t, messages[fields["msg"].(string)], "docs/logs.md does not know %s", line) //nolint:forcetypeassert // a log
		for key := range fields {
			require.Regexp(t, `^[a-z][a-z_]*$`, key, line)
		}
		require.NotContains(t, line, "context canceled", "a stop is no failure")
	}
}

func (l *observed) ordersAreSent() {
	for _, order := range []string{"good", "busy", "broken", "wrong"} {
		status, _ := l.publish(personal("e-"+order, order))
		require.Equal(l.t, http.StatusAccepted, status)
	}
	l.becomes("good", ended("success"))
	l.becomes("busy", ended("success"))
	l.becomes("broken", ended("success"))
	require.Contains(l.t, l.becomes("wrong", ended("failed"))["last_error"], "Jane planted", "the words are kept where they belong")

	l.said("event accepted", `"event_id":"e-good"`, `"order_increment_id":"good"`)
	l.said("erp is called", `"order_increment_id":"good"`, `"attempt":1`, `"idempotency_key":"ERP_`, `"bytes":`, `"url":"http://127.0.0.1:`)
	l.said("erp answered", `"order_increment_id":"good"`, `"http_status":200`, `"outcome":"success"`, `"took_ms":`)
	l.said("order handled", `"order_increment_id":"good"`, `"outcome":"success"`, `"attempt":1`, `"http_status":200`, `"level":"INFO"`)
	l.said("order handled", `"order_increment_id":"busy"`, `"outcome":"retry"`, `"http_status":503`, `"error_code":"erp_unavailable"`, `"next_attempt_at":"20`)
	l.said("order handled", `"order_increment_id":"busy"`, `"outcome":"success"`, `"attempt":2`)
	l.said("erp answered", `"order_increment_id":"broken"`, `"http_status":0`, `"outcome":"retry"`, `"error_code":"erp_network"`)
	l.said("order handled", `"order_increment_id":"wrong"`, `"outcome":"failed"`, `"http_status":422`, `"error_code":"erp_rejected"`, `"level":"WARN"`)
	l.said("rows relayed")
	l.said("facts applied")
	l.said("retries forwarded")
}

func (l *observed) eventsAreRefused() {
	bad := personal("bad", "1")
	bad["type"], bad["source"] = "jane@planted.example", "Jane planted"
	status, _ := l.publish(bad)
	require.Equal(l.t, http.StatusUnprocessableEntity, status)
	long := personal(strings.Repeat(planted, 100), "1")
	status, _ = l.publish([]any{long})
	require.Equal(l.t, http.StatusUnprocessableEntity, status)
	status, _ = l.publish(`{"event_id": planted`)
	require.Equal(l.t, http.StatusBadRequest, status)
	l.said("event refused", `"event_id":"bad"`, `"order_increment_id":"1"`, `"source":""`, `"code":"refused"`, `"first_pointer":"/type"`, `"problems":2`)
	l.said("event refused", `"event_id":""`, `"source":"default"`, `"first_pointer":"/event_id"`)
	l.said("request refused: no event can be read from it", `"code":"not_json"`, `"http_status":400`, `"bytes":20`)

	_, err := l.conn.Exec(l.t.Context(), `SELECT erp_publish($1)`, encoded(l.t, bad)) // it keeps whatever the source is
	require.NoError(l.t, err)
	l.said("events quarantined: see erpconnector quarantine list", `"first_event_id":"bad"`, `"first_order_increment_id":"1"`, `"first_code":"refused"`)
	_, err = l.conn.Exec(l.t.Context(), `ALTER TABLE sales_order ADD CHECK (increment_id <> 'poison')`)
	require.NoError(l.t, err)
	l.outbox(personal("poison", "poison"))
	l.said("event set aside: the database refuses it; erpconnector quarantine list", `"sqlstate":"23514"`, `"constraint":"sales_order_increment_id_check"`)
}

func (l *observed) invoicesWait() {
	l.outbox(map[string]any{
		"event_id": "early", "type": "invoice.created", "x": "planted",
		"invoice": map[string]any{"increment_id": "45", "order_increment_id": "late"},
	})
	l.said("events quarantined: see erpconnector quarantine list", `"first_event_id":"early"`, `"first_code":"unknown_order"`)
	placed := personal("placed", "late")
	placed["type"] = "order.placed"
	status, _ := l.publish(placed)
	require.Equal(l.t, http.StatusAccepted, status)
	l.said("invoices released from the quarantine: their order came", `"order_increment_id":"late"`, `"events":1`)
	l.becomes("late", ended("success"))
}

func (l *observed) theErpCallsBack() {
	call := func(order, status string) int {
		body := fmt.Sprintf(`{"orderIncrementId": %q, "erpReference": "ERP-planted", "status": %q, "idempotencyKey": "planted"}`, order, status)
		return l.send(http.MethodPost, httpapi.BasePath+"/webhook", body, "X-Signature", signature.Module("planted-secret", []byte(body)))
	}
	require.Equal(l.t, http.StatusOK, call("good", "accepted"))
	require.Equal(l.t, http.StatusOK, call("good", "rejected"))
	require.Equal(l.t, http.StatusOK, call("good", "planted"))
	require.Equal(l.t, http.StatusUnauthorized, l.send(http.MethodPost, httpapi.BasePath+"/webhook", `{"status": "planted"}`, "X-Signature", planted))
	l.said("webhook handled", `"order_increment_id":"good"`)
	l.said("webhook recorded: its status changes nothing", `"order_increment_id":"good"`)
	l.said("webhook refused: its signature is not valid")
}

func (l *observed) operatorsAsk() {
	for path, body := range map[string]map[string]any{
		"/sync-order":   {"orderIncrementId": "good"},
		"/resync-order": {"orderIncrementId": "good", "newKey": true, "reason": "planted"},
		"/settle-order": {"orderIncrementId": "wrong", "erpReference": "ERP-planted", "reason": "planted"},
		"/cancel-order": {"orderIncrementId": "good", "reason": "planted", "source": "Jane planted"},
	} {
		l.do(http.MethodPost, httpapi.BasePath+path, body)
	}
	l.said("order request", `"request":"sync"`, `"order_increment_id":"good"`)
	l.said("order request", `"request":"resync_new_key"`, `"order_increment_id":"good"`)
	l.do(http.MethodPost, httpapi.BasePath+"/mock-update-stock", map[string]any{
		"items": []any{map[string]any{"sku": "planted", "qty": 1}}, "orderIncrementId": "1", "idempotencyKey": "k",
	})
	l.said("mock stock updated", `"items":1`)
}

func (l *observed) strangersCome() {
	require.Equal(l.t, http.StatusUnauthorized, l.send(http.MethodGet, httpapi.BasePath+"/sync-status/jane@planted.example", "", "Authorization", "Bearer wrong-planted"))
	require.Equal(l.t, http.StatusNotFound, l.send(http.MethodGet, "/planted?planted=planted", ""))
	require.Equal(l.t, http.StatusMethodNotAllowed, l.send(http.MethodDelete, httpapi.BasePath+"/events?planted", ""))
	l.send(http.MethodPost, httpapi.BasePath+"/orders/sync", `{"customer_email": "jane@planted.example"}`, "X-Api-Key", "wrong-planted")
	l.said("request answered", `"method":"POST"`, `"route":"/rest/V1/erpconnector/events"`, `"http_status":202`)
	l.said("request answered", `"route":"/rest/V1/erpconnector/sync-status/{id}"`, `"http_status":401`)
	l.said("request answered", `"route":""`, `"http_status":404`)
}

// othersAreToldNothing asks for all that has been said and done, as nobody, with a wrong token and with one that may not see it; and for
// what anybody may see. No answer holds what the customer, the ERP or a secret's owner has said.
func (l *observed) othersAreToldNothing() {
	status, made := l.do(http.MethodPost, httpapi.BasePath+"/tokens", map[string]any{"name": "a shop", "resources": []string{string(httpapi.ResourcePublish)}})
	require.Equal(l.t, http.StatusCreated, status)
	for _, token := range []string{"", "Bearer wrong", fmt.Sprintf("Bearer %s", made["token"])} {
		for _, path := range []string{
			"/sync-status/good", "/sync-status/wrong", "/timeline/wrong", "/syncs", "/syncs/1", "/syncs/1/events", "/syncs/errors", "/dead-letters", "/dead-letters/1",
			"/settings", "/settings/history", "/tokens", "/erp", "/syncs/counts", "/quarantine", "/quarantine/1", "/quarantine/counts", "/bulk/jobs", "/bulk/jobs/1/results",
			"/alerts", "/alerts/destinations", "/users", "/events/stream",
		} {
			status, body := l.answer(http.MethodGet, httpapi.BasePath+path, "", "Authorization", token)
			require.Contains(l.t, []int{http.StatusUnauthorized, http.StatusForbidden}, status, path)
			require.NotContains(l.t, strings.ToLower(body), planted, path)
		}
	}
	for _, path := range []string{"/metrics", "/readyz", "/livez", "/openapi.json", "/asyncapi.json", "/docs", "/console"} {
		status, body := l.answer(http.MethodGet, path, "")
		require.Equal(l.t, http.StatusOK, status, path)
		require.NotContains(l.t, strings.ToLower(body), planted, path)
	}
	_, listed := l.answer(http.MethodGet, httpapi.BasePath+"/tokens", "", "Authorization", "Bearer "+l.token)
	require.NotContains(l.t, listed, made["token"], "nobody sees a token twice")
	_, settings := l.answer(http.MethodGet, httpapi.BasePath+"/settings", "", "Authorization", "Bearer "+l.token)
	require.NotContains(l.t, settings, "planted-password")
}

// recordsAreBroken writes into the topics what nobody can read.
func (l *observed) recordsAreBroken() {
	client, err := kgo.NewClient(kgo.SeedBrokers(l.cfg.KafkaBrokers...))
	require.NoError(l.t, err)
	defer client.Close()
	for topic, value := range map[string]string{
		event.TopicRequested:      `{"sync": {"created_at": "jane@planted.example"}}`,
		event.TopicSuccess:        `jane@planted.example`,
		event.RetryTiers[0].Topic: `jane@planted.example`,
	} {
		r := &kgo.Record{Topic: l.cfg.TopicPrefix + topic, Key: []byte(planted), Value: []byte(value)}
		require.NoError(l.t, client.ProduceSync(l.t.Context(), r).FirstErr())
	}
	l.said("record cannot be handled; it goes to the dead letters", `"offset":`)
	l.said("record cannot be applied; it goes to the dead letters", `"offset":`)
	l.said("retry without a due time; it goes to the dead letters", `"offset":`)
}
