package contracts_test

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/fx/fxtest"

	"github.com/erpconnector/erpconnector/services/app"
	"github.com/erpconnector/erpconnector/shared/client"
	"github.com/erpconnector/erpconnector/shared/config"
	"github.com/erpconnector/erpconnector/shared/setting"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

const invoice = `{"event_id": "e-1", "type": "invoice.created", "invoice": {"increment_id": "000000045"}, "order": {
	"order_increment_id": "000000123", "order_id": 123, "currency": "EUR", "customer_email": "john@example.com",
	"items": [{"item_id": 1, "sku": "PROD-001", "name": "Mug", "qty": "2", "price": "99.99", "row_total": "199.98"}],
	"totals": {"subtotal": "199.98", "tax": "20.00", "shipping": "10.00", "discount": "0.00", "grand_total": "229.98"},
	"created_at": "2024-01-15 10:00:00"}}`

// The generated client publishes an event to the product, asks for the order, finds its sync, and gets errors as they are documented.
func TestTheClientTalksToTheProduct(t *testing.T) {
	t.Parallel()
	db := testkit.Postgres(t)
	cfg := config.Config{DatabaseURL: db.URL, KafkaBrokers: []string{"localhost:1"}, Settings: setting.Defaults()}
	cfg.HTTP = config.HTTP{Addr: testkit.FreeAddr(t), Token: "secret"}
	product := fxtest.New(t, app.Options(cfg, slog.New(slog.DiscardHandler), "api", "ingest"))
	product.RequireStart()
	t.Cleanup(product.RequireStop)

	c, err := client.New("http://"+cfg.HTTP.Addr+"/", "secret")
	require.NoError(t, err)
	for _, want := range []client.EventVerdict{client.EventVerdictAccepted, client.EventVerdictDuplicate} {
		said, err := c.Publish(t.Context(), json.RawMessage(invoice))
		require.NoError(t, err)
		require.Equal(t, want, said.Result)
	}
	where, err := c.SyncStatusWithResponse(t.Context(), "000000123", nil)
	require.NoError(t, err)
	require.Equal(t, client.Queued, where.JSON200.Status)
	none, err := c.SyncStatusWithResponse(t.Context(), "7/8", &client.SyncStatusParams{Source: new("outlet")})
	require.NoError(t, err)
	require.Equal(t, "7/8", none.JSON404.OrderIncrementId)

	_, err = db.Pool.Exec(t.Context(), `INSERT INTO vendor_erp_sync (sync_id, source, order_increment_id, idempotency_key, status, attempts, max_attempts,
			generation, attempt_version, attempt_version_at, version, version_at, created_at, updated_at)
		VALUES (7, 'default', '000000124', 'k', 'failed', 1, 5, 1, 1, now(), 1, now(), now(), now())`)
	require.NoError(t, err)
	page, err := c.ListSyncsWithResponse(t.Context(), &client.ListSyncsParams{Status: new("failed"), Fields: new("sync_id,status")})
	require.NoError(t, err)
	require.Equal(t, []client.SomeListedSync{{SyncId: new(int64(7)), Status: new(client.Failed)}}, page.JSON200.Syncs)

	var p *client.ProblemError
	_, err = c.ListSyncsWithResponse(t.Context(), &client.ListSyncsParams{Limit: new(0)})
	require.ErrorAs(t, err, &p)
	require.Equal(t, []any{http.StatusBadRequest, "query_invalid"}, []any{p.Status, p.Code})
	nobody, err := client.New("http://"+cfg.HTTP.Addr, "wrong")
	require.NoError(t, err)
	_, err = nobody.Publish(t.Context(), json.RawMessage(invoice))
	require.ErrorAs(t, err, &p)
	require.Equal(t, "unauthorized", p.Code)
}

// A route that was added without making the client anew is seen here; the gate compares the whole file.
func TestTheClientHasEveryOperation(t *testing.T) {
	t.Parallel()
	var have, want []string
	for method := range reflect.TypeFor[client.ClientWithResponsesInterface]().Methods() {
		if name, ok := strings.CutSuffix(method.Name, "WithResponse"); ok && !strings.HasSuffix(name, "WithBody") {
			have = append(have, name)
		}
	}
	for _, r := range describedRoutes(t) {
		if !slices.Contains([]string{"Console", "Mock ERP", "Process"}, r.Tag) {
			want = append(want, strings.ToUpper(r.ID[:1])+r.ID[1:])
		}
	}
	require.ElementsMatch(t, want, have, "run `task client`")
}
