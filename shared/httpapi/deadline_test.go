package httpapi

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/config"
)

// listening is a server of one route, with the limits, on an address of its own.
func listening(t *testing.T, l limits, h http.HandlerFunc) (addr string) {
	t.Helper()
	s := newServer(config.HTTP{}, nil, []Route{{Method: http.MethodGet, Path: "/", Handler: h}}, nil, slog.New(slog.DiscardHandler), l)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	served := make(chan error, 1)
	go func() { served <- s.http.Serve(listener) }()
	t.Cleanup(func() {
		require.NoError(t, s.http.Close())
		require.ErrorIs(t, <-served, http.ErrServerClosed)
	})
	return listener.Addr().String()
}

func ask(t *testing.T, addr, headers string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	_, err = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n"+headers+"\r\n")
	require.NoError(t, err)
	return conn
}

// A client that asked for much and read nothing held its handler, and what that held, for ever.
func TestAClientThatDoesNotReadHoldsNothingForEver(t *testing.T) {
	t.Parallel()
	l := defaultLimits
	l.answer = 200 * time.Millisecond
	ended := make(chan error, 1)
	addr := listening(t, l, func(w http.ResponseWriter, _ *http.Request) {
		var err error
		for err == nil { // more than the buffers between us take
			_, err = w.Write(make([]byte, 1<<20))
		}
		ended <- err
	})
	ask(t, addr, "")
	select {
	case err := <-ended:
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	case <-time.After(time.Minute):
		require.Fail(t, "the handler still writes")
	}
}

// sync-order waits for a minute before it writes: that is no slow client.
func TestAnAnswerThatTookLongToFindIsSent(t *testing.T) {
	t.Parallel()
	l := defaultLimits
	l.answer, l.request = 100*time.Millisecond, 100*time.Millisecond
	addr := listening(t, l, func(w http.ResponseWriter, r *http.Request) {
		found := time.NewTimer(3 * l.answer)
		defer found.Stop()
		select {
		case <-found.C:
			_, _ = fmt.Fprint(w, "found")
		case <-r.Context().Done():
		}
	})
	resp, err := http.ReadResponse(bufio.NewReader(ask(t, addr, "")), nil)
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, "found", string(body))
}

func TestHeadersWithoutEndAreRefused(t *testing.T) {
	t.Parallel()
	addr := listening(t, defaultLimits, func(http.ResponseWriter, *http.Request) {})
	resp, err := http.ReadResponse(bufio.NewReader(ask(t, addr, "X: "+strings.Repeat("x", 80<<10)+"\r\n")), nil)
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	require.Equal(t, http.StatusRequestHeaderFieldsTooLarge, resp.StatusCode)
}
