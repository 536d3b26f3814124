package e2e

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/services/erpconnector/internal/cli"
	"github.com/erpconnector/erpconnector/shared/config"
	"github.com/erpconnector/erpconnector/shared/httpapi"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// ask runs the command as a user does and returns what it printed.
func ask(ctx context.Context, args ...string) (string, error) {
	var out strings.Builder
	cmd := cli.Root()
	cmd.SetArgs(append([]string{"health"}, args...))
	cmd.SetOut(&out)
	err := cmd.ExecuteContext(ctx)
	return out.String(), err
}

// running is the server of every service, with these probes.
func running(t *testing.T, probes ...httpapi.Probe) (addr string) {
	t.Helper()
	addr = freeAddr(t)
	server := httpapi.NewServer(config.HTTP{Addr: addr}, nil, probes, slog.New(slog.DiscardHandler))
	listener, err := server.Listen(t.Context())
	require.NoError(t, err)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { require.NoError(t, server.Stop(context.WithoutCancel(t.Context()))) })
	return addr
}

func TestHealth(t *testing.T) {
	fine := httpapi.Probe{Name: "postgres", Check: func(context.Context) error { return nil }}
	broken := httpapi.Probe{Name: "relay", Check: func(context.Context) error { return errors.New("no broker answers") }}

	t.Run("ready", func(t *testing.T) {
		said, err := ask(t.Context(), "http://"+running(t, fine)+"/")
		require.NoError(t, err)
		require.Equal(t, "ok postgres\n", said)
	})
	t.Run("what_is_not_ready_is_named", func(t *testing.T) {
		_, err := ask(t.Context(), "http://"+running(t, fine, broken))
		require.ErrorContains(t, err, "relay: no broker answers")
		require.NotContains(t, err.Error(), "postgres")
	})
	t.Run("it_may_live_and_not_be_ready", func(t *testing.T) {
		_, err := ask(t.Context(), "--live", "http://"+running(t, broken))
		require.NoError(t, err)
	})
	t.Run("by_default_the_port_of_http_addr_is_asked", func(t *testing.T) {
		_, port, err := net.SplitHostPort(running(t, fine))
		require.NoError(t, err)
		t.Setenv("HTTP_ADDR", ":"+port)
		_, err = ask(t.Context())
		require.NoError(t, err)
	})
	t.Run("nobody_listens", func(t *testing.T) {
		_, err := ask(t.Context(), "http://"+freeAddr(t))
		require.ErrorContains(t, err, "nothing listens at")
	})
	t.Run("somebody_else_listens_and_keeps_the_connection", func(t *testing.T) { // which nothing ended, not even a signal
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
		said := make(chan error, 1)
		go func() {
			_, err := ask(t.Context(), "http://"+listener.Addr().String())
			said <- err
		}()
		select {
		case err := <-said:
			require.ErrorContains(t, err, "answered 101 Switching Protocols and no JSON; does erpconnector listen there?")
		case <-time.After(testkit.AwaitTimeout):
			require.Fail(t, "the question goes on")
		}
	})
	t.Run("somebody_else_listens", func(t *testing.T) {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>")) }))
		t.Cleanup(server.Close)
		_, err := ask(t.Context(), server.URL)
		require.ErrorContains(t, err, "does erpconnector listen there?")
	})
	t.Run("no_answer_is_no_health", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			cancel() // stands for the time-out, which is long
			<-r.Context().Done()
		}))
		t.Cleanup(server.Close)
		_, err := ask(ctx, server.URL)
		require.ErrorIs(t, err, context.Canceled)
	})
}
