package testkit

import (
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"sync"
	"syscall"

	"github.com/erpconnector/erpconnector/shared/subprocess"
)

var holding sync.Mutex

// held keeps the sweepers' inputs open for as long as this process lives.
var held []io.Closer

// sweep removes a folder once this process has ended, however it ends: a shell waits for the end of a pipe that nobody else
// holds. Servers that die with us may write a little longer, so it tries again.
// A signal to the group of the tests, as of Ctrl-C, does not reach it.
func sweep(dir string) error {
	cmd := sweeper(dir)
	subprocess.Detach(cmd)
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

// SweepIfStopped removes a folder when Ctrl-C or SIGTERM ends this process. However else it ends, the folder stays for people
// to look at.
func SweepIfStopped(dir string) {
	watching.Do(func() {
		stopped := make(chan os.Signal, 1)
		signal.Notify(stopped, syscall.SIGINT, syscall.SIGTERM)
		go sweepAt(stopped)
	})
	holding.Lock()
	defer holding.Unlock()
	kept = append(kept, dir)
}

var (
	watching sync.Once
	kept     []string // folders that go when the process is stopped
)

func sweepAt(stopped <-chan os.Signal) {
	<-stopped
	holding.Lock()
	dirs := slices.Clone(kept)
	holding.Unlock()
	for _, dir := range dirs {
		if err := sweep(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}
	os.Exit(interrupted)
}

// interrupted is the exit code of what Ctrl-C has ended.
const interrupted = 130

// SweepTempDir gives this process, and those that it starts, a folder for temporary files that goes with it. It lies where
// TMPDIR says, else in memory where there is room.
func SweepTempDir() error {
	if fast := fastDir(); fast != "" && os.Getenv("TMPDIR") == "" {
		if err := os.Setenv("TMPDIR", fast); err != nil {
			return err
		}
	}
	dir, err := tempDir("erpconnector-test-")
	if err != nil {
		return err
	}
	for _, name := range []string{"TMPDIR", "TMP"} { // of Unix, of Windows
		if err := os.Setenv(name, dir); err != nil {
			return err
		}
	}
	return os.Chmod(dir, 0o711) //nolint:gosec // the database's user walks through
}
