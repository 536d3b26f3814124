package devpg

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Symptom: a server that was killed while it started a child left that child. It waited for a lock of a dead one, for ever.
func TestKillAllLeavesNoChildOfAProcessThatForks(t *testing.T) {
	t.Parallel()
	const named = "987.5"
	for range 5 {
		cmd := exec.CommandContext(t.Context(), "/bin/sh", "-c", "i=0; while [ $i -lt 500 ]; do sleep "+named+" & i=$((i+1)); done; wait")
		require.NoError(t, cmd.Start())
		require.Eventually(t, func() bool { return len(childrenOf(cmd.Process.Pid)) > 3 }, time.Minute, time.Millisecond)
		(&Server{cmd: cmd}).killAll()
		require.Error(t, cmd.Wait())
		require.Eventually(t, func() bool { return len(sleepers(named)) == 0 }, time.Minute, time.Millisecond)
	}
}

// sleepers are the processes `sleep named` that are not about to be reaped.
func sleepers(named string) (found []string) {
	lines, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, name := range lines {
		content, err := os.ReadFile(name)
		if err == nil && strings.Contains(string(content), "sleep\x00"+named) {
			found = append(found, name)
		}
	}
	return found
}
