//go:build crashpoints

// Package crash marks the places where tests kill the process. Without the build tag crashpoints it does nothing.
package crash

import (
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
)

var (
	target, nth = parse(os.Getenv("ERPCONNECTOR_CRASH_AT"))
	passed      atomic.Int64
)

func parse(at string) (string, int64) {
	name, count, counted := strings.Cut(at, ":")
	n, err := strconv.ParseInt(count, 10, 64)
	if !counted || err != nil || n < 1 {
		return name, 1
	}
	return name, n
}

// Point kills the process with SIGKILL when ERPCONNECTOR_CRASH_AT names it: "name", or "name:3" for the third time it
// is passed.
func Point(name string) {
	if name != target || passed.Add(1) != nth {
		return
	}
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {} // the signal may arrive after Kill returns: nothing past the point may run
}
