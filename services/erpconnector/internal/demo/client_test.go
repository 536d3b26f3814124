package demo

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/testkit"
)

// What answered 101 and kept the connection held the demo for ever: no time-out of an http.Client holds there.
func TestWhatSwitchesProtocolsIsNoConnector(t *testing.T) {
	t.Parallel()
	c := newClient(testkit.SwitchingServer(t), "token")
	t.Cleanup(c.close)
	said := make(chan error, 1)
	go func() { said <- c.hello(t.Context()) }()
	select {
	case err := <-said:
		require.ErrorContains(t, err, "answered 101 Switching Protocols, which no connector does: name another with --url")
	case <-time.After(testkit.Patience):
		require.Fail(t, "the request goes on")
	}
}
