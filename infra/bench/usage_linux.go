package bench

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// HasUsage reports whether this system tells what processes use.
const HasUsage = true

// ticks is how many parts of a second /proc counts in: USER_HZ, see proc(5).
const ticks = 100

// Usage is what this process and those below it have used so far.
func Usage() (CPU, error) {
	files, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return CPU{}, fmt.Errorf("reading processes: %w", err)
	}
	type process struct {
		parent  int
		name    string
		seconds float64
	}
	all := map[int]process{}
	for _, file := range files {
		stat, err := os.ReadFile(file) //nolint:gosec // of /proc
		if err != nil {
			continue // it has ended
		}
		name, after := bytes.IndexByte(stat, '('), bytes.LastIndexByte(stat, ')')
		pid, _ := strconv.Atoi(strings.TrimSpace(string(stat[:name])))
		fields := strings.Fields(string(stat[after+1:])) // from the third of proc(5)
		p := process{name: string(stat[name+1 : after])}
		p.parent, _ = strconv.Atoi(fields[1])
		counted := fields[11:15] // utime, stime, and those of children that have ended
		if pid == os.Getpid() {
			counted = fields[11:13]
		}
		for _, field := range counted {
			used, _ := strconv.ParseFloat(field, 64)
			p.seconds += used / ticks
		}
		all[pid] = p
	}
	var sum CPU
	for pid, p := range all {
		at := p.parent
		for at > 1 && at != os.Getpid() {
			at = all[at].parent
		}
		switch {
		case pid == os.Getpid():
			sum.Self = p.seconds
		case at != os.Getpid():
		case p.name == "postgres":
			sum.Postgres += p.seconds
		case p.name == "java":
			sum.Kafka += p.seconds
		default:
			sum.Product += p.seconds
		}
	}
	return sum, nil
}

// PeakMemory is the largest resident set that the process has had, in MB.
func PeakMemory(pid int) (float64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, fmt.Errorf("reading a process's memory: %w", err)
	}
	for line := range strings.Lines(string(status)) {
		if value, found := strings.CutPrefix(line, "VmHWM:"); found {
			kb, err := strconv.ParseFloat(strings.Fields(value)[0], 64)
			return kb / 1024, err
		}
	}
	return 0, fmt.Errorf("process %d tells no VmHWM", pid)
}
