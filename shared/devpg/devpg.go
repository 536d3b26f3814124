// Package devpg runs a real Postgres server for development and tests: on the binaries that are installed, or on ones
// fetched once with the system's package client. The data survives a kill -9 of this process; with Durable off it does
// not survive a crash of the machine, as fsync is off.
package devpg

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// ErrNoBinaries means that no Postgres server could be found or fetched.
var ErrNoBinaries = errors.New("no Postgres server found: install one (Debian: apt-get install postgresql), " +
	"or set DATABASE_URL to a server that runs elsewhere")

// Config says where the server lives.
type Config struct {
	Dir     string // data folder, made when missing; kept between runs
	Durable bool   // fsync on
	Port    int    // 0: a free one
}

// Server is a running server.
type Server struct {
	url  string
	dir  string
	cfg  Config
	cmd  *exec.Cmd
	done chan struct{}
}

const (
	startTimeout = 30 * time.Second
	stopTimeout  = 5 * time.Second
)

// Start runs the server and waits until it takes connections. It dies with this process.
func Start(ctx context.Context, cfg Config) (*Server, error) {
	bin, env, err := binaries(ctx)
	if err != nil {
		return nil, err
	}
	owner, err := unprivileged()
	if err != nil {
		return nil, err
	}
	dir, err := filepath.Abs(cfg.Dir)
	if err != nil {
		return nil, err
	}
	data := filepath.Join(dir, "data")
	l := launcher{bin: bin, env: append(env, "PATH=/usr/bin:/bin", "LC_ALL=C", "TZ=UTC", "HOME="+dir), dir: dir, data: data, owner: owner}
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
	_ = s.cmd.Process.Signal(syscall.SIGINT)
	timer := time.NewTimer(stopTimeout)
	defer timer.Stop()
	select {
	case <-s.done:
	case <-timer.C:
		_ = s.cmd.Process.Signal(syscall.SIGQUIT)
		<-s.done
	}
}

type launcher struct {
	bin, dir, data string
	env            []string
	owner          *syscall.Credential // nil: ourselves
}

// unprivileged is who the server runs as, since Postgres refuses root: the user postgres, or nobody.
func unprivileged() (*syscall.Credential, error) {
	if os.Getuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
		gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
		if err1 == nil && err2 == nil {
			return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
		}
	}
	return nil, errors.New("running Postgres: it refuses to run as root, and there is neither a user postgres nor nobody")
}

// prepare makes the folders and hands them to the server's user, who must be able to walk to them.
func (l launcher) prepare() error {
	if err := os.MkdirAll(l.data, 0o700); err != nil {
		return fmt.Errorf("making the database's folder: %w; another one can be set with DATA_DIR", err)
	}
	if l.owner == nil {
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

func (l launcher) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Env = "/", l.env
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: l.owner}
	return cmd
}

func (l launcher) initdb(ctx context.Context) error {
	out, err := l.command(ctx, filepath.Join(l.bin, "initdb"), "-D", l.data, "-U", "postgres", "-A", "trust", "-E", "UTF8",
		"--locale=C", "--no-sync", "--no-instructions").CombinedOutput()
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
		"-c", "max_connections=200", "-c", "max_prepared_transactions=20",
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
	cmd := l.command(context.WithoutCancel(ctx), filepath.Join(l.bin, "postgres"), args...)
	cmd.Stdout, cmd.Stderr = logFile, logFile
	cmd.SysProcAttr.Setpgid, cmd.SysProcAttr.Pdeathsig = true, syscall.SIGINT
	s := &Server{
		url: fmt.Sprintf("postgres://postgres@127.0.0.1:%d/postgres?sslmode=disable", port), dir: l.dir, cfg: cfg, cmd: cmd, done: make(chan struct{}),
	}
	started := make(chan error)
	go func() {
		runtime.LockOSThread() // the death signal belongs to the thread that forks
		defer func() { _ = logFile.Close() }()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait()
		}
		close(s.done)
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("starting Postgres: %w", err)
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
		if err != nil || errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
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

// binaries is the folder of initdb and postgres, and what their environment needs.
func binaries(ctx context.Context) (bin string, env []string, err error) {
	var candidates []string
	if dir := os.Getenv("ERPCONNECTOR_POSTGRES_BIN"); dir != "" {
		candidates = append(candidates, dir)
	}
	installed, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	slices.SortFunc(installed, func(a, b string) int { return major(b) - major(a) })
	candidates = append(candidates, installed...)
	if path, err := exec.LookPath("initdb"); err == nil {
		if path, err = filepath.EvalSymlinks(path); err == nil {
			candidates = append(candidates, filepath.Dir(path))
		}
	}
	for _, dir := range candidates {
		if complete(dir) {
			return dir, nil, nil
		}
	}
	return fetched(ctx)
}

func complete(dir string) bool {
	for _, name := range []string{"initdb", "postgres"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			return false
		}
	}
	return true
}

func major(bin string) int {
	n, _ := strconv.Atoi(filepath.Base(filepath.Dir(bin)))
	return n
}

// fetched unpacks the distribution's packages into a cache folder; nothing is installed, and no right is needed.
func fetched(ctx context.Context) (string, []string, error) {
	cache := filepath.Join(os.TempDir(), "erpconnector-postgres-"+strconv.Itoa(os.Getuid()))
	find := func() (string, []string, bool) {
		dirs, _ := filepath.Glob(filepath.Join(cache, "usr/lib/postgresql/*/bin"))
		for _, dir := range dirs {
			if complete(dir) {
				libs, _ := filepath.Glob(filepath.Join(cache, "usr/lib/*-linux-gnu"))
				return dir, []string{"LD_LIBRARY_PATH=" + strings.Join(libs, ":")}, true
			}
		}
		return "", nil, false
	}
	if dir, env, ok := find(); ok {
		return dir, env, nil
	}
	const script = `set -e
mkdir -p "$1"; cd "$1"; chmod 755 .
v=$(apt-cache depends postgresql 2>/dev/null | sed -n 's/.*Depends: postgresql-\([0-9]*\)$/\1/p' | head -n 1)
if [ -z "$v" ] && [ "$(id -u)" = 0 ]; then
  apt-get update -qq >/dev/null
  v=$(apt-cache depends postgresql | sed -n 's/.*Depends: postgresql-\([0-9]*\)$/\1/p' | head -n 1)
fi
apt-get download -qq "postgresql-$v" "postgresql-client-$v" libpq5 libllvm14 libicu72 libxml2 libxslt1.1 2>/dev/null || apt-get download -qq "postgresql-$v" "postgresql-client-$v" libpq5
for p in *.deb; do dpkg -x "$p" .; rm "$p"; done`
	out, err := exec.CommandContext(ctx, "sh", "-c", script, "sh", cache).CombinedOutput()
	if dir, env, ok := find(); ok {
		return dir, env, nil
	}
	return "", nil, fmt.Errorf("%w (fetching one failed: %w %s)", ErrNoBinaries, err, strings.TrimSpace(string(out)))
}
