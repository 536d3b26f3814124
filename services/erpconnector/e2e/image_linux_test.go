package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

// command runs the image's entry point. As root it sees nothing but the image's files, runs as the image's user and can
// write nowhere; without that right it is just run.
func (i image) command(args ...string) *exec.Cmd {
	attr := &syscall.SysProcAttr{}
	path := filepath.Join(i.root, i.entrypoint)
	if os.Getuid() == 0 && !i.bare {
		attr.Chroot, attr.Credential = i.root, &syscall.Credential{Uid: i.user, Gid: i.user}
		path = i.entrypoint
	}
	return &exec.Cmd{Path: path, Args: append([]string{i.entrypoint}, args...), Dir: "/", Env: []string{}, SysProcAttr: attr}
}
