package domain

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// An http:// in erp_base_url ended every order as "HTTP 301 without a body".
func TestARedirectNamesItsTargetAndTheLikelyMistake(t *testing.T) {
	const called = "http://erp.example.com/api/orders/sync"
	for name, c := range map[string]struct{ target, location, want string }{
		"http_for_https": {
			called, "https://erp.example.com/api/orders/sync",
			"HTTP 301 redirects to https://erp.example.com/api/orders/sync, and redirects are not followed: " +
				"erp_base_url says http and the ERP wants https; set it to https://erp.example.com/api",
		},
		"http_for_https_at_another_port": {
			"http://erp.example.com:8080/orders/sync", "https://erp.example.com:8443/orders/sync",
			"HTTP 301 redirects to https://erp.example.com:8443/orders/sync, and redirects are not followed: " +
				"erp_base_url says http and the ERP wants https; set it to https://erp.example.com:8443",
		},
		"a_slash_is_missing": {
			called, called + "/",
			"HTTP 301 redirects to " + called + "/, and redirects are not followed: " +
				"the ERP takes the address only with a slash at its end, and no setting adds one; have it take /orders/sync",
		},
		"a_slash_too_much": {
			"http://erp.example.com//api/orders/sync", called,
			"HTTP 301 redirects to " + called + ", and redirects are not followed: if that is the ERP, set erp_base_url to http://erp.example.com/api",
		},
		"another_host": {
			called, "http://www.erp.example.com/api/orders/sync/",
			"HTTP 301 redirects to http://www.erp.example.com/api/orders/sync/, and redirects are not followed: " +
				"if that is the ERP, set erp_base_url to http://www.erp.example.com/api",
		},
		"a_login_page": {
			called, "https://login.example.com/",
			"HTTP 301 redirects to https://login.example.com/, and redirects are not followed: " +
				"that is no address of orders, but a login page perhaps; check erp_base_url and ERP_API_KEY",
		},
		"from_https_to_http": {
			"https://erp.example.com/orders/sync", "http://erp.example.com/orders/sync",
			"HTTP 301 redirects to http://erp.example.com/orders/sync, and redirects are not followed: " +
				"it leads from https to http, which nobody should follow; have the ERP, or the proxy before it, take orders at https://erp.example.com/orders/sync",
		},
		"to_itself": {
			called, called,
			"HTTP 301 redirects to " + called + ", and redirects are not followed: " +
				"that is the address that was called; the ERP may ask for a login or a cookie: check ERP_API_KEY",
		},
		"to_what_is_no_address": {
			called, UnreadableLocation,
			"HTTP 301 redirects to an address that cannot be read, and redirects are not followed: check erp_base_url",
		},
	} {
		t.Run(name, func(t *testing.T) {
			body := AnswerBodyOf([]byte("<html><head><title>301 Moved Permanently</title></head></html>"))
			o := Classify(Answer{StatusCode: 301, Target: c.target, Location: c.location, Body: body}, AnswerPolicy{}, false, noon)
			require.Equal(t, Outcome{Kind: OutcomeFinal, Code: ErrorRejected, Error: c.want}, o)
		})
	}
}
