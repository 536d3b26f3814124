// Package devpg runs a real Postgres server for development and tests: on the binaries that are installed, or on ones
// fetched once (see binaries). The data survives a kill -9 of this process; with Durable off it does not survive a crash of
// the machine, as fsync is off.
//
// What depends on the system stands in system_unix.go and system_windows.go.
package devpg

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/erpconnector/erpconnector/shared/subprocess"
)

// Config says where the server lives, and where it may come from.
type Config struct {
	Dir     string // data folder, made when missing; kept between runs
	Durable bool   // fsync on
	Port    int    // 0: a free one
	Mirror  string // of Maven Central, for a machine without Postgres; empty: Maven Central itself
}

// Server is a running server.
type Server struct {
	url  string
	dir  string
	cfg  Config
	bin  string
	cmd  *exec.Cmd
	done <-chan struct{}
}

const (
	startTimeout = 30 * time.Second
	stopTimeout  = 5 * time.Second
)

// Start runs the server and waits until it takes connections. It dies with this process.
func Start(ctx context.Context, cfg Config) (*Server, error) {
	owner, err := unprivileged()
	if err != nil {
		return nil, err
	}
	bin, env, err := binaries(ctx, cfg.Mirror)
	if err != nil {
		return nil, err
	}
	dir, err := filepath.Abs(cfg.Dir)
	if err != nil {
		return nil, err
	}
	data := filepath.Join(dir, "data")
	l := launcher{bin: bin, env: append(env, "LC_ALL=C", "TZ=UTC", "HOME="+dir), dir: dir, data: data, owner: owner}
	if err := l.prepare(); err != nil {
		return nil, err
	}
	if _, err := os.Stat(filepath.Join(data, "PG_VERSION")); err != nil {
		if err := l.initdb(ctx); err != nil {
			return nil, err
		}
	}
	return l.start(ctx, cfg)
}

// URL is what pgx and psql connect to.
func (s *Server) URL() string { return s.url }

// Done is closed when the server has ended.
func (s *Server) Done() <-chan struct{} { return s.done }

// Stop ends open sessions and shuts down.
func (s *Server) Stop() {
	s.askToStop()
	timer := time.NewTimer(stopTimeout)
	defer timer.Stop()
	select {
	case <-s.done:
	case <-timer.C:
		s.stopAtOnce()
		<-s.done
	}
}

type launcher struct {
	bin, dir, data string
	env            []string
	owner          account
}

// prepare makes the folders and hands them to the server's user, who must be able to walk to them.
func (l launcher) prepare() error {
	if err := os.MkdirAll(l.data, 0o700); err != nil {
		return fmt.Errorf("making the database's folder: %w; another one can be set with DATA_DIR", err)
	}
	return l.handOver()
}

func (l launcher) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Env = "/", l.env
	l.owner.runs(cmd)
	return cmd
}

func (l launcher) initdb(ctx context.Context) error {
	cmd := l.command(ctx, program(l.bin, "initdb"), "-D", l.data, "-U", "postgres", "-A", "trust", "-E", "UTF8",
		"--locale=C", "--no-sync", "--no-instructions")
	subprocess.Detach(cmd)                                                // Ctrl-C reaches it by ctx alone
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) } // it takes away what it has made
	cmd.WaitDelay = stopTimeout
	out, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		lines := strings.Split(strings.TrimSpace(string(out)), "\n")
		return fmt.Errorf("making the database in %s (initdb: %w): %s", l.data, err, lines[len(lines)-1])
	}
	return nil
}

func (l launcher) start(ctx context.Context, cfg Config) (*Server, error) {
	if err := waitForFormer(ctx, filepath.Join(l.data, "postmaster.pid")); err != nil {
		return nil, err
	}
	port := cfg.Port
	if port == 0 {
		var err error
		if port, err = freePort(); err != nil {
			return nil, err
		}
	}
	cfg.Port = port
	args := []string{
		"-D", l.data, "-p", strconv.Itoa(port), "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=",
		"-c", "max_connections=200", "-c", "max_prepared_transactions=200",
	}
	if runtime.GOOS != "windows" { // memory of the data folder's own: other kinds stay when a killed server is not started again
		args = append(args, "-c", "dynamic_shared_memory_type=mmap")
	}
	if !cfg.Durable {
		args = append(args, "-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off")
	}
	logFile, err := os.OpenFile(filepath.Join(l.dir, "postgres.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("writing the database's log: %w; another folder can be set with DATA_DIR", err)
	}
	before, err := logFile.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, fmt.Errorf("writing the database's log: %w", err)
	}
	cmd := l.command(context.WithoutCancel(ctx), program(l.bin, "postgres"), args...)
	cmd.Stdout, cmd.Stderr = logFile, logFile
	subprocess.Detach(cmd)
	done, err := subprocess.Start(cmd, syscall.SIGINT)
	_ = logFile.Close() // the server has its own
	if err != nil {
		return nil, fmt.Errorf("starting Postgres: %w", err)
	}
	s := &Server{
		url: fmt.Sprintf("postgres://postgres@127.0.0.1:%d/postgres?sslmode=disable", port), dir: l.dir, cfg: cfg, bin: l.bin, cmd: cmd, done: done,
	}
	if err := s.await(ctx); err != nil {
		s.Stop()
		return nil, fmt.Errorf("%w%s; its log is %s", err, lastWords(logFile.Name(), before), logFile.Name())
	}
	return s, nil
}

// lastWords is what the server wrote last into its log, from an offset on: why it ended.
func lastWords(logFile string, from int64) string {
	content, err := os.ReadFile(logFile) //nolint:gosec // our own
	if err != nil || int64(len(content)) < from {
		return ""
	}
	last := ""
	for line := range strings.Lines(string(content[from:])) {
		_, reason, fatal := strings.Cut(line, "FATAL:")
		if line = strings.TrimSpace(line); fatal {
			return ": " + strings.TrimSpace(reason)
		} else if line != "" {
			last = ": " + line
		}
	}
	return last
}

// await tries to connect until the server answers.
func (s *Server) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := pgx.Connect(ctx, s.url)
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case <-s.done:
			return errors.New("starting Postgres: it ended")
		case <-ctx.Done():
			return fmt.Errorf("starting Postgres: no answer within %s: %w", startTimeout, err)
		case <-tick.C:
		}
	}
}

// waitForFormer lets a server that a killed process left behind end; it was sent a signal when its parent died.
func waitForFormer(ctx context.Context, pidFile string) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	ctx, cancel := context.WithTimeout(ctx, 2*stopTimeout)
	defer cancel()
	for {
		content, err := os.ReadFile(pidFile)
		if err != nil {
			return nil
		}
		line, _, _ := strings.Cut(string(content), "\n")
		pid, err := strconv.Atoi(strings.TrimSpace(line))
		if err != nil || !alive(pid) {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("another Postgres (process %d) uses this data folder: stop it, or choose another folder with DATA_DIR", pid)
		}
	}
}

func freePort() (int, error) {
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port, nil //nolint:forcetypeassert // a TCP listener
}
