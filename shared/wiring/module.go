// Package wiring composes services: it runs the workers and serves the routes that modules provide to its groups.
package wiring

import (
	"context"
	"log/slog"

	"go.uber.org/fx"

	"github.com/erpconnector/erpconnector/shared/run"
)

// AsRoutes annotates a constructor that returns []httpapi.Route, so that the server serves them.
func AsRoutes(constructor any) any {
	return fx.Annotate(constructor, fx.ResultTags(`group:"routes,flatten"`))
}

// AsWorker annotates a constructor that returns a run.Worker, so that it runs with the process.
func AsWorker(constructor any) any {
	return fx.Annotate(constructor, fx.As(new(run.Worker)), fx.ResultTags(`group:"workers"`))
}

// AsProbe annotates a constructor that returns a httpapi.Probe.
func AsProbe(constructor any) any {
	return fx.Annotate(constructor, fx.ResultTags(`group:"probes"`))
}

// Workers starts every worker and stops the process with code 1 when one ends by itself.
var Workers = fx.Invoke(fx.Annotate(runWorkers, fx.ParamTags(``, ``, ``, `group:"workers"`)))

func runWorkers(lc fx.Lifecycle, sd fx.Shutdowner, log *slog.Logger, workers []run.Worker) {
	for _, worker := range workers {
		lc.Append(hook(worker, sd, log))
	}
}

// hook owns the worker's context: the one OnStart is given ends with the start timeout.
func hook(worker run.Worker, sd fx.Shutdowner, log *slog.Logger) fx.Hook {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	return fx.Hook{
		OnStart: func(context.Context) error {
			go func() {
				defer close(done)
				err := worker.Run(ctx)
				if ctx.Err() != nil && err == nil {
					return
				}
				log.Error("service ended; the process stops", "service", worker.Name(), "error", err)
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
