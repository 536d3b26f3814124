//go:build unix

package subprocess

import (
	"fmt"
	"os"
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

// watched runs a program, after it has begun a shell that waits for the end of a pipe that only we hold, and then sends the signal. A
// line in the pipe ends the shell. So the program is watched from its first moment, and there is no time at which our end
// leaves it alone. The shell is nobody's child, takes no Ctrl-C, and holds none of the program's files.
//
// The arguments are the signal, the pipe's number, the program and its arguments.
const watched = `( ( trap '' INT TERM HUP QUIT; read -r _ <&"$2" || kill -"$1" $$ ) </dev/null >/dev/null 2>&1 & )
eval "exec $2<&-"
shift 2
exec "$@"`

// startWatched starts cmd by way of a shell that sends it the signal when we are gone.
func startWatched(cmd *exec.Cmd, onDeath syscall.Signal) (release func(), err error) {
	if cmd.Err == nil {
		_, cmd.Err = exec.LookPath(cmd.Path) // the shell would tell by its exit code alone
	}
	if cmd.Err != nil {
		return nil, cmd.Err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("seeing to it that %s ends with this process: %w", cmd.Path, err)
	}
	cmd.ExtraFiles = append(cmd.ExtraFiles, r)
	pipe := 2 + len(cmd.ExtraFiles)
	cmd.Args = append([]string{"sh", "-c", watched, "sh", strconv.Itoa(int(onDeath)), strconv.Itoa(pipe), cmd.Path}, cmd.Args[1:]...)
	cmd.Path = "/bin/sh"
	err = cmd.Start()
	_ = r.Close()
	if err != nil {
		_ = w.Close()
		return nil, err
	}
	return func() { // once it has ended: another process may have its number by now
		_, _ = w.WriteString("\n")
		_ = w.Close()
	}, nil
}
