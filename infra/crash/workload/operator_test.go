package workload

import (
	"context"
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/infra/crash/erp"
	"github.com/erpconnector/erpconnector/infra/crash/history"
	"github.com/erpconnector/erpconnector/infra/crash/nemesis"
)

var scenario = nemesis.Scenario{Source: "shop-b", Order: "000001000"}

// Only an answer with success is held against the product, and only a refusal means that nothing was done.
func TestTheOutcomeOfACommand(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]history.Outcome{
		200: history.Accepted, 202: history.Accepted, 404: history.Refused, 409: history.Refused, 422: history.Refused,
		500: history.Unknown, 503: history.Unknown, 0: history.Unknown,
	} {
		p := newProduct(t, answer{status, ""})
		s := p.shops(t, "")
		s.command(t.Context(), scenario, nemesis.Command{Kind: "cancel"})
		require.Len(t, s.Requests(), 1, "status %d", status)
		got := s.Requests()[0]
		require.False(t, got.Ended.Before(got.Began))
		require.False(t, got.Began.IsZero())
		got.Began, got.Ended = time.Time{}, time.Time{}
		require.Equal(t, history.Request{Kind: "cancel", Source: "shop-b", Order: "000001000", Outcome: want, HTTPCode: status}, got)
		require.Len(t, p.got(), 1, "an operator does not repeat a command")
	}
}

func TestEachCommandHasItsPath(t *testing.T) {
	t.Parallel()
	for kind, path := range map[string]string{
		"sync": "/sync-order", "resync": "/resync-order", "resync-new-key": "/resync-order", "cancel": "/cancel-order", "settle": "/settle-order", "send-now": "/send-order-now",
	} {
		p := newProduct(t, answer{202, ""})
		p.shops(t, "").command(t.Context(), scenario, nemesis.Command{Kind: kind})
		require.Equal(t, path+"?wait=0", p.got()[0].path)
		var body map[string]any
		require.NoError(t, json.Unmarshal([]byte(p.got()[0].body), &body))
		require.Equal(t, "shop-b", body["source"])
		require.Equal(t, kind == "resync-new-key", body["newKey"] == true, kind)
	}
}

// The checker allows a new key for each resync-again. So what the operator confirmed must be told apart from the first try.
func TestAResyncOfABookedOrderIsConfirmedAndThenCalledBack(t *testing.T) {
	t.Parallel()
	p := newProduct(t, answer{409, ""}, answer{202, ""}, answer{200, ""})
	s := p.shops(t, "")
	s.cfg.Booked = func(source, order string) *erp.CallbackRequest {
		return &erp.CallbackRequest{Source: source, Order: order, Status: nemesis.Accepted, Reference: "ERP-1"}
	}
	s.command(t.Context(), scenario, nemesis.Command{Kind: nemesis.ResyncBooked})
	var kinds []string
	for _, r := range s.Requests() {
		kinds = append(kinds, r.Kind)
	}
	require.Equal(t, []string{"resync", "resync-again", "webhook-accepted"}, kinds)
	require.Equal(t, "ERP-1", s.Requests()[2].Reference)
	require.Contains(t, p.got()[1].body, `"newKey":true`)
}

// Commands that depend on the order's state do nothing when it is not that.
func TestCommandsThatDoNotApplyAreNotSent(t *testing.T) {
	t.Parallel()
	p := newProduct(t, answer{200, `{"status": "success"}`})
	s := p.shops(t, "")
	s.command(t.Context(), scenario, nemesis.Command{Kind: nemesis.ResyncBooked})
	s.command(t.Context(), scenario, nemesis.Command{Kind: nemesis.ResyncFailed})
	require.Empty(t, s.Requests())
	require.Len(t, p.got(), 1)
	require.Equal(t, "/sync-status/000001000?source=shop-b", p.got()[0].path)
	failed := newProduct(t, answer{200, `{"status": "failed"}`}, answer{202, ""}).shops(t, "")
	failed.command(t.Context(), scenario, nemesis.Command{Kind: nemesis.ResyncFailed})
	require.Len(t, failed.Requests(), 1)
}

// A callback is repeated with the same body, and recorded once, with what the last answer says.
func TestACallbackIsRepeatedUntilItIsAnswered(t *testing.T) {
	t.Parallel()
	p := newProduct(t, answer{0, ""}, answer{503, ""}, answer{200, ""})
	s := p.shops(t, "")
	s.Callback(t.Context(), erp.CallbackRequest{Source: "shop-b", Order: "7", Status: nemesis.Rejected, Reference: "R", Key: "K"})
	require.Len(t, p.got(), 3)
	for _, r := range p.got() {
		require.Equal(t, p.got()[0].body, r.body)
		require.Equal(t, erp.Sign("secret", []byte(r.body)), r.header.Get("X-Signature"))
	}
	require.Len(t, s.Requests(), 1)
	got := s.Requests()[0]
	got.Began, got.Ended = time.Time{}, time.Time{}
	require.Equal(t, history.Request{
		Kind: "webhook-rejected", Source: "shop-b", Order: "7", Key: "K", Reference: "R", Outcome: history.Accepted, HTTPCode: http.StatusOK,
	}, got)
}

// While a setting's change is not answered nobody knows its value, so the times are those of the answered request.
func TestASettingIsChangedUntilItIsAnswered(t *testing.T) {
	t.Parallel()
	p := newProduct(t, answer{0, ""}, answer{503, ""}, answer{200, ""})
	before := time.Now()
	requested, answered := p.shops(t, "").SetSetting(t.Context(), nemesis.Enabled, false)
	require.Len(t, p.got(), 3)
	require.Contains(t, p.got()[2].body, `"enabled":false`)
	require.Equal(t, "*", p.got()[2].header.Get("If-Match"))
	require.Greater(t, requested.Sub(before), retryInterval)
	require.False(t, answered.Before(requested))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	requested, answered = newProduct(t, answer{500, ""}).shops(t, "").SetSetting(ctx, nemesis.Enabled, false)
	require.True(t, requested.IsZero() && answered.IsZero())
}
