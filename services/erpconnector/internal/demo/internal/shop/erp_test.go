package shop

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/erpconnector/erpconnector/services/mockerp"
	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
)

// The ERP takes the payload of every order. (That the connector takes every event is tested beside the command.)
func TestTheErpTakesEveryOrder(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		erp := mockerp.New(mockerp.Options{})
		for e := range Stream(rapid.Uint64().Draw(t, "seed"), 40) {
			var c event.Commerce
			require.NoError(t, json.Unmarshal(e.Body, &c))
			if e.Kind == Mistake || len(c.Order) == 0 {
				continue
			}
			var o domain.Order
			require.NoError(t, json.Unmarshal(c.Order, &o))
			payload, err := domain.BuildPayload(e.Ref, o)
			require.NoError(t, err)
			req := httptest.NewRequest(http.MethodPost, "/orders/sync", bytes.NewReader(payload))
			req.Header.Set("X-Idempotency-Key", e.Ref.Source+e.ID)
			w := httptest.NewRecorder()
			erp.ServeHTTP(w, req)
			require.Contains(t, []int{http.StatusCreated, http.StatusOK}, w.Code, "%s", w.Body)
		}
	})
}
