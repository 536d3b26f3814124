//go:build unix

package subprocess

import (
	"context"
	"fmt"
	"os/exec"
	"strconv"
	"syscall"
)

func attr(cmd *exec.Cmd) *syscall.SysProcAttr {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	return cmd.SysProcAttr
}

// Detach keeps signals to this process's group, as of Ctrl-C, from the program.
func Detach(cmd *exec.Cmd) { attr(cmd).Setpgid = true }

// watcher waits for the end of its input, a pipe that only we hold.
const watcher = `cat >/dev/null; kill -"$1" "$2"`

// startWatched starts cmd and a shell beside it that sends the signal when we are gone.
func startWatched(cmd *exec.Cmd, onDeath syscall.Signal) (release func(), err error) {
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	shell := exec.CommandContext(context.Background(), "sh", "-c", watcher, "watcher", strconv.Itoa(int(onDeath)), strconv.Itoa(cmd.Process.Pid))
	Detach(shell)
	in, err := shell.StdinPipe()
	if err == nil {
		err = shell.Start()
	}
	if err != nil {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		return nil, fmt.Errorf("seeing to it that %s ends with this process: %w", cmd.Path, err)
	}
	return func() {
		_ = shell.Process.Kill() // before its input ends: another process may have the number by now
		_ = in.Close()
		_ = shell.Wait()
	}, nil
}
