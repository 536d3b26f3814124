package event_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
)

// TestTheLargestEventMakesRecordsThatFit takes events of the full size whose payload is much longer than they are, and
// answers that grow when they are escaped.
func TestTheLargestEventMakesRecordsThatFit(t *testing.T) {
	t.Parallel()
	manyItems := strings.Repeat(`{"sku":"a","qty":1},`, event.MaxEventBytes/len(`{"sku":"a","qty":1},`)-10)
	longName := strings.Repeat("\u2028", event.MaxEventBytes/len("\u2028")-100)
	for name, items := range map[string]string{
		"fields the payload adds to every item": strings.TrimSuffix(manyItems, ","),
		"separators, which JSON text escapes":   fmt.Sprintf(`{"sku":"a","qty":1,"name":%q}`, "@"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			order := `{"order_increment_id":"1","items":[` + strings.Replace(items, "@", longName, 1) + `],"totals":{"grand_total":1}}`
			require.Less(t, len(order), event.MaxEventBytes)
			require.Greater(t, len(order), event.MaxEventBytes*9/10)
			value, payload := sizes(t, order)
			t.Logf("payload %d, value %d", payload, value)
			require.Less(t, value, event.MaxRecordBytes*3/4)
		})
	}
}

// sizes is the length of the payload of an order, and of a value with everything in it at once.
func sizes(t *testing.T, order string) (value, payload int) {
	t.Helper()
	var snapshot domain.Order
	require.NoError(t, json.Unmarshal([]byte(order), &snapshot))
	body, err := domain.BuildPayload(domain.OrderRef{Source: "b2b", IncrementID: "1"}, snapshot)
	require.NoError(t, err)
	text, failure := string(body), strings.Repeat("\x01", domain.MaxErrorBytes)
	encoded, err := domain.EncodeJSON(event.Sync{
		Order: []byte(order), Payload: &text, Error: &failure,
		Response: &event.Response{Body: strings.Repeat("\x01", domain.MaxResponseBytes)},
	})
	require.NoError(t, err)
	return len(encoded), len(body)
}
