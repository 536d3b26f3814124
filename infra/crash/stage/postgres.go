package stage

import (
	"context"
	"net"
	"strconv"
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

// Kill ends the server and all its children as kill -9 does.
func (p *Postgres) Kill() { p.server.Kill() }

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
