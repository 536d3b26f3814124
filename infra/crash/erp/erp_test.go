package erp

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/infra/crash/history"
	"github.com/erpconnector/erpconnector/infra/crash/nemesis"
	"github.com/erpconnector/erpconnector/infra/crash/stage"
)

const order = `{"order_increment_id": "1", "customer_email": "a@example.com", "items": [{"sku": "S", "qty": 2}], "totals": {"grand_total": 1}, "billing_address": {"city": "C"}}`

// open starts an ERP with a behaviour for each call.
func open(t *testing.T, calls ...nemesis.Call) *ERP {
	t.Helper()
	addr, err := stage.FreeAddr()
	require.NoError(t, err)
	e, err := Start(Config{
		Addr: addr, APIKey: "key", Secret: "secret", HangTimeout: 100 * time.Millisecond,
		Plan: func(_, _ string, n int) nemesis.Call { return calls[n] }, Changed: func(string, string) bool { return false },
		Callback: func(context.Context, CallbackRequest) {},
	})
	require.NoError(t, err)
	t.Cleanup(e.Close)
	return e
}

// send is a call as the product makes it, always under the same key; spoil may spoil it.
func send(t *testing.T, e *ERP, body string, spoil func(http.Header)) (status int) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, e.URL()+"/orders/sync", strings.NewReader(body))
	require.NoError(t, err)
	const key = "k"
	at := fmt.Sprint(time.Now().Unix())
	for name, value := range map[string]string{
		"Content-Type": "application/json", "X-API-KEY": "key", "X-Idempotency-Key": key, "X-Signature": Sign("secret", []byte(body)),
		"Webhook-Id": key, "Webhook-Timestamp": at, "Webhook-Signature": "v1," + Sign("secret", []byte(key+"."+at+"."+body)),
	} {
		req.Header.Set(name, value)
	}
	if spoil != nil {
		spoil(req.Header)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0
	}
	defer func() { _ = resp.Body.Close() }()
	_, err = io.Copy(io.Discard, resp.Body)
	if err != nil {
		return 0
	}
	return resp.StatusCode
}

func TestABookingIsMadeOnce(t *testing.T) {
	e := open(t, nemesis.Call{Behaviour: nemesis.CutAfter}, nemesis.Call{Behaviour: nemesis.Busy}, nemesis.Call{Behaviour: nemesis.Refuse}, nemesis.Call{Behaviour: nemesis.NotJSON})
	for _, want := range []int{0, http.StatusServiceUnavailable, http.StatusCreated, http.StatusOK} {
		status := send(t, e, order, nil)
		require.Equal(t, want, status)
	}
	var got []history.Call
	for _, c := range e.Calls() {
		require.False(t, c.Ended.Before(c.Began))
		got = append(got, history.Call{Behaviour: c.Behaviour, Status: c.Status, Booked: c.Booked, Reference: c.Reference, Problem: c.Problem})
	}
	require.Equal(t, []history.Call{
		{Behaviour: nemesis.CutAfter, Booked: true, Reference: "ERP-1"},
		{Behaviour: nemesis.Busy, Status: http.StatusServiceUnavailable},
		{Behaviour: nemesis.OK, Status: http.StatusCreated, Reference: "ERP-1"}, // it does not refuse what it has booked
		{Behaviour: nemesis.NotJSON, Status: http.StatusOK, Reference: "ERP-1"},
	}, got)
}

func TestWhatIsWrongWithACallIsNoted(t *testing.T) {
	for name, spoil := range map[string]func(http.Header){
		"X-API-KEY":         func(h http.Header) { h.Del("X-API-KEY") },
		"X-Signature":       func(h http.Header) { h.Set("X-Signature", Sign("other", []byte(order))) },
		"Webhook-Timestamp": func(h http.Header) { h.Set("Webhook-Timestamp", "1") },
		"Webhook-Signature": func(h http.Header) { h.Del("Webhook-Signature") },
		"X-Idempotency-Key": func(h http.Header) { h.Del("X-Idempotency-Key") },
	} {
		e := open(t, nemesis.Call{Behaviour: nemesis.OK})
		status := send(t, e, order, spoil)
		require.Equal(t, http.StatusUnauthorized, status, name)
		require.Contains(t, e.Calls()[0].Problem, name)
		require.False(t, e.Calls()[0].Booked)
	}
}

func TestAKeyUsedForAnotherBody(t *testing.T) {
	e := open(t, nemesis.Call{Behaviour: nemesis.OK}, nemesis.Call{Behaviour: nemesis.OK})
	other := strings.Replace(order, "a@", "b@", 1)
	send(t, e, order, nil)
	status := send(t, e, other, nil)
	require.Equal(t, http.StatusConflict, status)
	digest := sha256.Sum256([]byte(other))
	last := e.Calls()[1]
	require.Equal(t, hex.EncodeToString(digest[:8]), last.BodyHash)
	require.Contains(t, last.Problem, "another body")
}

func TestCallersThatAreLeftWithoutAnAnswer(t *testing.T) {
	e := open(t, nemesis.Call{Behaviour: nemesis.Hang}, nemesis.Call{Behaviour: nemesis.CutBefore}, nemesis.Call{Behaviour: nemesis.HangAfter})
	for range 3 {
		status := send(t, e, order, nil)
		require.Zero(t, status)
	}
	e.Down()
	status := send(t, e, order, nil)
	require.Zero(t, status)
	require.NoError(t, e.Up())
	calls := e.Calls()
	require.Len(t, calls, 3)
	require.Equal(t, []bool{false, false, true}, []bool{calls[0].Booked, calls[1].Booked, calls[2].Booked})
}

// Each 429 with Retry-After holds all calls of the product, so more of them would leave nothing to kill.
func TestOnlyOneOfManyLimitedCallsHoldsAll(t *testing.T) {
	e := open(t, nemesis.Call{Behaviour: nemesis.Limited, RetryAfter: 1}, nemesis.Call{Behaviour: nemesis.LimitedBy, RetryAfter: 1}, nemesis.Call{Behaviour: nemesis.Limited, RetryAfter: 1})
	for _, want := range []int{http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusInternalServerError} {
		status := send(t, e, order, nil)
		require.Equal(t, want, status)
	}
}

func TestAStormTurnsAllCallsAway(t *testing.T) {
	e := open(t, nemesis.Call{Behaviour: nemesis.OK}, nemesis.Call{Behaviour: nemesis.OK}, nemesis.Call{Behaviour: nemesis.OK})
	e.SetStorm(&nemesis.Storm{Status: http.StatusServiceUnavailable, RetryAfter: 2})
	require.Equal(t, http.StatusServiceUnavailable, send(t, e, order, nil))
	e.SetStorm(&nemesis.Storm{Status: http.StatusTooManyRequests})
	require.Equal(t, http.StatusTooManyRequests, send(t, e, order, nil))
	e.SetStorm(nil)
	require.Equal(t, http.StatusCreated, send(t, e, order, nil))
	calls := e.Calls()
	require.Equal(t, []bool{false, true, true}, []bool{calls[0].HoldUntil.IsZero(), calls[1].HoldUntil.IsZero(), calls[2].HoldUntil.IsZero()})
	require.Equal(t, []bool{false, false, true}, []bool{calls[0].Booked, calls[1].Booked, calls[2].Booked})
}
