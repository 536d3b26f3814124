package subprocess

import (
	"os/exec"
	"runtime"
	"syscall"
)

// start asks the kernel for the signal. It belongs to the thread that forks, which must live as long as the program: the
// goroutine keeps it, and it ends with the goroutine.
func start(cmd *exec.Cmd, onDeath syscall.Signal) (release func(), err error) {
	runtime.LockOSThread()
	attr(cmd).Pdeathsig = onDeath
	return func() {}, cmd.Start()
}
