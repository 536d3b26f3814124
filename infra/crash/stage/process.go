// Package stage runs what the nemesis disturbs: a Postgres and a broker that can be killed and started again with their
// data, and the product's processes with a supervisor. It also has a reader that records when each record came.
package stage

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/erpconnector/erpconnector/shared/freeport"
	"github.com/erpconnector/erpconnector/shared/subprocess"
)

// process is one run of a program.
type process struct {
	cmd  *exec.Cmd
	done <-chan struct{} // closed once it has ended
}

// launch starts a program that dies with this process, and only so: a Ctrl-C that reached it too would let a broker write its
// data while the folder is being removed.
func launch(log io.Writer, env []string, name string, args ...string) (*process, error) {
	cmd := exec.CommandContext(context.Background(), name, args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr = log, log
	subprocess.Detach(cmd)
	done, err := subprocess.Start(cmd, syscall.SIGKILL)
	return &process{cmd: cmd, done: done}, err
}

// signal sends a signal. A process that has ended ignores it.
func (p *process) signal(s syscall.Signal) { _ = p.cmd.Process.Signal(s) }

// exit returns how the process ended. Call it after done is closed.
func (p *process) exit() (code int, signal string) {
	status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
	if ok && status.Signaled() {
		return -1, status.Signal().String()
	}
	return p.cmd.ProcessState.ExitCode(), ""
}

// FreeAddr returns an address that is free, and that nobody else gets.
func FreeAddr() (string, error) {
	port, err := freeport.Next()
	return fmt.Sprintf("127.0.0.1:%d", port), err
}

// healthy reports whether a process answers that it is ready.
func healthy(ctx context.Context, addr string) bool {
	ctx, cancel := context.WithTimeout(ctx, 4*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/readyz", nil)
	if err != nil {
		return false
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	return resp.Body.Close() == nil && resp.StatusCode == http.StatusOK
}
