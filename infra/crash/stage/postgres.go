package stage

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/erpconnector/erpconnector/shared/devpg"
	"github.com/erpconnector/erpconnector/shared/pause"
)

// Postgres is a server of our own. It is durable, as production is: what it has confirmed is there after a kill.
type Postgres struct {
	dir    string
	port   int
	url    string
	server *devpg.Server
}

// StartPostgres starts a fresh server with its data in dir.
func StartPostgres(ctx context.Context, dir string) (*Postgres, error) {
	addr, err := FreeAddr()
	if err != nil {
		return nil, err
	}
	_, port, _ := net.SplitHostPort(addr)
	p := &Postgres{dir: dir}
	if p.port, err = strconv.Atoi(port); err != nil {
		return nil, err
	}
	return p, p.start(ctx)
}

func (p *Postgres) start(ctx context.Context) error {
	server, err := devpg.Start(ctx, devpg.Config{Dir: p.dir, Durable: true, Port: p.port})
	if err != nil {
		return err
	}
	p.server, p.url = server, server.URL()
	return nil
}

// URL is the same after each start.
func (p *Postgres) URL() string { return p.url }

// Kill ends the postmaster and all its children as kill -9 does.
func (p *Postgres) Kill() error {
	content, err := os.ReadFile(filepath.Join(p.dir, "data", "postmaster.pid"))
	if err != nil {
		return fmt.Errorf("killing Postgres: %w", err)
	}
	line, _, _ := strings.Cut(string(content), "\n")
	pid, err := strconv.Atoi(line)
	if err != nil {
		return fmt.Errorf("killing Postgres: %w", err)
	}
	_ = syscall.Kill(pid, syscall.SIGSTOP) // no child is born meanwhile: it would live on and hold the shared memory
	children := childrenOf(pid)
	_ = syscall.Kill(pid, syscall.SIGKILL)
	for _, child := range children {
		_ = syscall.Kill(child, syscall.SIGKILL)
	}
	<-p.server.Done()
	return nil
}

// Restart starts the server again with the data it had. Its children may take a moment to be gone for good, and hold the
// shared memory until then.
func (p *Postgres) Restart(ctx context.Context) error {
	err := p.start(ctx)
	for tries := 0; err != nil && tries < 20 && pause.For(ctx, 200*time.Millisecond); tries++ {
		err = p.start(ctx)
	}
	return err
}

// Stop ends the server in the ordinary way.
func (p *Postgres) Stop() { p.server.Stop() }

// childrenOf are the processes whose parent that is.
func childrenOf(pid int) (children []int) {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, name := range stats {
		content, err := os.ReadFile(name)
		if err != nil {
			continue // it has ended
		}
		// pid (comm) state ppid …; comm may hold blanks and brackets.
		_, rest, _ := strings.Cut(string(content), ") ")
		fields := strings.Fields(rest)
		child, err := strconv.Atoi(filepath.Base(filepath.Dir(name)))
		if err == nil && len(fields) > 1 && fields[1] == strconv.Itoa(pid) {
			children = append(children, child)
		}
	}
	return children
}
