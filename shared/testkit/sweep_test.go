package testkit

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const sweeps = "ERPCONNECTOR_TEST_SWEEPS"

// folders are the ways to a folder that goes with the process.
var folders = map[string]func() (string, error){
	"of_its_own": func() (string, error) { return tempDir("erpconnector-test-sweep-") },
	"of_a_test": func() (string, error) { // t.TempDir is made like this, and stays when the process does not end by itself
		if err := SweepTempDir(); err != nil {
			return "", err
		}
		return os.MkdirTemp("", "TestName")
	},
	"when_stopped": func() (string, error) {
		dir, err := os.MkdirTemp("", "erpconnector-test-sweep-")
		SweepIfStopped(filepath.Join(dir, "another"))
		SweepIfStopped(dir)
		return dir, err
	},
}

// TestMain makes the tests' binary a process that has such a folder and goes on until it is ended, when it is told so.
func TestMain(m *testing.M) {
	folder := folders[os.Getenv(sweeps)]
	if folder == nil {
		os.Exit(m.Run())
	}
	dir, err := folder()
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "file"), nil, 0o600)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println("dir " + dir)
	select {}
}

// A folder goes when the process ends, by Ctrl-C and by kill -9; what people shall look at goes by Ctrl-C alone.
func TestAFolderGoesWithItsProcess(t *testing.T) {
	t.Parallel()
	for name := range folders {
		for _, end := range []syscall.Signal{syscall.SIGINT, syscall.SIGKILL} {
			t.Run(name+"/"+end.String(), func(t *testing.T) {
				t.Parallel()
				cmd, dir := holder(t, name)
				require.DirExists(t, dir)
				require.NoError(t, cmd.Process.Signal(end))
				require.Error(t, cmd.Wait())
				if name == "when_stopped" && end == syscall.SIGKILL {
					require.DirExists(t, dir)
					require.NoError(t, os.RemoveAll(dir))
					return
				}
				require.Eventually(t, func() bool {
					_, err := os.Stat(dir)
					return os.IsNotExist(err)
				}, Patience, 10*time.Millisecond)
			})
		}
	}
}

// holder is a process that has a folder.
func holder(t *testing.T, name string) (cmd *exec.Cmd, dir string) {
	t.Helper()
	cmd = exec.CommandContext(t.Context(), os.Args[0]) //nolint:gosec // ourselves
	cmd.Env = append(os.Environ(), sweeps+"="+name)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	dir, found := strings.CutPrefix(strings.TrimSpace(line), "dir ")
	require.True(t, found, line)
	return cmd, dir
}
