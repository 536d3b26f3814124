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

// Hit kills the process with SIGKILL when ERPCONNECTOR_FAILPOINT names it: "name", or "name:3" for the third time it
// is passed. It also does when a pattern in the file that ERPCONNECTOR_FAILPOINT_FILE names matches it; of several processes
// that share the file the first to pass removes it and dies.
func Hit(name string) {
	if (name == target && passed.Add(1) == nth) || (armed != "" && drawn(name)) {
		if self, err := os.FindProcess(os.Getpid()); err == nil {
			_ = self.Kill()
		}
		select {} // the signal may arrive after Kill returns: nothing past the point may run
	}
}

func drawn(name string) bool {
	pattern, err := os.ReadFile(armed)
	if err != nil {
		return false
	}
	match, _ := path.Match(string(pattern), name)
	return match && os.Remove(armed) == nil
}
