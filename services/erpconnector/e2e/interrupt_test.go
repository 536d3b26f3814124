package e2e

import (
	"bytes"
	"net"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/services/erpconnector/internal/cli"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// waitingCommands are all that may take a while, each with arguments that let it try to reach a server.
var waitingCommands = []string{
	"up --ephemeral", "run api", "demo", "migrate", "topics ensure", "topics check", "health",
	"quarantine list", "quarantine show 1", "quarantine send 1", "quarantine discard 1 --reason x",
	"deadletter list", "deadletter show 1", "deadletter redrive 1 --reason x", "deadletter discard 1 --reason x",
	"cron run", "settings", "settings list", "settings get debug", "settings set debug=true", "settings unset debug", "settings history",
	"token create x --may sync", "token list", "token revoke 1",
	"bulk resync --status failed", "bulk cancel --id 1 --reason x", "bulk settle --id 1 --reason x", "bulk send-now --id 1 --reason x",
	"bulk list", "bulk show 1", "bulk results 1", "bulk pause 1", "bulk resume 1", "bulk stop 1",
	"alert list", "alert add x --email x@example.com", "alert remove 1", "alert test 1", "alert history",
	"user create x --may sync", "user list", "user password x", "user disable x", "user enable x", "user delete x",
	"erp status", "erp open --reason x", "erp close --reason x",
	"replay --order 1", "replay --from 2024-01-15", "verify", "rebuild", "audit", "repair", "doctor",
	"list", "failures", "status 1", "watch 1", "tail", "sync 1", "resync 1", "send-now 1 --reason x", "cancel 1 --reason x", "settle 1 --reason x",
}

// promptCommands wait for nobody.
var promptCommands = []string{"config check", "version", "context", "man", "completion", "help"}

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
				listen := testkit.FreeAddr(t)
				environment := map[string]string{
					"DATABASE_URL": "postgres://me:secret@" + addr + "/db", "KAFKA_BROKERS": addr, "HTTP_ADDR": listen, "API_TOKEN": "token", "ERPCONNECTOR_URL": addr,
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
		if !cmd.Runnable() || !cmd.HasParent() { // the program alone prints its help
			return
		}
		name := strings.TrimPrefix(cmd.CommandPath(), "erpconnector ")
		require.True(t, slices.ContainsFunc(waitingCommands, func(args string) bool { return args == name || strings.HasPrefix(args, name+" ") }) ||
			slices.ContainsFunc(promptCommands, func(args string) bool {
				return args == name || strings.HasPrefix(args, name+" ") || strings.HasPrefix(name, args+" ")
			}),
			"%s is not among waitingCommands", name)
	}
	walk(cli.Root())
}
