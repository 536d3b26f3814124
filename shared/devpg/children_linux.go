package devpg

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// childrenOf are the living processes whose parent that is.
func childrenOf(pid int) (children []int) {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, name := range stats {
		state, parent := statOf(name)
		child, err := strconv.Atoi(filepath.Base(filepath.Dir(name)))
		if err == nil && state != "Z" && parent == strconv.Itoa(pid) {
			children = append(children, child)
		}
	}
	return children
}

// isStopped reports whether the process does nothing any more, as after SIGSTOP.
func isStopped(pid int) bool {
	state, _ := statOf("/proc/" + strconv.Itoa(pid) + "/stat")
	return state == "T" || state == "Z" || state == ""
}

// statOf reads a process's state and parent; both are empty once it has ended.
func statOf(name string) (state, parent string) {
	content, err := os.ReadFile(name)
	if err != nil {
		return "", ""
	}
	// pid (comm) state ppid …; comm may hold blanks and brackets.
	_, rest, _ := strings.Cut(string(content), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 2 {
		return "", ""
	}
	return fields[0], fields[1]
}
