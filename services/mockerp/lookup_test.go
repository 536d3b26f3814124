package mockerp

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/httpapi"
)

// lookUp asks for an order by a query.
func (c caller) lookUp(query string) reply {
	c.t.Helper()
	req, err := http.NewRequestWithContext(c.t.Context(), http.MethodGet, c.base+httpapi.BasePath+"/orders?"+query, nil)
	require.NoError(c.t, err)
	req.Header.Set("X-Api-Key", "key")
	r, err := c.do(req)
	require.NoError(c.t, err)
	return r
}

func TestABookingCanBeLookedUp(t *testing.T) {
	t.Parallel()
	c := setup(t)
	unknown := reply{404, "", `{"code":"UNKNOWN","error":"there is no such booking"}`}
	booked := reply{200, "", `{"erp_reference":"ERP-1","status":"accepted"}`}
	require.Equal(t, unknown, c.lookUp("idempotency_key=ERP_1"))
	require.Equal(t, 201, c.sync("ERP_1", order(t, "1")).status)
	for _, query := range []string{"idempotency_key=ERP_1", "order_increment_id=1", "order_increment_id=1&source=default"} {
		require.Equal(t, booked, c.lookUp(query), query)
	}
	require.Equal(t, unknown, c.lookUp("order_increment_id=1&source=shop-b"))
	require.Equal(t, 401, c.plain(http.MethodGet, httpapi.BasePath+"/orders?idempotency_key=ERP_1", "").status)

	c.fail(Fault{LookUps: true, Status: 503, RetryAfter: "7", Times: 1})
	require.Equal(t, 200, c.sync("ERP_1", order(t, "1")).status, "the fault is of look-ups")
	require.Equal(t, reply{503, "7", `{"code":"FAULT","error":"the mock ERP was told to answer 503"}`}, c.lookUp("idempotency_key=ERP_1"))
	require.Equal(t, booked, c.lookUp("idempotency_key=ERP_1"))
	require.Equal(t, Stats{Calls: 2, Bookings: 1, LookUps: 8}, c.stats())
}

func TestAnERPThatForgetsKeysBooksEachCall(t *testing.T) {
	t.Parallel()
	c := setup(t)
	c.fail(Fault{ForgetsKeys: true})
	for range 3 {
		require.Equal(t, 201, c.sync("ERP_1", order(t, "1")).status)
	}
	require.Equal(t, Stats{Calls: 3, Bookings: 3, Doubles: 2, Faults: 3}, c.stats())
	require.JSONEq(t, `{"erp_reference":"ERP-1","status":"accepted"}`, c.lookUp("order_increment_id=1").body)
}
