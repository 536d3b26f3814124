package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"
)

// waitingCommands are all that may take a while, each with arguments that let it try to reach a server.
var waitingCommands = []string{
	"up --ephemeral", "run api", "demo", "migrate", "topics ensure", "topics check", "health",
	"quarantine list", "quarantine show 1", "quarantine send 1",
	"deadletter list", "deadletter show 1", "deadletter redrive 1 --reason x", "deadletter discard 1 --reason x",
	"cron run", "settings", "settings get debug", "settings set debug=true", "settings unset debug", "settings history",
	"replay --order 1", "replay --from 2024-01-15", "verify", "rebuild", "audit", "repair",
}

// silent is an address where connections are taken and nothing is ever said. The channel tells of the first one.
func silent(t *testing.T) (addr string, reached <-chan struct{}) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	first := make(chan struct{})
	go func() {
		for n := 0; ; n++ {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { _ = conn.Close() })
			if n == 0 {
				close(first)
			}
		}
	}()
	return l.Addr().String(), first
}

// Ctrl-C ended commands wherever they stood, without a word and with temporary tables, locks and servers left to others.
// Now each ends by its context: one line, code 130.
func TestCtrlCStopsEveryCommand(t *testing.T) {
	t.Parallel()
	for _, args := range waitingCommands {
		for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
			if sig == syscall.SIGTERM && args != "verify" { // the signals share their way
				continue
			}
			t.Run(strings.ReplaceAll(args, " ", "_")+"/"+sig.String(), func(t *testing.T) {
				t.Parallel()
				addr, reached := silent(t)
				listen := freeAddr(t)
				environment := map[string]string{
					"DATABASE_URL": "postgres://me:secret@" + addr + "/db", "KAFKA_BROKERS": addr, "HTTP_ADDR": listen, "API_TOKEN": "token",
				}
				arguments := strings.Fields(args)
				switch arguments[0] {
				case "health":
					arguments = append(arguments, "http://"+addr)
				case "demo":
					arguments = append(arguments, "--url", addr)
				}
				var said bytes.Buffer
				cmd := itself(t, environment, arguments...)
				cmd.Stderr = &said
				p := launch(t, cmd)
				select {
				case <-reached:
				case <-p.done:
					require.Fail(t, "it ended by itself", "%s", &said)
				}
				require.NoError(t, cmd.Process.Signal(sig))
				select {
				case <-p.done:
				case <-time.After(10 * time.Second): // it would wait 15 s for an answer
					require.Fail(t, "it goes on")
				}
				require.Equal(t, "erpconnector: stopped before it was done\n", said.String())
				require.Equal(t, 130, cmd.ProcessState.ExitCode())
			})
		}
	}
}

// A command that is added must stop, too.
func TestEveryCommandIsStoppedInATest(t *testing.T) {
	t.Parallel()
	var walk func(cmd *cobra.Command)
	walk = func(cmd *cobra.Command) {
		for _, c := range cmd.Commands() {
			walk(c)
		}
		if !cmd.Runnable() {
			return
		}
		name := strings.TrimPrefix(cmd.CommandPath(), "erpconnector ")
		require.True(t, slices.ContainsFunc(waitingCommands, func(args string) bool { return args == name || strings.HasPrefix(args, name+" ") }),
			"%s is not among waitingCommands", name)
	}
	walk(root())
}

func TestOutcome(t *testing.T) {
	t.Parallel()
	other := errors.New("an order is in the ERP twice")
	canceled := fmt.Errorf("reading the log: %w", context.Canceled)
	for name, c := range map[string]struct {
		err       error
		signalled bool
		said      string
		code      int
	}{
		"done":                               {nil, false, "", 0},
		"done_all_the_same":                  {nil, true, "", 0},
		"failed":                             {other, false, "an order is in the ERP twice", 1},
		"failed_with_a_code":                 {coded{other, couldNotTell}, false, "an order is in the ERP twice", couldNotTell},
		"stopped":                            {canceled, true, "stopped before it was done", 130},
		"stopped_a_command_with_codes":       {coded{canceled, couldNotTell}, true, "stopped before it was done", 130},
		"stopped_and_found_something":        {other, true, "an order is in the ERP twice", 130},
		"services_that_did_not_stop_in_time": {coded{context.DeadlineExceeded, 1}, true, "context deadline exceeded", 1},
		"something_else_was_cancelled_by_no_signal": {canceled, false, "reading the log: context canceled", 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			said, code := outcome(c.err, c.signalled)
			require.Equal(t, c.said, said)
			require.Equal(t, c.code, code)
		})
	}
}

// Whoever waits for what is typed can be stopped.
func TestReadAllEndsWithItsContext(t *testing.T) {
	t.Parallel()
	content, err := readAll(t.Context(), strings.NewReader("event"))
	require.NoError(t, err)
	require.Equal(t, "event", string(content))
	never, w := io.Pipe()
	defer func() { _ = w.Close() }()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = readAll(ctx, never)
	require.ErrorIs(t, err, context.Canceled)
}
