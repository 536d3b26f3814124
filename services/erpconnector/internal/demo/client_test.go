package demo

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/testkit"
)

// What answered 101 and kept the connection held the demo for ever: no time-out of an http.Client holds there.
func TestWhatSwitchesProtocolsIsNoConnector(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer func() { _ = conn.Close() }()
		if _, err := http.ReadRequest(bufio.NewReader(conn)); err != nil { // what comes before it is asked for is no answer
			return
		}
		_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		_, _ = io.Copy(io.Discard, conn)
	}()
	c := newClient("http://"+listener.Addr().String(), "token")
	t.Cleanup(c.close)
	said := make(chan error, 1)
	go func() { said <- c.hello(t.Context()) }()
	select {
	case err := <-said:
		require.ErrorContains(t, err, "answered 101 Switching Protocols, which no connector does: name another with --url")
	case <-time.After(testkit.AwaitTimeout):
		require.Fail(t, "the question goes on")
	}
}
