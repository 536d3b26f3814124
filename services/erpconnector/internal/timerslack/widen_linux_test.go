package timerslack

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// asked is the variable that makes this program one that widens its slack, and tells it.
const asked = "TIMERSLACK_TEST_WIDENS"

func TestMain(m *testing.M) {
	if os.Getenv(asked) == "" {
		os.Exit(m.Run())
	}
	Widen()
	fmt.Println(os.Getpid(), os.Args[1:], slacks())
	os.Exit(0)
}

// slacks are those of some threads.
func slacks() map[time.Duration]bool {
	const threads = 8
	all := map[time.Duration]bool{}
	var mu sync.Mutex
	var started, ended sync.WaitGroup
	started.Add(threads)
	for range threads {
		ended.Go(func() {
			runtime.LockOSThread()
			started.Done()
			started.Wait() // so each has a thread of its own
			mu.Lock()
			defer mu.Unlock()
			all[current()] = true
		})
	}
	ended.Wait()
	return all
}

func TestEveryThreadHasTheWideSlack(t *testing.T) {
	t.Parallel()
	requireSlack(t, kernels, wide)
}

func TestASlackThatSomebodyChoseStays(t *testing.T) {
	t.Parallel()
	for _, chosen := range []time.Duration{time.Microsecond, 100 * time.Microsecond, 10 * time.Millisecond} {
		requireSlack(t, chosen, chosen)
	}
}

// requireSlack runs a program that is started with a slack. It is the same process with the same arguments afterwards.
func requireSlack(t *testing.T, begins, ends time.Duration) {
	t.Helper()
	program, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), program, "up", "--kafka-port", "0")
	cmd.Env = append(os.Environ(), asked+"=1", "GORACE=atexit_sleep_ms=0")
	var out []byte
	var started sync.WaitGroup
	started.Go(func() {
		runtime.LockOSThread() // the program takes the slack of this thread, which ends with the goroutine
		if err = unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(begins), 0, 0, 0); err == nil {
			out, err = cmd.Output()
		}
	})
	started.Wait()
	require.NoError(t, err)
	require.Equal(t, fmt.Sprintln(cmd.Process.Pid, []string{"up", "--kafka-port", "0"}, map[time.Duration]bool{ends: true}), string(out))
}
