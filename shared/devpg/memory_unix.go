//go:build linux || darwin

package devpg

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// freeMemory gives back the shared memory of a server that was killed. The system keeps it for ever otherwise, some thousand
// of them at most, and then no Postgres starts any more. While a child still holds it, it stays: it is what tells the
// next server that the data are in use.
func (s *Server) freeMemory() {
	id, ok := memoryOf(filepath.Join(s.dir, "data"))
	if !ok {
		return
	}
	deadline := time.Now().Add(stopTimeout)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for ; time.Now().Before(deadline); <-tick.C {
		var about unix.SysvShmDesc
		if _, err := unix.SysvShmCtl(id, unix.IPC_STAT, &about); err != nil {
			return // it is gone
		}
		if about.Nattch == 0 {
			_, _ = unix.SysvShmCtl(id, unix.IPC_RMID, nil)
			return
		}
	}
}

// memoryOf reads which shared memory a server has from its postmaster.pid: the second number of the seventh line.
func memoryOf(data string) (id int, ok bool) {
	content, err := os.ReadFile(filepath.Join(data, "postmaster.pid")) //nolint:gosec // our own
	if err != nil {
		return 0, false
	}
	lines := strings.Split(string(content), "\n")
	if len(lines) < 7 {
		return 0, false
	}
	fields := strings.Fields(lines[6])
	if len(fields) != 2 {
		return 0, false
	}
	id, err = strconv.Atoi(fields[1])
	return id, err == nil
}
