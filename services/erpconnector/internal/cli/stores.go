package cli

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/erpconnector/erpconnector/services/app"
	"github.com/erpconnector/erpconnector/shared/client"
	"github.com/erpconnector/erpconnector/shared/config"
	"github.com/erpconnector/erpconnector/shared/httpapi"
	"github.com/erpconnector/erpconnector/shared/logging"
	"github.com/erpconnector/erpconnector/shared/setting"
)

// storesURL stands for the routes in this process. No name is looked up for it.
const storesURL = "http://stores"

// withStores asks the API's routes in this process, on DATABASE_URL. Who can reach the stores may do everything, and is known by the user
// of the operating system.
func withStores(ctx context.Context, brokers bool, use func(connector) error) error {
	if brokers {
		if _, err := CompleteConfig(environment(ctx)); err != nil {
			return err
		}
	}
	return withDatabase(ctx, func(cfg config.Config, pool *pgxpool.Pool) error {
		v, err := setting.NewStore(pool, cfg.Settings, nil).View(ctx)
		if err != nil {
			return err
		}
		log := logging.Stderr("error") // what stands behind "the database does not answer"
		who := httpapi.Identity{Name: osUser(), All: true}
		handler, err := app.Handler(cfg, pool, setting.Fixed(v.Settings), who, log)
		if err != nil {
			return err
		}
		return inThisProcess(handler, func(way http.RoundTripper) error {
			c, err := client.New(storesURL, "", client.WithTransport(way))
			if err != nil {
				return err
			}
			return use(connector{Client: c, target: target{url: storesURL}, stores: true})
		})
	})
}

// inThisProcess serves the handler to use alone, without a port.
func inThisProcess(handler http.Handler, use func(http.RoundTripper) error) error {
	l := &inProcess{conns: make(chan net.Conn), closed: make(chan struct{})}
	server := &http.Server{Handler: handler, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)} //nolint:gosec // this process is its only client
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	way := &http.Transport{DialContext: l.dial}
	err := use(way)
	way.CloseIdleConnections()
	_ = server.Close()
	if stopped := <-ended; !errors.Is(stopped, http.ErrServerClosed) {
		err = errors.Join(err, stopped)
	}
	return err
}

// inProcess is a listener for connections from this process.
type inProcess struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (l *inProcess) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	here, there := net.Pipe()
	select {
	case l.conns <- there:
		return here, nil
	case <-l.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Accept waits for the next connection, or for Close.
func (l *inProcess) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close ends Accept.
func (l *inProcess) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

// Addr is none that could be reached.
func (l *inProcess) Addr() net.Addr { return &net.UnixAddr{Name: "stores", Net: "unix"} }
