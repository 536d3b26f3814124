//go:build unix

package subprocess

import (
	"os/exec"
	"syscall"
)

// The way of the Unix systems without a signal of their own is tried on Linux, too.
func init() {
	ways["watched"] = func(cmd *exec.Cmd) (<-chan struct{}, error) {
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
	}
}
