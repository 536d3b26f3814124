package mockerp

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/mux"
	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/httpapi"
	"github.com/erpconnector/erpconnector/shared/httpapi/problem/problemtest"
)

// record tells a story of requests to the module's paths in a golden file.
func record(t *testing.T, name string) func(method, path, body string) (int, []byte) {
	t.Helper()
	router := mux.NewRouter()
	now := func() time.Time { return time.Date(2024, 1, 15, 11, 30, 0, 0, time.FixedZone("CET", 3600)) }
	for _, r := range Routes(New(Options{Now: now})) {
		router.Handle(r.Path, httpapi.CheckQuery(r)).Methods(r.Method)
	}
	page := problemtest.New(t, name, router)
	return func(method, path, body string) (int, []byte) {
		t.Helper()
		return page.Do(problemtest.Request{Method: method, Path: path, Header: []string{"Content-Type", "application/json"}, Body: body})
	}
}

const stockPath = "/rest/V1/erpconnector/mock-update-stock"

func TestStockIsUpdatedAsInTheModule(t *testing.T) {
	t.Parallel()
	do := record(t, "stock_updated")
	const body = `{"items": [{"sku": "PROD-001", "qty": 5}, {"sku": "Größe <L> & more", "qty": 0.50}], "orderIncrementId": "000000123", "idempotencyKey": "ERP_abc123"}`
	_, first := do(http.MethodPost, stockPath, body)
	_, again := do(http.MethodPost, stockPath, body)
	require.Equal(t, string(first), string(again), "the same key has the same reference")
	_, other := do(http.MethodPost, stockPath, `{"items": [{"sku": "PROD-001", "qty": 5}], "orderIncrementId": "000000123", "idempotencyKey": "ERP_def456"}`)
	require.Contains(t, string(first), stockReference("ERP_abc123"))
	require.NotContains(t, string(other), stockReference("ERP_abc123"))
}

func TestStockThatIsWrongIsRefused(t *testing.T) {
	t.Parallel()
	do := record(t, "stock_refused")
	for _, c := range []struct {
		body   string
		status int
	}{
		{``, http.StatusBadRequest},
		{`items`, http.StatusBadRequest},
		{`[]`, http.StatusUnprocessableEntity},
		{`{}`, http.StatusUnprocessableEntity},
		{`{"items": [], "orderIncrementId": "", "idempotencyKey": null}`, http.StatusUnprocessableEntity},
		{`{"items": [{"sku": "", "qty": "5"}], "orderIncrementId": "1", "idempotencyKey": "k"}`, http.StatusUnprocessableEntity},
		{`{"items": [{"sku": "A", "qty": 1, "price": 2}], "order_increment_id": "1", "idempotencyKey": "k"}`, http.StatusUnprocessableEntity},
	} {
		status, _ := do(http.MethodPost, stockPath, c.body)
		require.Equal(t, c.status, status, c.body)
	}
	for _, body := range []string{
		`{"items": [{"sku": "A", "sku": "B", "qty": 1}], "orderIncrementId": "1", "idempotencyKey": "k"}`,
		"\xEF\xBB\xBF{}",
	} {
		status, _ := do(http.MethodPost, stockPath, body)
		require.Equal(t, http.StatusBadRequest, status, body)
	}
	status, _ := do(http.MethodPost, stockPath, `{"items": [{"sku": "a\u001bb", "qty": 1}], "orderIncrementId": "a\nb", "idempotencyKey": "`+strings.Repeat("k", 256)+`"}`)
	require.Equal(t, http.StatusUnprocessableEntity, status)
	status, _ = do(http.MethodGet, stockPath, "")
	require.Equal(t, http.StatusMethodNotAllowed, status)
}

func TestTheModulesMockIsHealthy(t *testing.T) {
	t.Parallel()
	do := record(t, "health")
	status, _ := do(http.MethodGet, "/rest/V1/erpconnector/health", "")
	require.Equal(t, http.StatusOK, status)
}
