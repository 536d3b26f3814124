package netfail_test

import (
	"fmt"
	"net"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/netfail"
)

func TestWhatTheSystemSays(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	addr := l.Addr().String()
	_, err = net.Listen("tcp", addr)
	require.True(t, netfail.Taken(fmt.Errorf("serving: %w", err)), "%v", err)
	require.False(t, netfail.Refused(err))
	require.NoError(t, l.Close())
	_, err = net.Dial("tcp", addr)
	require.True(t, netfail.Refused(fmt.Errorf("asking: %w", err)), "%v", err)
	require.False(t, netfail.Taken(err))
	require.False(t, netfail.Refused(nil))
}
