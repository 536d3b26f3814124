package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/subprocess"
)

// process is one that a test started.
type process struct {
	cmd  *exec.Cmd
	done <-chan struct{}
}

// launch starts a process that dies with the test.
func launch(t *testing.T, cmd *exec.Cmd) *process {
	t.Helper()
	if cmd.Stderr == nil {
		cmd.Stderr = t.Output()
	}
	done, err := subprocess.Start(cmd, syscall.SIGKILL)
	require.NoError(t, err)
	p := &process{cmd: cmd, done: done}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-p.done
	})
	return p
}

// ended is the signal that ended the process.
func (p *process) ended(t *testing.T) syscall.Signal {
	t.Helper()
	select {
	case <-p.done:
	case <-time.After(30 * time.Second):
		require.Fail(t, "the process did not die")
	}
	status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
	require.True(t, ok)
	return status.Signal()
}

// gone reports whether it has ended.
func (p *process) gone() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// program is the binary as a process of its own, on the product's servers.
func (p *product) program(binary string, args ...string) *exec.Cmd {
	cmd := exec.Command(binary, args...) //nolint:gosec // built by a test
	cmd.Env = append(os.Environ(),
		"DATABASE_URL="+p.cfg.DatabaseURL, "KAFKA_BROKERS="+strings.Join(p.cfg.KafkaBrokers, ","), "KAFKA_TOPIC_PREFIX="+p.cfg.TopicPrefix,
		fmt.Sprintf("KAFKA_PARTITIONS=%d", p.cfg.Partitions))
	return cmd
}
