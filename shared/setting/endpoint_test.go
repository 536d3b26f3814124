package setting

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
)

// A base URL of http://erp/orders/sync was taken: every order was posted to /orders/sync/orders/sync, and failed.
func TestTheAddressOfOrdersIsNoBaseURL(t *testing.T) {
	t.Parallel()
	const must = "; it must be the address without /orders/sync, which is added to it: "
	for given, right := range map[string]string{
		"http://erp/orders/sync":              "http://erp",
		"https://erp.example/api/orders/sync": "https://erp.example/api",
		"https://erp.example/Orders/Sync//":   "https://erp.example",
	} {
		s := Defaults()
		s.ErpBaseURL = given
		require.EqualError(t, s.Validate(), "erp_base_url is "+given+must+right)
	}
	s := Defaults()
	s.ErpBaseURL = "http://me:secret@erp/orders/sync"
	require.EqualError(t, s.Validate(), "erp_base_url is http://****@erp/orders/sync"+must+"http://****@erp")
	for _, taken := range []string{"", "http://erp", "http://erp/", "http://erp/orders", "http://erp/sync", "http://orders/sync", "http://erp/my-orders/sync", "http://erp/orders/sync/v2"} {
		s.ErpBaseURL = taken
		require.NoError(t, s.Validate(), taken)
	}
	environment := Defaults()
	environment.ErpBaseURL = "https://erp.example"
	in, unused := Resolve(environment, []Row{{Name: "erp_base_url", Value: json.RawMessage(`"https://erp.example/orders/sync"`)}})
	require.Equal(t, environment.ErpBaseURL, in.ErpBaseURL, "a row of before the rule is not used")
	require.Len(t, unused, 1)
}
