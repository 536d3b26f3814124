// Package subprocess starts programs that end when this process ends, however it ends.
package subprocess

import (
	"os/exec"
	"syscall"
)

// Start starts cmd. Once this process is gone, also by kill -9, the program gets the signal; Windows, which has none, ends
// it at once. The channel is closed when the program has ended, and cmd.ProcessState says how. Callers must not call cmd.Wait.
func Start(cmd *exec.Cmd, onDeath syscall.Signal) (ended <-chan struct{}, err error) {
	started, done := make(chan error), make(chan struct{})
	go func() {
		defer close(done)
		release, err := start(cmd, onDeath)
		started <- err
		if err != nil {
			return
		}
		defer release()
		_ = cmd.Wait()
	}()
	return done, <-started
}
