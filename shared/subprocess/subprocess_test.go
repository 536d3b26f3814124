//go:build unix

package subprocess

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// asParent makes the tests' binary a process that starts a program and waits to be killed.
const asParent = "ERPCONNECTOR_TEST_AS_PARENT"

// ways are how a program can be tied to this process: the system's own, and the one that every Unix has.
var ways = map[string]func(*exec.Cmd) (<-chan struct{}, error){
	"the_systems": func(cmd *exec.Cmd) (<-chan struct{}, error) { return Start(cmd, syscall.SIGKILL) },
	"watched": func(cmd *exec.Cmd) (<-chan struct{}, error) {
		release, err := startWatched(cmd, syscall.SIGKILL)
		if err != nil {
			return nil, err
		}
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			_ = cmd.Wait()
			release()
		}()
		return ended, nil
	},
}

func TestMain(m *testing.M) {
	if way := os.Getenv(asParent); way != "" {
		cmd := exec.Command("sleep", "600")
		_, err := ways[way](cmd)
		fmt.Println("child", cmd.Process.Pid, err)
		select {}
	}
	os.Exit(m.Run())
}

// A program ends with who started it, also by kill -9.
func TestAProgramEndsWithItsParent(t *testing.T) {
	t.Parallel()
	for way := range ways {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			parent := exec.CommandContext(t.Context(), os.Args[0]) //nolint:gosec // ourselves
			parent.Env = append(os.Environ(), asParent+"="+way)
			out, err := parent.StdoutPipe()
			require.NoError(t, err)
			require.NoError(t, parent.Start())
			line, err := bufio.NewReader(out).ReadString('\n')
			require.NoError(t, err)
			fields := strings.Fields(line)
			require.Equal(t, []string{"child", fields[1], "<nil>"}, fields)
			child, err := strconv.Atoi(fields[1])
			require.NoError(t, err)
			require.NoError(t, syscall.Kill(child, 0), "it runs")
			require.NoError(t, parent.Process.Kill())
			_ = parent.Wait()
			require.Eventually(t, func() bool { return gone(child) }, 20*time.Second, 10*time.Millisecond)
		})
	}
}

// gone reports whether a process has ended; one whose new parent has not asked for its end yet counts.
func gone(pid int) bool {
	state, err := exec.Command("ps", "-o", "stat=", "-p", strconv.Itoa(pid)).Output() //nolint:gosec // a number
	return err != nil || strings.HasPrefix(strings.TrimSpace(string(state)), "Z")
}

// A program that ends by itself is told of, and the shell beside it ends too.
func TestAProgramThatEndsIsToldOf(t *testing.T) {
	t.Parallel()
	for way, start := range ways {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			cmd := exec.CommandContext(t.Context(), "sh", "-c", "exit 3")
			ended, err := start(cmd)
			require.NoError(t, err)
			select {
			case <-ended:
			case <-time.After(20 * time.Second):
				require.Fail(t, "its end is not told")
			}
			require.Equal(t, 3, cmd.ProcessState.ExitCode())
			_, err = start(exec.CommandContext(t.Context(), "/no/such/program"))
			require.ErrorIs(t, err, os.ErrNotExist)
		})
	}
}
