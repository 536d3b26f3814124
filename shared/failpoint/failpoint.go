//go:build failpoints

// Package failpoint marks the places where tests kill the process. Without the build tag failpoints it does nothing.
package failpoint

import (
	"os"
	"path"
	"strconv"
	"strings"
	"sync/atomic"
)

var (
	target, nth = parse(os.Getenv("ERPCONNECTOR_FAILPOINT"))
	passed      atomic.Int64
	armed       = os.Getenv("ERPCONNECTOR_FAILPOINT_FILE")
)

func parse(at string) (string, int64) {
	name, count, counted := strings.Cut(at, ":")
	n, err := strconv.ParseInt(count, 10, 64)
	if !counted || err != nil || n < 1 {
		return name, 1
	}
	return name, n
}

// Hit kills the process with SIGKILL when ERPCONNECTOR_FAILPOINT names this point: "name", or "name:3" for the third
// time. It also kills when the pattern in the file ERPCONNECTOR_FAILPOINT_FILE matches the name. Several processes may
// share the file: the first one removes it and dies.
func Hit(name string) {
	if (name == target && passed.Add(1) == nth) || (armed != "" && takeArmed(name)) {
		if self, err := os.FindProcess(os.Getpid()); err == nil {
			_ = self.Kill()
		}
		select {} // Kill may return before the signal arrives, and nothing after the point may run
	}
}

// takeArmed reports whether the file arms this point. Only the process that removes the file gets true.
func takeArmed(name string) bool {
	pattern, err := os.ReadFile(armed)
	if err != nil {
		return false
	}
	match, _ := path.Match(string(pattern), name)
	return match && os.Remove(armed) == nil
}
