package testkit

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const sweeps = "ERPCONNECTOR_TEST_SWEEPS"

// A folder goes when the process ends, also by kill -9.
func TestAFolderGoesWithItsProcess(t *testing.T) {
	if os.Getenv(sweeps) != "" {
		dir, err := tempDir("erpconnector-test-sweep-")
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(dir+"/file", nil, 0o600))
		fmt.Println("\ndir " + dir)
		select {}
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^TestAFolderGoesWithItsProcess$") //nolint:gosec // ourselves
	cmd.Env = append(os.Environ(), sweeps+"=1")
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	dir := ""
	for in := bufio.NewScanner(out); dir == "" && in.Scan(); {
		dir, _ = strings.CutPrefix(in.Text(), "dir ")
		if dir == in.Text() {
			dir = ""
		}
	}
	require.DirExists(t, dir)
	require.NoError(t, cmd.Process.Kill())
	require.Error(t, cmd.Wait())
	require.Eventually(t, func() bool {
		_, err := os.Stat(dir)
		return os.IsNotExist(err)
	}, 20*time.Second, 10*time.Millisecond)
}
