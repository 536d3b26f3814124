package mockerp

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/mux"
	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/httpapi"
	"github.com/erpconnector/erpconnector/shared/signature"
)

// caller calls a mock ERP by HTTP, as a connector that knows its key and secret.
type caller struct {
	t    *testing.T
	base string
}

func setup(t *testing.T) caller {
	t.Helper()
	router := mux.NewRouter()
	for _, r := range Routes(New(Options{APIKey: "key", Secret: "secret"})) {
		router.Handle(r.Path, httpapi.CheckQuery(r)).Methods(r.Method)
	}
	server := httptest.NewServer(router)
	t.Cleanup(server.Close)
	return caller{t: t, base: server.URL}
}

// request is a call in order.
func (c caller) request(key string, body []byte) *http.Request {
	c.t.Helper()
	req, err := http.NewRequestWithContext(c.t.Context(), http.MethodPost, c.base+"/rest/V1/erpconnector/orders/sync", bytes.NewReader(body))
	require.NoError(c.t, err)
	req.GetBody = nil // or net/http would repeat a call that was reset
	now := time.Now()
	req.Header.Set("X-Api-Key", "key")
	req.Header.Set("X-Idempotency-Key", key)
	req.Header.Set(signature.HeaderModule, signature.Module("secret", body))
	req.Header.Set(signature.HeaderID, "msg_1")
	req.Header.Set(signature.HeaderTimestamp, fmt.Sprint(now.Unix()))
	req.Header.Set(signature.HeaderSignature, signature.Standard([]string{"secret"}, "msg_1", now, body))
	return req
}

type reply struct {
	status     int
	retryAfter string
	body       string
}

func (c caller) do(req *http.Request) (reply, error) {
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return reply{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	return reply{resp.StatusCode, resp.Header.Get("Retry-After"), strings.TrimSpace(string(body))}, err
}

func (c caller) sync(key string, body []byte) reply {
	c.t.Helper()
	r, err := c.do(c.request(key, body))
	require.NoError(c.t, err)
	return r
}

func (c caller) plain(method, path, body string) reply {
	c.t.Helper()
	req, err := http.NewRequestWithContext(c.t.Context(), method, c.base+path, strings.NewReader(body))
	require.NoError(c.t, err)
	r, err := c.do(req)
	require.NoError(c.t, err)
	return r
}

func (c caller) fail(faults ...Fault) {
	c.t.Helper()
	body, err := json.Marshal(faults)
	require.NoError(c.t, err)
	require.Equal(c.t, reply{200, "", fmt.Sprintf(`{"faults":%d}`, len(faults))}, c.plain(http.MethodPost, "/mockerp/faults", string(body)))
}

func (c caller) stats() Stats {
	c.t.Helper()
	var s Stats
	require.NoError(c.t, json.Unmarshal([]byte(c.plain(http.MethodGet, "/mockerp/stats", "").body), &s))
	return s
}

func (c caller) calls(query string) []Call {
	c.t.Helper()
	var calls []Call
	require.NoError(c.t, json.Unmarshal([]byte(c.plain(http.MethodGet, "/mockerp/calls"+query, "").body), &calls))
	return calls
}

// statuses are those of the calls, oldest first.
func (c caller) statuses() []int {
	c.t.Helper()
	var out []int
	for _, call := range c.calls("") {
		out = append(out, call.Status)
	}
	return out
}

func accepted(n int) string { return fmt.Sprintf(`{"erp_reference":"ERP-%d","status":"accepted"}`, n) }

func refused(reason string) string { return fmt.Sprintf(`{"code":"REFUSED","error":%q}`, reason) }

// order is the payload of an order as the connector builds it.
func order(t *testing.T, incrementID string) []byte {
	t.Helper()
	return payloadOf(t, domain.OrderRef{Source: "default", IncrementID: incrementID}, `{"order_id": 123, "customer_email": "john@example.com",
		"items": [{"sku": "PROD-001", "name": "Größe <L> & more", "qty": "2", "price": "99.99", "row_total": "199.98"}],
		"totals": {"subtotal": "199.98", "tax": "20.00", "shipping": "10.00", "discount": "-0.50", "grand_total": "229.48"},
		"billing_address": {"firstname": "John", "street": ["Main Street 1", "Flat 2"], "country_id": "DE"}, "created_at": "2024-01-15T10:00:00Z"}`)
}

func payloadOf(t *testing.T, ref domain.OrderRef, snapshot string) []byte {
	t.Helper()
	var o domain.Order
	require.NoError(t, json.Unmarshal([]byte(snapshot), &o))
	body, err := domain.BuildPayload(ref, o)
	require.NoError(t, err)
	return body
}

func TestWhatTheConnectorSendsIsBooked(t *testing.T) {
	t.Parallel()
	c := setup(t)
	const least = `{"items": [{"sku": "A", "qty": 1}], "totals": {"grand_total": "1e2"}, "is_virtual": true, "shipping_address": {}}`
	require.Equal(t, reply{201, "", accepted(1)}, c.sync("ERP_1", order(t, "000000123")))
	require.Equal(t, reply{201, "", accepted(2)}, c.sync("ERP_2", payloadOf(t, domain.OrderRef{Source: "default", IncrementID: "2"}, least)))
	require.Equal(t, reply{201, "", accepted(3)}, c.sync("ERP_3", payloadOf(t, domain.OrderRef{Source: "shop-b", IncrementID: "2"}, least)))
	require.Equal(t, Stats{Calls: 3, Bookings: 3}, c.stats(), "two shops may have the same number")
}

func TestCallsOutOfOrderAreRefused(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		spoil  func(*http.Request)
		status int
		reason string
	}{
		"no_api_key":                 {func(r *http.Request) { r.Header.Del("X-Api-Key") }, 401, "X-API-KEY is missing or wrong"},
		"a_wrong_api_key":            {func(r *http.Request) { r.Header.Set("X-Api-Key", "other") }, 401, "X-API-KEY is missing or wrong"},
		"no_signature":               {func(r *http.Request) { r.Header.Del("X-Signature") }, 401, "X-Signature is missing or wrong"},
		"a_signature_of_other_bytes": {func(r *http.Request) { r.Header.Set("X-Signature", signature.Module("secret", []byte("{}"))) }, 401, "X-Signature is missing or wrong"},
		"a_signature_with_another_secret": {func(r *http.Request) {
			r.Header.Set("X-Signature", signature.Module("other", order(t, "1")))
		}, 401, "X-Signature is missing or wrong"},
		"no_standard_signature": {func(r *http.Request) { r.Header.Del("Webhook-Signature") }, 401, "Webhook-Signature is missing, wrong or too old"},
		"a_replay": {func(r *http.Request) {
			old := time.Now().Add(-time.Hour)
			r.Header.Set("Webhook-Timestamp", fmt.Sprint(old.Unix()))
			r.Header.Set("Webhook-Signature", signature.Standard([]string{"secret"}, "msg_1", old, order(t, "1")))
		}, 401, "Webhook-Signature is missing, wrong or too old"},
		"no_idempotency_key": {func(r *http.Request) { r.Header.Del("X-Idempotency-Key") }, 400, "X-Idempotency-Key is missing"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := setup(t)
			req := c.request("ERP_1", order(t, "1"))
			test.spoil(req)
			got, err := c.do(req)
			require.NoError(t, err)
			require.Equal(t, reply{test.status, "", refused(test.reason)}, got)
			require.Equal(t, Stats{Calls: 1, Refused: 1}, c.stats())
			require.Equal(t, []int{test.status}, c.statuses())
		})
	}
}

func TestPayloadsBesideTheContractAreRefused(t *testing.T) {
	t.Parallel()
	c := setup(t)
	whole := string(order(t, "1"))
	for _, test := range []struct{ old, with, want string }{
		{whole, `not json`, "the body is not valid JSON: byte 2: invalid character 'o' in literal null (expecting 'u')"},
		{whole, `[]`, "the payload must be an object"},
		{whole, `null`, "the payload must be an object"},
		{`"order_increment_id":"1",`, ``, "/order_increment_id is missing"},
		{`"order_increment_id":"1"`, `"order_increment_id":""`, "/order_increment_id must not be empty"},
		{`"order_increment_id":"1"`, `"order_increment_id":1`, "/order_increment_id must be a string"},
		{`"order_id":123`, `"order_id":"123"`, "/order_id must be a whole number"},
		{`"order_id":123,`, ``, "/order_id is missing"},
		{`"customer_email":"john@example.com"`, `"customer_email":1`, "/customer_email must be a string"},
		{`"customer_lastname":null,`, ``, "/customer_lastname is missing"},
		{`"items":[`, `"items":[{},`, "/items/0/sku is missing; /items/0/name is missing; /items/0/qty is missing; /items/0/price is missing; /items/0/row_total is missing"},
		{`"qty":2`, `"qty":"2"`, "/items/0/qty must be a number"},
		{`"sku":"PROD-001"`, `"sku":"PROD-001","item_id":1`, "/items/0/item_id is not a field of the contract"},
		{`"tax":20.00`, `"tax":"20.00"`, "/totals/tax must be a number"},
		{`"discount":-0.50,`, ``, "/totals/discount is missing"},
		{`"street":["Main Street 1","Flat 2"]`, `"street":"Main Street 1"`, "/billing_address/street must be a list"},
		{`"street":["Main Street 1"`, `"street":[1`, "/billing_address/street/0 must be a string"},
		{`"shipping_address":null`, `"shipping_address":[]`, "/shipping_address must be an object"},
		{`"created_at":"2024-01-15 10:00:00"`, `"created_at":"2024-01-15T10:00:00Z"`, "/created_at must be a time like 2024-01-15 10:30:00"},
		{`"updated_at":null`, `"updated_at":null,"currency":"EUR","a":1`, "/a is not a field of the contract; /currency is not a field of the contract"},
	} {
		require.Contains(t, whole, test.old)
		got := c.sync("ERP_1", []byte(strings.Replace(whole, test.old, test.with, 1)))
		status := http.StatusUnprocessableEntity
		if test.with == `not json` {
			status = http.StatusBadRequest
		}
		require.Equal(t, reply{status, "", refused(test.want)}, got)
	}
	items, err := json.Marshal([]any{})
	require.NoError(t, err)
	var fields map[string]json.RawMessage
	require.NoError(t, json.Unmarshal([]byte(whole), &fields))
	fields["items"] = items
	empty, err := json.Marshal(fields)
	require.NoError(t, err)
	require.Equal(t, refused("/items must not be empty"), c.sync("ERP_1", empty).body)
	require.Equal(t, Stats{Calls: 21, Refused: 21}, c.stats())
}

func TestAKeyIsBookedOnce(t *testing.T) {
	t.Parallel()
	c := setup(t)
	require.Equal(t, reply{201, "", accepted(1)}, c.sync("ERP_1", order(t, "1")))
	require.Equal(t, reply{200, "", accepted(1)}, c.sync("ERP_1", order(t, "1")))
	require.Equal(t, reply{409, "", `{"code":"KEY_REUSED","error":"the idempotency key was used for another body"}`}, c.sync("ERP_1", order(t, "2")))
	require.Equal(t, Stats{Calls: 3, Bookings: 1}, c.stats())
	require.Equal(t, []int{201, 200, 409}, c.statuses())
}

func TestAnOrderUnderTwoKeysIsADouble(t *testing.T) {
	t.Parallel()
	c := setup(t)
	for _, key := range []string{"ERP_1", "ERP_2", "ERP_2", "ERP_3"} {
		c.sync(key, order(t, "1"))
	}
	require.Equal(t, Stats{Calls: 4, Bookings: 3, Doubles: 2}, c.stats())
}

func TestCallsAreKeptAsTheyCame(t *testing.T) {
	t.Parallel()
	c := setup(t)
	c.sync("ERP_1", order(t, "1"))
	c.sync("ERP_2", order(t, "2"))
	calls := c.calls("?order=2")
	require.Len(t, calls, 1)
	call := calls[0]
	require.WithinDuration(t, time.Now(), call.At, time.Minute)
	require.Equal(t, "key", call.Header["X-Api-Key"])
	require.Equal(t, "msg_1", call.Header["Webhook-Id"])
	call.At, call.Header = time.Time{}, nil
	require.Equal(t, Call{Order: "2", Key: "ERP_2", Body: string(order(t, "2")), Status: 201}, call)
	require.Len(t, c.calls(""), 2)
	require.Empty(t, c.calls("?order=3"))
}

func TestFaults(t *testing.T) {
	t.Parallel()
	told := func(status int) string {
		return fmt.Sprintf(`{"code":"FAULT","error":"the mock ERP was told to answer %d"}`, status)
	}
	tests := map[string]struct {
		fault      Fault
		want       *reply // nil: the connection breaks
		wantBooked int
		wantNoted  int
	}{
		"a_status":                  {Fault{Status: 503}, &reply{503, "", told(503)}, 0, 503},
		"a_status_with_retry_after": {Fault{Status: 429, RetryAfter: "7"}, &reply{429, "7", told(429)}, 0, 429},
		"a_delay":                   {Fault{Delay: Delay(50 * time.Millisecond)}, &reply{201, "", accepted(1)}, 1, 201},
		"a_delay_and_a_status":      {Fault{Delay: Delay(time.Millisecond), Status: 500}, &reply{500, "", told(500)}, 0, 500},
		"a_reset_before_booking":    {Fault{ResetBefore: true}, nil, 0, 0},
		"a_reset_after_booking":     {Fault{ResetAfter: true}, nil, 1, 0},
		"an_answer_that_is_no_json": {Fault{BadJSON: true}, &reply{200, "", `{"erp_reference":`}, 1, 200},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := setup(t)
			test.fault.Order, test.fault.Times = "1", 1
			c.fail(test.fault)
			require.Equal(t, 201, c.sync("other", order(t, "0")).status, "another order is spared")
			c.plain(http.MethodDelete, "/mockerp", "")
			c.fail(test.fault)
			started := time.Now()
			got, err := c.do(c.request("ERP_1", order(t, "1")))
			if test.want == nil {
				require.Error(t, err)
			} else {
				require.NoError(t, err)
				require.Equal(t, *test.want, got)
			}
			require.GreaterOrEqual(t, time.Since(started), time.Duration(test.fault.Delay))
			require.Equal(t, Stats{Calls: 1, Bookings: test.wantBooked, Faults: 1}, c.stats())
			calls := c.calls("?order=1")
			require.Len(t, calls, 1)
			require.Equal(t, &test.fault, calls[0].Fault)
			require.Equal(t, test.wantNoted, calls[0].Status)
			again := c.sync("ERP_1", order(t, "1"))
			require.Contains(t, []int{200, 201}, again.status, "the fault hits once")
			require.Equal(t, accepted(1), again.body)
			require.Equal(t, Stats{Calls: 2, Bookings: 1, Faults: 1}, c.stats())
		})
	}
}

func TestAHugeAnswer(t *testing.T) {
	t.Parallel()
	c := setup(t)
	c.fail(Fault{Huge: true})
	got := c.sync("ERP_1", order(t, "1"))
	require.Equal(t, 200, got.status)
	require.Greater(t, len(got.body), 10<<20)
	require.True(t, json.Valid([]byte(got.body)))
	require.Equal(t, Stats{Calls: 1, Bookings: 1, Faults: 1}, c.stats())
}

func TestAHangLastsUntilTheCallerLeaves(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]Fault{"hang": {Hang: true}, "a_delay_longer_than_patience": {Delay: Delay(time.Hour)}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := setup(t)
			c.fail(fault)
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			_, err := c.do(c.request("ERP_1", order(t, "1")).WithContext(ctx))
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.Eventually(t, func() bool { return c.stats().Calls == 1 }, time.Minute, time.Millisecond)
			require.Equal(t, Stats{Calls: 1, Faults: 1}, c.stats())
			require.Equal(t, []int{0}, c.statuses())
		})
	}
}

func TestFaultsHitInTheirOrderAndByTheirNumber(t *testing.T) {
	t.Parallel()
	c := setup(t)
	c.fail(Fault{Order: "1", Status: 500, Times: 2}, Fault{Order: "*", Status: 502, Times: 1}, Fault{Order: "2", Status: 404})
	var got []int
	for _, id := range []string{"1", "2", "1", "2", "1", "2"} {
		got = append(got, c.sync("ERP_"+id, order(t, id)).status)
	}
	require.Equal(t, []int{500, 502, 500, 404, 201, 404}, got)
}

func TestFaultsByRateHitTheirShare(t *testing.T) {
	t.Parallel()
	c := setup(t)
	c.fail(Fault{Status: 503, Rate: 0.5})
	const calls = 400
	for i := range calls {
		c.sync(fmt.Sprint(i), order(t, fmt.Sprint(i)))
	}
	s := c.stats()
	require.Equal(t, calls, s.Bookings+s.Faults)
	require.InDelta(t, calls/2, s.Faults, calls/5, "four hundred coins fall so far from the middle once in 10^15")
}

func TestFaultsThatCannotBePlayedAreRefused(t *testing.T) {
	t.Parallel()
	c := setup(t)
	for body, want := range map[string]string{
		`{}`:                                              "the body is a JSON object; it must be an array",
		`[{"statuss": 500}]`:                              "/0/statuss is not known here: did you mean status?",
		`[{"status": 500}, {"status": 99}]`:               "/1/status is 99, which no ERP answers: give 200 to 599",
		`[{"sku": "A", "look_ups": true}]`:                "/0/sku does not go with look_ups: a look-up names no article",
		`[{"rate": 1.5}]`:                                 "/0/rate is 1.5; it must be from 0 to 1",
		`[{"delay": "soon"}]`:                             `/0/delay is \"soon\"; it must be a duration like \"2s\" or \"250ms\", or a number of nanoseconds`,
		`[{"times": -1, "delay": -1}]`:                    "/0/times is -1; it must not be negative; /0/delay is -1ns; it must not be negative",
		`[{"order": "1", "order": "2"}]`:                  "/0/order stands there twice; send it once",
		`[{"Order": "1"}]`:                                `/0/Order is written \"Order\"; write it \"order\"`,
		`[{"rate": 1e400, "times": 1e300}]`:               "/0/times is a JSON number 1e300; it must be a whole number; /0/rate is 1e400, which does not fit",
		`[{"label": "a\u0000b"}]`:                         "/0/label contains U+0000, which cannot be stored; remove it",
		`[{"retry_after": "1\r\nX: y"}]`:                  "/0/retry_after contains the control character U+000D; remove it",
		`[{"label": "` + strings.Repeat("x", 256) + `"}]`: "/0/label has 256 bytes; at most 255 are taken",
		`[] []`: "the body is not valid JSON: byte 4",
	} {
		got := c.plain(http.MethodPost, "/mockerp/faults", body)
		require.Equal(t, http.StatusBadRequest, got.status)
		require.Contains(t, got.body, want)
	}
	require.Equal(t, 201, c.sync("ERP_1", order(t, "1")).status, "none of them was added")
}

// A misspelt or empty label took back everybody's faults.
func TestALabelThatIsNoneTakesBackNothing(t *testing.T) {
	t.Parallel()
	c := setup(t)
	c.fail(Fault{Label: "a", Status: 500})
	for query, want := range map[string]string{"lable=a": "did you mean label?", "label=": "is empty; leave it out to take back all faults"} {
		got := c.plain(http.MethodDelete, "/mockerp/faults?"+query, "")
		require.Equal(t, http.StatusBadRequest, got.status)
		require.Contains(t, got.body, want)
	}
	require.Equal(t, 500, c.sync("ERP_1", order(t, "1")).status)
}

// What may mean two things is booked as neither.
func TestAPayloadThatMayMeanTwoThingsIsRefused(t *testing.T) {
	t.Parallel()
	c := setup(t)
	twice := bytes.Replace(order(t, "1"), []byte(`{`), []byte(`{"order_increment_id":"2",`), 1)
	require.Equal(t, 400, c.sync("ERP_1", twice).status)
	require.Equal(t, 400, c.sync(strings.Repeat("k", 256), order(t, "1")).status)
	require.Equal(t, 0, c.stats().Bookings)
}

func TestResetForgetsEverything(t *testing.T) {
	t.Parallel()
	c := setup(t)
	c.sync("ERP_1", order(t, "1"))
	c.fail(Fault{Status: 500})
	require.Equal(t, http.StatusNoContent, c.plain(http.MethodDelete, "/mockerp", "").status)
	require.Equal(t, Stats{}, c.stats())
	require.Empty(t, c.calls(""))
	require.Equal(t, reply{201, "", accepted(1)}, c.sync("ERP_1", order(t, "1")))
}

func TestHealth(t *testing.T) {
	t.Parallel()
	require.Equal(t, reply{200, "", `{"status":"ok"}`}, setup(t).plain(http.MethodGet, "/rest/V1/erpconnector/health", ""))
}
