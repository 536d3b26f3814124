package ingest

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/services/ingest/internal/accept"
	"github.com/erpconnector/erpconnector/services/ingest/internal/quarantine"
	"github.com/erpconnector/erpconnector/shared/setting"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// refusal is a line of the log about an event that is not taken.
type refusal struct {
	Msg          string
	EventID      string `json:"event_id"`
	Order        string `json:"order_increment_id"`
	Source       string
	Code         string
	FirstPointer string `json:"first_pointer"`
	Problems     int
}

func refusals(t *testing.T, log []byte) (out []refusal) {
	t.Helper()
	for line := range bytes.Lines(log) {
		var r refusal
		require.NoError(t, json.Unmarshal(line, &r))
		out = append(out, r)
	}
	return out
}

// Seen: a refusal left a line without the order's number, so that nobody could be told of it.
func TestTheLogNamesWhatIsRefused(t *testing.T) {
	t.Parallel()
	pool := testkit.Postgres(t).Pool
	var out bytes.Buffer
	log := slog.New(slog.NewJSONHandler(&out, nil))
	handler := routes(pool, accept.New(pool, setting.Fixed(setting.Defaults()), log), quarantine.NewKeeper(pool, log), log)[0].Handler
	post := func(body string) {
		t.Helper()
		req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/rest/V1/erpconnector/events", strings.NewReader(body))
		req.Header.Set("Content-Type", "application/json")
		handler.ServeHTTP(httptest.NewRecorder(), req)
	}
	long := strings.Repeat("9", 1000)
	post(replaced(placed("e1", "000000123"), `"type"`, `"source": "shop-b", "type"`)) // accepted: tells nothing
	post(batch(
		replaced(placed("e2", "000000124"), `"qty": "2"`, `"qty": "two"`),
		replaced(replaced(placed("e3", "000000125"), `"type"`, `"source": "shop-b", "type"`), `"sku": "PROD-001"`, `"sku": ""`),
		invoiceOf("e4", "000000126"),
		placed(`e5\u001b[2J`, `1001\u00a0`),
		placed(long, long),
		replaced(placed("e7", "000000127"), `"order_increment_id": "000000127"`, `"order_increment_id": {"name": "john"}`),
		replaced(placed("e8", "000000128"), "Größe", `\ud800`),
	))
	post(replaced(placed("e8c", "000000128"), `"type"`, `"source": "John", "type"`))
	post(replaced(replaced(placed("e9", "000000123"), `"type"`, `"source": "shop-b", "type"`), `"order_id": 123`, `"order_id": 9`))
	post(replaced(placed("e11", "000000129"), `"currency"`, `"\u202e\u001b[2J": "\u0000", "currency"`))
	post(`{"event_id": "e10"`)
	require.Equal(t, []refusal{
		{"event refused", "e2", "000000124", "default", "refused", "/order/items/0/qty", 1},
		{"event refused", "e3", "000000125", "shop-b", "refused", "/order/items/0/sku", 1},
		{"event refused", "e4", "000000126", "default", "unknown_order", "/invoice/order_increment_id", 1},
		{"event refused", `"e5\x1b[2J"`, `"1001\u00a0"`, "default", "refused", "/event_id", 2},
		{"event refused", "", "", "default", "refused", "/event_id", 2},
		{"event refused", "e7", "", "default", "refused", "/order/order_increment_id", 1},
		{"event refused", "e8", "000000128", "default", "refused", "/order/items/0/name", 1},
		{"event refused", "e8c", "000000128", "", "refused", "/source", 1},
		{"event contradicts what was accepted before", "e9", "000000123", "shop-b", "conflict", "/order/order_id", 1},
		{"event refused", "e11", "000000129", "default", "refused", `"/order/\u202e\x1b[2J"`, 1},
		{Msg: "request refused: no event can be read from it", Code: "not_json"},
	}, refusals(t, out.Bytes()))
	require.NotContains(t, strings.ToLower(out.String()), "john")
}
