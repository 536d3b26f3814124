package testkit

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

var programs sync.Map // by package and tags: func() (string, error)

// Program builds the main package in a folder, with build tags or none, and gives the binary. A test process builds each once;
// the binary goes with the process.
func Program(t testing.TB, folder string, tags ...string) (binary string) {
	t.Helper()
	build, _ := programs.LoadOrStore(folder+" "+strings.Join(tags, ","), sync.OnceValues(func() (string, error) {
		dir, err := Folder("erpconnector-program-")
		if err != nil {
			return "", err
		}
		binary := filepath.Join(dir, "program")
		args := []string{"build", "-tags", strings.Join(tags, ","), "-o", binary, folder}
		out, err := exec.CommandContext(context.Background(), "go", args...).CombinedOutput() //nolint:gosec // our own arguments
		if err != nil {
			return "", fmt.Errorf("building %s: %w: %s", folder, err, out)
		}
		return binary, nil
	}))
	binary, err := build.(func() (string, error))() //nolint:forcetypeassert // nothing else is stored
	require.NoError(t, err)
	return binary
}

// Folder makes a folder that goes with this process, however it ends.
func Folder(pattern string) (string, error) { return tempDir(pattern) }
