//go:build unix && !linux

package subprocess

import (
	"os/exec"
	"syscall"
)

// start lets a shell send the signal: of the Unix systems only Linux does that for a parent.
func start(cmd *exec.Cmd, onDeath syscall.Signal) (release func(), err error) {
	return startWatched(cmd, onDeath)
}
