package erphttp

import (
	"context"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/setting"
)

// writeCounter counts the writes to a connection.
type writeCounter struct {
	net.Conn
	writes *atomic.Int32
}

func (c writeCounter) Write(b []byte) (int, error) {
	c.writes.Add(1)
	return c.Conn.Write(b)
}

// TestAnOrderGoesOutInOneWrite counts how often the connection of a call is written to. A packet of its own for the head costs the ERP and
// the connector.
func TestAnOrderGoesOutInOneWrite(t *testing.T) {
	t.Parallel()
	lookedUp := func(s *setting.Settings) { s.ErpLookup = "/orders/{order_increment_id}" }
	for name, c := range map[string]struct {
		change func(*setting.Settings)
		size   int
		want   int32
	}{
		"an order":                                       {nil, 2000, 1},
		"a large order is counted as it is read":         {nil, maxWhole + 1, 2},
		"an order that may be looked up is counted, too": {lookedUp, 2000, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client := answering(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"erp_reference":"1"}`)) })
			if c.change != nil {
				s := client.cfg.Settings.Current()
				c.change(&s)
				client.cfg.Settings = setting.Fixed(s)
			}
			var writes atomic.Int32
			transport := client.transport.(*http.Transport) //nolint:forcetypeassert // ours
			dial := transport.DialContext
			transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
				conn, err := dial(ctx, network, address)
				return writeCounter{conn, &writes}, err
			}
			reply := client.Send(t.Context(), Request{Payload: []byte(strings.Repeat("x", c.size)), IdempotencyKey: "ERP_1", MessageID: "msg_1", At: at})
			require.Equal(t, http.StatusOK, reply.StatusCode)
			require.Zero(t, reply.Unsent)
			require.Equal(t, c.want, writes.Load())
		})
	}
}

// TestASuccessBeforeTheHeadWasWritten is of an answer that cannot be one: the transport has not begun with the order that goes out in one
// write.
func TestASuccessBeforeTheHeadWasWritten(t *testing.T) {
	t.Parallel()
	body := newOrderBody([]byte(payload))
	body.isWhole = true
	require.Equal(t, len(payload), body.unsent())
	body.headWritten()
	require.Zero(t, body.unsent())

	counted := newOrderBody([]byte(payload))
	counted.headWritten()
	require.Equal(t, len(payload), counted.unsent())
}
