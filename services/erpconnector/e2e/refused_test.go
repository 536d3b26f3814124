package e2e

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/httpapi"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// A shop published an invoice under a type that is none, and did not read the answer. Support finds it by the order's status, sees what is
// wrong, corrects it and sends it again: the order reaches the ERP. What a test of the shop left behind is discarded in one go.
func TestARefusedInvoiceReachesTheErpOverTheAPI(t *testing.T) {
	t.Parallel()
	const quarantine = httpapi.BasePath + "/quarantine"
	p := start(t, configured(t, testkit.EmbeddedBroker(t)))
	bad := invoice("bad", "1001")
	bad["type"] = "invoice.paid"
	for range 3 { // the shop tries on
		status, answer := p.publish(bad)
		require.Equal(t, http.StatusUnprocessableEntity, status, answer)
	}
	const tests = 7
	for i := range tests {
		status, answer := p.publish(map[string]any{"event_id": fmt.Sprint("test-", i), "type": "ping", "source": "shop-test"})
		require.Equal(t, http.StatusUnprocessableEntity, status, answer)
	}

	status, absent := p.do(http.MethodGet, httpapi.BasePath+"/sync-status/1001", nil)
	require.Equal(t, http.StatusNotFound, status)
	require.Equal(t, "refused", absent["reason"], absent)
	refused, ok := absent["refused"].(map[string]any)
	require.True(t, ok, absent)

	status, list := p.do(http.MethodGet, quarantine+"?order=1001", nil)
	require.Equal(t, http.StatusOK, status, list)
	entries, ok := list["entries"].([]any)
	require.True(t, ok, list)
	require.Len(t, entries, 1, "once, however often it came")
	entry, ok := entries[0].(map[string]any)
	require.True(t, ok, list)
	require.Equal(t, []any{refused["quarantine_id"], 3.0, "http", "bad"}, []any{entry["id"], entry["tries"], entry["door"], entry["event_id"]})
	path := fmt.Sprintf("%s/%v", quarantine, entry["id"])

	_, shown := p.do(http.MethodGet, path, nil)
	corrected, ok := shown["event"].(map[string]any)
	require.True(t, ok, shown)
	status, again := p.do(http.MethodPost, path+"/send", "")
	require.Equal(t, http.StatusUnprocessableEntity, status, again)
	corrected["type"] = "invoice.created"
	status, sent := p.do(http.MethodPost, path+"/send", map[string]any{"event": corrected})
	require.Equal(t, http.StatusOK, status, sent)
	require.Equal(t, "accepted", sent["result"])
	p.becomes("1001", ended("success"))
	status, _ = p.do(http.MethodGet, path, nil)
	require.Equal(t, http.StatusNotFound, status)

	words := map[string]any{"source": "shop-test", "dry_run": true}
	status, preview := p.do(http.MethodPost, quarantine+"/discard", words)
	require.Equal(t, http.StatusOK, status, preview)
	require.EqualValues(t, tests, preview["selected"])
	delete(words, "dry_run")
	words["reason"] = "tests before it went live"
	status, done := p.do(http.MethodPost, quarantine+"/discard", words)
	require.Equal(t, http.StatusOK, status, done)
	_, counts := p.do(http.MethodGet, quarantine+"/counts", nil)
	require.EqualValues(t, 0, counts["total"])
	_, trace := p.do(http.MethodGet, quarantine+"/counts?state=discarded&source=shop-test", nil)
	require.EqualValues(t, tests, trace["total"])
}
