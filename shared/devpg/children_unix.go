//go:build unix && !linux

package devpg

import (
	"context"
	"os/exec"
	"strconv"
	"strings"
)

// childrenOf are the living processes whose parent that is.
func childrenOf(pid int) (children []int) {
	list, _ := exec.CommandContext(context.Background(), "ps", "-A", "-o", "pid=,ppid=,stat=").Output()
	for line := range strings.Lines(string(list)) {
		fields := strings.Fields(line)
		if len(fields) != 3 || fields[1] != strconv.Itoa(pid) || strings.HasPrefix(fields[2], "Z") {
			continue
		}
		if child, err := strconv.Atoi(fields[0]); err == nil {
			children = append(children, child)
		}
	}
	return children
}

// isStopped reports whether the process does nothing any more, as after SIGSTOP.
func isStopped(pid int) bool {
	state, err := exec.CommandContext(context.Background(), "ps", "-o", "stat=", "-p", strconv.Itoa(pid)).Output()
	return err != nil || strings.HasPrefix(strings.TrimSpace(string(state)), "T") || strings.HasPrefix(strings.TrimSpace(string(state)), "Z")
}
