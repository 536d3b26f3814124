// Package platformfx composes services: it runs the loops and serves the routes that modules provide to its groups.
package platformfx

import (
	"context"
	"log/slog"

	"go.uber.org/fx"

	"github.com/erpconnector/erpconnector/shared/platform"
)

// AsRoutes annotates a constructor that returns []platform.Route, so that the server serves them.
func AsRoutes(constructor any) any {
	return fx.Annotate(constructor, fx.ResultTags(`group:"routes,flatten"`))
}

// AsLoop annotates a constructor that returns a platform.Loop, so that it runs with the process.
func AsLoop(constructor any) any {
	return fx.Annotate(constructor, fx.As(new(platform.Loop)), fx.ResultTags(`group:"loops"`))
}

// AsProbe annotates a constructor that returns a platform.Probe.
func AsProbe(constructor any) any {
	return fx.Annotate(constructor, fx.ResultTags(`group:"probes"`))
}

// Loops starts every loop and stops the process with code 1 when one ends by itself.
var Loops = fx.Invoke(fx.Annotate(runLoops, fx.ParamTags(``, ``, ``, `group:"loops"`)))

func runLoops(lc fx.Lifecycle, sd fx.Shutdowner, log *slog.Logger, loops []platform.Loop) {
	for _, loop := range loops {
		lc.Append(hook(loop, sd, log))
	}
}

// hook owns the loop's context: the one OnStart is given ends with the start timeout.
func hook(loop platform.Loop, sd fx.Shutdowner, log *slog.Logger) fx.Hook {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	return fx.Hook{
		OnStart: func(context.Context) error {
			go func() {
				defer close(done)
				err := loop.Run(ctx)
				if ctx.Err() != nil && err == nil {
					return
				}
				log.Error("service loop ended; the process stops", "service", loop.Name(), "error", err)
				_ = sd.Shutdown(fx.ExitCode(1))
			}()
			return nil
		},
		OnStop: func(stop context.Context) error {
			cancel()
			select {
			case <-done:
				return nil
			case <-stop.Done():
				return stop.Err()
			}
		},
	}
}
