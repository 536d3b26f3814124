package wiring

import (
	"context"
	"log/slog"
	"net"

	"go.uber.org/fx"
)

// server is httpapi.Server, or a test's.
type server interface {
	Listen(ctx context.Context) (net.Listener, error)
	Serve(l net.Listener) error
	Stop(ctx context.Context) error
}

// serving stops the process with code 1 when the server ends by itself.
func serving(s server, sd fx.Shutdowner, log *slog.Logger) fx.Hook {
	return fx.Hook{
		OnStart: func(ctx context.Context) error {
			l, err := s.Listen(ctx)
			if err != nil {
				return err
			}
			go func() {
				if err := s.Serve(l); err != nil {
					log.Error("http server ended; the process stops", "error", err)
					_ = sd.Shutdown(fx.ExitCode(1))
				}
			}()
			return nil
		},
		OnStop: s.Stop,
	}
}
