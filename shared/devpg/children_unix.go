//go:build unix && !linux

package devpg

import (
	"context"
	"os/exec"
	"strconv"
	"strings"
)

// childrenOf are the processes whose parent that is.
func childrenOf(pid int) (children []int) {
	list, _ := exec.CommandContext(context.Background(), "ps", "-A", "-o", "pid=,ppid=").Output()
	for line := range strings.Lines(string(list)) {
		fields := strings.Fields(line)
		if len(fields) != 2 || fields[1] != strconv.Itoa(pid) {
			continue
		}
		if child, err := strconv.Atoi(fields[0]); err == nil {
			children = append(children, child)
		}
	}
	return children
}
