//go:build unix

package devpg

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"syscall"
	"time"
)

// serverFolders are where packages put their servers: Debian, Fedora, Homebrew on both of Apple's processors, Postgres.app.
var serverFolders = []string{
	"/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/homebrew/opt/postgresql@*/bin", "/usr/local/opt/postgresql@*/bin",
	"/Applications/Postgres.app/Contents/Versions/*/bin",
}

// account is who the server runs as; without a credential it is who we are.
type account struct{ *syscall.Credential }

// unprivileged is who the server runs as, since Postgres refuses root: the user postgres, or nobody.
func unprivileged() (account, error) {
	if os.Getuid() != 0 {
		return account{}, nil
	}
	for _, name := range []string{"postgres", "_postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
		gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
		if err1 == nil && err2 == nil {
			return account{&syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}, nil
		}
	}
	return account{}, errors.New("running Postgres: it refuses to run as root, and there is neither a user postgres nor nobody")
}

func (a account) runs(cmd *exec.Cmd) {
	cmd.Env = append(cmd.Env, "PATH=/usr/bin:/bin")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: a.Credential}
}

// handOver gives the folders to the server's user.
func (l launcher) handOver() error {
	if l.owner.Credential == nil {
		return nil
	}
	for _, d := range []string{l.dir, l.data} {
		if err := os.Chown(d, int(l.owner.Uid), int(l.owner.Gid)); err != nil {
			return fmt.Errorf("handing %s to the database's user: %w", d, err)
		}
	}
	check := l.command(context.Background(), "/bin/test", "-x", l.data)
	if err := check.Run(); err != nil {
		return fmt.Errorf("the database's user (uid %d) cannot enter %s, as Postgres does not run as root: choose another folder with DATA_DIR", l.owner.Uid, l.data)
	}
	return nil
}

// askToStop ends open sessions and lets the server shut down.
func (s *Server) askToStop() { _ = s.cmd.Process.Signal(syscall.SIGINT) }

// stopAtOnce ends the server and its children; it recovers when it starts again.
func (s *Server) stopAtOnce() { _ = s.cmd.Process.Signal(syscall.SIGQUIT) }

// killAll ends the server and its children as kill -9 does.
func (s *Server) killAll() {
	pid := s.cmd.Process.Pid
	// A child that lives on holds the shared memory, and may wait for a lock of a dead one for ever. The server bears none once it is
	// stopped, which on a busy machine takes a moment: it may be about to fork. So children are looked for until none is left.
	_ = syscall.Kill(pid, syscall.SIGSTOP)
	for again := time.Now().Add(maxChildren); ; {
		children := childrenOf(pid)
		for _, child := range children {
			_ = syscall.Kill(child, syscall.SIGKILL)
		}
		if time.Now().After(again) || len(children) == 0 && isStopped(pid) {
			break
		}
	}
	_ = syscall.Kill(pid, syscall.SIGKILL)
}

// maxChildren is how long killAll looks for children.
const maxChildren = time.Second

// alive reports whether there is such a process.
func alive(pid int) bool { return !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) }

func chownLike(name string, info fs.FileInfo) error {
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !ok || os.Getuid() != 0 {
		return nil
	}
	return os.Chown(name, int(owner.Uid), int(owner.Gid))
}
