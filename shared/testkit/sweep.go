package testkit

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
)

// sweeper waits for the end of its input. Servers that die with us may write a little longer, so it tries again.
const sweeper = `cat >/dev/null; for i in 1 2 3 4 5 6 7 8 9 10; do rm -rf "$1" 2>/dev/null && [ ! -e "$1" ] && exit 0; sleep 1; done`

var holding sync.Mutex

// held keeps the sweepers' inputs open for as long as this process lives.
var held []io.Closer

// sweep removes a folder once this process has ended, however it ends: a shell waits for the end of a pipe that nobody else holds.
// A signal to the group of the tests, as of Ctrl-C, does not reach it.
func sweep(dir string) error {
	cmd := exec.CommandContext(context.Background(), "sh", "-c", sweeper, "sweep", dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	in, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return fmt.Errorf("seeing to it that %s goes with the tests: %w", dir, err)
	}
	holding.Lock()
	defer holding.Unlock()
	held = append(held, in)
	return nil
}

// tempDir is a folder that goes with this process.
func tempDir(pattern string) (string, error) {
	dir, err := os.MkdirTemp("", pattern)
	if err != nil {
		return "", err
	}
	return dir, sweep(dir)
}
