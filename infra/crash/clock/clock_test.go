package clock_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/infra/crash/clock"
)

// A small module in the place of the product: its clock is set back while it runs, and measured durations go on.
func TestTheWallClockIsPutBackAndTheMonotonicOneGoesOn(t *testing.T) {
	t.Parallel()
	root, dir := t.TempDir(), t.TempDir()
	for name, content := range map[string]string{
		"shared/go.mod": "module github.com/erpconnector/erpconnector/shared\n\ngo 1.26\n",
		"shared/main.go": `package main

import (
	"bufio"
	"fmt"
	"os"
	"time"
)

func main() {
	began := time.Now()
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		now := time.Now()
		fmt.Println(now.UnixNano(), int64(now.Sub(began)))
	}
}
`,
		"services/empty.txt": "",
	} {
		require.NoError(t, os.MkdirAll(filepath.Join(root, filepath.Dir(name)), 0o700))
		require.NoError(t, os.WriteFile(filepath.Join(root, name), []byte(content), 0o600))
	}
	replace, err := clock.Overlay(root, dir)
	require.NoError(t, err)
	list, err := json.Marshal(map[string]any{"Replace": replace})
	require.NoError(t, err)
	overlay, binary, file := filepath.Join(dir, "overlay.json"), filepath.Join(dir, "program"), filepath.Join(dir, "clock")
	require.NoError(t, os.WriteFile(overlay, list, 0o600))
	build := exec.CommandContext(t.Context(), "go", "build", "-overlay", overlay, "-o", binary, ".")
	build.Dir, build.Env = filepath.Join(root, "shared"), append(os.Environ(), "GOWORK=off")
	out, err := build.CombinedOutput()
	require.NoError(t, err, "%s", out)

	require.NoError(t, clock.Create(file))
	program := exec.CommandContext(t.Context(), binary)
	program.Env = append(os.Environ(), clock.Variable+"="+file)
	in, err := program.StdinPipe()
	require.NoError(t, err)
	answers, err := program.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, program.Start())
	ask := func() (wall time.Time, passed time.Duration) {
		_, err := in.Write([]byte("\n"))
		require.NoError(t, err)
		decoder := json.NewDecoder(answers)
		var ns int64
		require.NoError(t, decoder.Decode(&ns))
		require.NoError(t, decoder.Decode(&passed))
		return time.Unix(0, ns), passed
	}
	const far = 10 * time.Second // beyond what a busy machine needs for an answer
	wall, first := ask()
	require.WithinDuration(t, time.Now(), wall, far)
	require.NoError(t, clock.Set(file, -time.Hour))
	wall, then := ask()
	require.WithinDuration(t, time.Now().Add(-time.Hour), wall, far)
	require.GreaterOrEqual(t, then, first)
	require.NoError(t, clock.Set(file, 0))
	wall, last := ask()
	require.WithinDuration(t, time.Now(), wall, far)
	require.GreaterOrEqual(t, last, then)
	require.NoError(t, in.Close())
	require.NoError(t, program.Wait())
}

// What judges by the clock whether a process still owns its partitions takes it.
func TestTheProductTakesTheClock(t *testing.T) {
	t.Parallel()
	replace, err := clock.Overlay("../../..", t.TempDir())
	require.NoError(t, err)
	changed := 0
	for name, to := range replace {
		content, err := os.ReadFile(to) //nolint:gosec // just written
		require.NoError(t, err)
		if strings.HasSuffix(name, "txn/instant.go") {
			changed++
		}
		require.Contains(t, string(content), "Now")
	}
	require.Equal(t, 1, changed, "the clock does not reach shared/kafka/txn/instant.go")
}
