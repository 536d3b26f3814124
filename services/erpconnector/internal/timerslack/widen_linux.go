package timerslack

import (
	"os"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Widen gives every thread of this process the slack wide. A slack belongs to a thread, new threads take that of the one that starts
// them, and the runtime's threads have begun already. So the program is started once more, by the same process. Nothing must be open
// yet. Widen returns when the slack was chosen already, or cannot be: then all works as well, and takes more CPU.
func Widen() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if current() != kernels {
		return
	}
	if err := unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(wide), 0, 0, 0); err != nil || current() != wide {
		return // the slack of a real-time thread does not change
	}
	if program, err := os.Executable(); err == nil {
		_ = syscall.Exec(program, os.Args, os.Environ()) // returns only with an error
	}
}

// current is the slack of the calling thread; 0 when the kernel does not tell.
func current() time.Duration {
	slack, err := unix.PrctlRetInt(unix.PR_GET_TIMERSLACK, 0, 0, 0, 0)
	if err != nil {
		return 0
	}
	return time.Duration(slack)
}
