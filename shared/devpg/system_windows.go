package devpg

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/windows"
)

// serverFolders are where the installer puts servers.
var serverFolders = []string{filepath.Join(os.Getenv("ProgramFiles"), "PostgreSQL", "*", "bin")}

// account is who the server runs as: who we are.
type account struct{}

// unprivileged refuses an administrator's prompt, as Postgres does, in plainer words.
func unprivileged() (account, error) {
	if windows.GetCurrentProcessToken().IsElevated() {
		return account{}, errors.New("running Postgres: it refuses to run with an administrator's rights: " +
			"start this from an ordinary prompt, or set DATABASE_URL to a server that runs already")
	}
	return account{}, nil
}

// runs keeps our environment: Windows' own programs need some of it.
func (account) runs(cmd *exec.Cmd) { cmd.Env = append(os.Environ(), cmd.Env...) }

// handOver has nothing to do: the folders are ours, and so is the server.
func (launcher) handOver() error { return nil }

// askToStop ends open sessions and lets the server shut down.
func (s *Server) askToStop() {
	_ = exec.CommandContext(context.Background(), program(s.bin, "pg_ctl"), "stop", "-D", filepath.Join(s.dir, "data"), "-m", "fast", "-W").Run()
}

// stopAtOnce ends the server and its children; it recovers when it starts again.
func (s *Server) stopAtOnce() { s.killAll() }

// killAll ends the server and its children as kill -9 does on other systems.
func (s *Server) killAll() {
	_ = exec.CommandContext(context.Background(), "taskkill", "/F", "/T", "/PID", strconv.Itoa(s.cmd.Process.Pid)).Run()
}

// alive reports whether there is such a process.
func alive(pid int) bool {
	process, err := os.FindProcess(pid)
	if err != nil {
		return false
	}
	_ = process.Release()
	return true
}

// chownLike has nothing to do: files belong to who writes them.
func chownLike(string, fs.FileInfo) error { return nil }
