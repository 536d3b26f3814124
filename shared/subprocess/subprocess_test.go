package subprocess

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// role makes the tests' binary another program: "parent WAY" starts a "child" and waits to be killed, as that does; "exit"
// ends with code 3.
const role = "ERPCONNECTOR_TEST_ROLE"

// ways are how a program can be tied to this process.
var ways = map[string]func(*exec.Cmd) (<-chan struct{}, error){
	"the_systems": func(cmd *exec.Cmd) (<-chan struct{}, error) { return Start(cmd, syscall.SIGKILL) },
}

// as is the tests' binary in a role.
func as(what string) *exec.Cmd {
	cmd := exec.Command(os.Args[0]) //nolint:gosec // ourselves
	cmd.Env = append(os.Environ(), role+"="+what)
	return cmd
}

func TestMain(m *testing.M) {
	var way string
	switch what := os.Getenv(role); what {
	case "":
		os.Exit(m.Run())
	case "exit":
		os.Exit(3)
	case "child":
		fmt.Println("the child runs")
		select {}
	default:
		_, _ = fmt.Sscanf(what, "parent %s", &way)
		cmd := as("child")
		cmd.Stdout = os.Stdout
		if _, err := ways[way](cmd); err != nil {
			fmt.Println(err)
		}
		select {}
	}
}

// A program ends with who started it, also by kill -9: until both are gone their output has no end.
func TestAProgramEndsWithItsParent(t *testing.T) {
	t.Parallel()
	for way := range ways {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			parent := as("parent " + way)
			out, w, err := os.Pipe()
			require.NoError(t, err)
			defer func() { _ = out.Close() }()
			parent.Stdout = w
			require.NoError(t, parent.Start())
			require.NoError(t, w.Close())
			in := bufio.NewReader(out)
			line, err := in.ReadString('\n')
			require.NoError(t, err)
			require.Contains(t, line, "the child runs")
			require.NoError(t, parent.Process.Kill())
			_ = parent.Wait()
			ended := make(chan error, 1)
			go func() {
				_, err := io.Copy(io.Discard, in)
				ended <- err
			}()
			select {
			case err := <-ended:
				require.NoError(t, err)
			case <-time.After(time.Minute):
				require.Fail(t, "the child lives on")
			}
		})
	}
}

// A program that ends by itself is told of, and the shell beside it ends too.
func TestAProgramThatEndsIsToldOf(t *testing.T) {
	t.Parallel()
	for way, start := range ways {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			cmd := as("exit")
			ended, err := start(cmd)
			require.NoError(t, err)
			select {
			case <-ended:
			case <-time.After(time.Minute):
				require.Fail(t, "its end is not told")
			}
			require.Equal(t, 3, cmd.ProcessState.ExitCode())
			_, err = start(exec.CommandContext(t.Context(), "/no/such/program"))
			require.Error(t, err)
		})
	}
}
