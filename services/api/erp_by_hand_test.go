package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/pace"
)

// An operator stops all calls and lets them out again, and the history says who and why.
func TestTheBreakerByHand(t *testing.T) {
	t.Parallel()
	o := opened(t)
	jane := o.make(`{"name": "jane", "resources": ["Escooter_ErpConnector::manage"]}`).Token
	reader := o.make(`{"name": "reader", "resources": ["Escooter_ErpConnector::view_status"]}`).Token
	shop := o.make(`{"name": "shop", "resources": ["Escooter_ErpConnector::manage"], "source": "outlet"}`).Token
	var report, after pace.Report
	var answer struct{ Code, Detail string }

	require.Equal(t, http.StatusForbidden, o.ask(reader, http.MethodPost, "/erp/open", `{"reason": "they move"}`, nil))
	require.Equal(t, http.StatusForbidden, o.ask(shop, http.MethodPost, "/erp/open", `{"reason": "they move"}`, nil), "it is about all shops")
	for _, body := range []string{`{}`, `{"reason": ""}`, `{"reason": "a\u0000"}`, `{"reason": "x", "state": "open"}`} {
		require.Equal(t, http.StatusUnprocessableEntity, o.ask(jane, http.MethodPost, "/erp/open", body, nil), body)
	}
	require.Equal(t, http.StatusConflict, o.ask(jane, http.MethodPost, "/erp/close", `{"reason": "why not"}`, &answer))
	require.Equal(t, "breaker_stands", answer.Code)
	require.Contains(t, answer.Detail, "calls are not stopped")

	require.Equal(t, http.StatusOK, o.ask(jane, http.MethodPost, "/erp/open", `{"reason": "they move"}`, &report))
	require.Equal(t, domain.BreakerOpen, report.State)
	require.True(t, report.ByHand)
	require.Contains(t, report.WaitsFor, "jane stopped them at")
	require.Equal(t, http.StatusConflict, o.ask(jane, http.MethodPost, "/erp/open", `{"reason": "again"}`, &answer))
	require.Contains(t, answer.Detail, "jane has stopped the calls at")
	require.Equal(t, http.StatusOK, o.ask(jane, http.MethodPost, "/erp/close", `{"reason": "they have moved"}`, &after))
	require.Equal(t, domain.BreakerClosed, after.State)
	require.Empty(t, after.WaitsFor)
	require.Len(t, after.History, 2)
	require.Equal(t, []string{"jane", "they have moved"}, []string{after.History[0].By, after.History[0].Why})

	o.pool.Close()
	require.Equal(t, http.StatusServiceUnavailable, o.ask("first", http.MethodPost, "/erp/open", `{"reason": "they move"}`, nil))
}

// A token learns what it may do, also by what it holds beside.
func TestMe(t *testing.T) {
	t.Parallel()
	o := opened(t)
	const prefix = "Escooter_ErpConnector::"
	shop := o.make(`{"name": "desk", "resources": ["Escooter_ErpConnector::manage"], "source": "outlet", "expires_at": "2999-01-01T00:00:00Z"}`).Token
	publisher := o.make(`{"name": "shop", "resources": ["Escooter_ErpConnector::publish"]}`).Token
	for token, want := range map[string]string{
		shop: fmt.Sprintf(`{"name": "desk", "resources": ["%[1]smanage", "%[1]sresync", "%[1]ssync", "%[1]sview_status"], "source": "outlet",
			"expires_at": "2999-01-01T00:00:00Z"}`, prefix),
		publisher: fmt.Sprintf(`{"name": "shop", "resources": ["%spublish"], "source": null, "expires_at": null}`, prefix),
	} {
		var got json.RawMessage
		require.Equal(t, http.StatusOK, o.ask(token, http.MethodGet, "/me", "", &got))
		require.JSONEq(t, want, string(got))
	}
	var first identity
	require.Equal(t, http.StatusOK, o.ask("first", http.MethodGet, "/me", "", &first))
	require.Len(t, first.Resources, 8)
	require.Equal(t, http.StatusUnauthorized, o.ask("none", http.MethodGet, "/me", "", nil))
}
