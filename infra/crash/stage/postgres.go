package stage

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/erpconnector/erpconnector/shared/devpg"
	"github.com/erpconnector/erpconnector/shared/run"
)

// Postgres is a server of the run's own. It is durable, as in production: what it confirmed survives a kill. It may have a
// standby, which can take over.
type Postgres struct {
	primary, other site
	standby        bool // a server runs at the other place
	number         int  // of folders so far
	dir, hostsURL  string
}

// site is a place where a server can run.
type site struct {
	port   int
	dir    string
	server *devpg.Server
}

// StartPostgres starts a new server with its data in dir.
func StartPostgres(ctx context.Context, dir string) (*Postgres, error) {
	p := &Postgres{dir: dir, primary: site{dir: dir}}
	for _, at := range []*site{&p.primary, &p.other} {
		addr, err := FreeAddr()
		if err != nil {
			return nil, err
		}
		_, port, _ := net.SplitHostPort(addr)
		if at.port, err = strconv.Atoi(port); err != nil {
			return nil, err
		}
	}
	p.hostsURL = urlOf(fmt.Sprintf("%d,127.0.0.1:%d", p.other.port, p.primary.port))
	return p, p.start(ctx)
}

func (p *Postgres) start(ctx context.Context) error {
	server, err := devpg.Start(ctx, devpg.Config{Dir: p.primary.dir, Durable: true, Port: p.primary.port})
	if err != nil {
		return err
	}
	p.primary.server = server
	return nil
}

// URL returns the address of the server that takes writes. It changes with a failover.
func (p *Postgres) URL() string { return urlOf(strconv.Itoa(p.primary.port)) }

// HostsURL returns an address with both sites, which never changes. At first it names the standby before the primary, so
// that a client which takes the first server is wrong.
func (p *Postgres) HostsURL() string { return p.hostsURL }

func urlOf(port string) string {
	return "postgres://postgres@127.0.0.1:" + port + "/postgres?sslmode=disable"
}

// StartStandby starts a standby at the other site with a new copy of the data.
func (p *Postgres) StartStandby(ctx context.Context) error {
	if p.other.dir != "" {
		if err := os.RemoveAll(p.other.dir); err != nil {
			return err
		}
	}
	p.number++
	p.other.dir = filepath.Join(filepath.Dir(p.dir), fmt.Sprintf("%s-%d", filepath.Base(p.dir), p.number))
	server, err := p.primary.server.Standby(ctx, devpg.Config{Dir: p.other.dir, Durable: true, Port: p.other.port})
	if err != nil {
		return err
	}
	p.other.server, p.standby = server, true
	return nil
}

// PauseReplication makes the standby lag: it receives nothing any more.
func (p *Postgres) PauseReplication(ctx context.Context) error {
	return p.ofStandby(ctx, `ALTER SYSTEM SET primary_conninfo = ''`, `SELECT pg_reload_conf()`)
}

// FailOver kills the primary and promotes the standby.
func (p *Postgres) FailOver(ctx context.Context) error {
	p.primary.server.Kill()
	if err := p.ofStandby(ctx, `SELECT pg_promote(true, 30)`); err != nil {
		return err
	}
	p.primary, p.other, p.standby = p.other, p.primary, false
	return nil
}

// ofStandby runs statements on the standby.
func (p *Postgres) ofStandby(ctx context.Context, statements ...string) error {
	conn, err := pgx.Connect(ctx, urlOf(strconv.Itoa(p.other.port)))
	if err != nil {
		return fmt.Errorf("connecting to the standby: %w", err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	for _, statement := range statements {
		if _, err := conn.Exec(ctx, statement); err != nil {
			return fmt.Errorf("%s: %w", statement, err)
		}
	}
	return nil
}

// Kill ends the server and all its children by SIGKILL.
func (p *Postgres) Kill() { p.primary.server.Kill() }

// Restart starts the server again with the data it had. It retries, as the killed children hold the shared memory for a
// moment.
func (p *Postgres) Restart(ctx context.Context) error {
	err := p.start(ctx)
	for tries := 0; err != nil && tries < 20 && run.Sleep(ctx, 200*time.Millisecond); tries++ {
		err = p.start(ctx)
	}
	return err
}

// Stop ends the servers in the ordinary way.
func (p *Postgres) Stop() {
	if p.standby {
		p.other.server.Stop()
	}
	p.primary.server.Stop()
}
