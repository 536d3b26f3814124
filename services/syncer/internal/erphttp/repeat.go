package erphttp

import (
	"net/http"

	"github.com/erpconnector/erpconnector/shared/setting"
)

// repeats are the calls that one attempt has repeated: each kind once, at once, under the same key, and within the same time-out.
type repeats struct{ connection, token bool }

// allow reports whether the call is made again.
//
//   - The ERP had closed an idle connection, and the call found out: there is no byte of an answer. net/http would repeat such a call
//     by itself, as often as it finds a broken connection, idle or not. The ERP may have read the order all the same, so its key must
//     protect it; where the ERP is asked about orders in doubt, as it may know no keys, the call is repeated only if a part of the
//     order was not sent.
//   - The ERP refused the token (401): a new one is fetched.
func (r *repeats) allow(c *Client, made *call, reply Reply, err error, s setting.Settings) bool {
	switch {
	case err == nil && reply.StatusCode == http.StatusUnauthorized && made.token != nil && !r.token:
		r.token = true
		c.tokens.refuse(made.token)
		return true
	case err != nil && made.foundItClosed(err) && !r.connection && (s.ErpLookup == "" || made.body.unsent() > 0 || made.body.size == 0):
		r.connection = true
		if t, ok := c.transport.(*http.Transport); ok {
			t.CloseIdleConnections() // the others are likely to be closed as well
		}
		return true
	default:
		return false
	}
}
