// Package app lists the services, and runs any set of them in one process.
package app

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"go.uber.org/dig"
	"go.uber.org/fx"

	"github.com/erpconnector/erpconnector/services/alerter"
	"github.com/erpconnector/erpconnector/services/api"
	"github.com/erpconnector/erpconnector/services/delayer"
	"github.com/erpconnector/erpconnector/services/ingest"
	"github.com/erpconnector/erpconnector/services/mockerp"
	"github.com/erpconnector/erpconnector/services/projector"
	"github.com/erpconnector/erpconnector/services/relay"
	"github.com/erpconnector/erpconnector/services/scheduler"
	"github.com/erpconnector/erpconnector/services/syncer"
	"github.com/erpconnector/erpconnector/shared/config"
	"github.com/erpconnector/erpconnector/shared/logging"
	"github.com/erpconnector/erpconnector/shared/wiring"
)

var modules = map[string]fx.Option{
	"alerter": alerter.Module, "ingest": ingest.Module, "relay": relay.Module, "syncer": syncer.Module, "delayer": delayer.Module,
	"projector": projector.Module, "scheduler": scheduler.Module, "api": api.Module, "mockerp": mockerp.Module,
}

// startTimeout is how long a process may take to start. Postgres and Kafka may be slow to answer then: all that was stopped starts at once.
const startTimeout = time.Minute

// StopTimeout is how long a process may take to stop after a signal. What is in flight then is lost and done again
// by others.
const StopTimeout = 15 * time.Second

// Names are those of all services, in the order of the alphabet.
func Names() []string { return slices.Sorted(maps.Keys(modules)) }

// DefaultNames are all services but the mock ERP.
func DefaultNames() []string {
	return slices.DeleteFunc(Names(), func(name string) bool { return name == "mockerp" })
}

// Options compose the named services for fx. A name that is not among Names composes nothing.
func Options(cfg config.Config, log *slog.Logger, names ...string) fx.Option {
	options := []fx.Option{wiring.Platform(cfg, log), fx.Provide(works), fx.NopLogger, fx.StartTimeout(startTimeout), fx.StopTimeout(StopTimeout)}
	for _, name := range names {
		if module, known := modules[name]; known {
			options = append(options, module)
		}
	}
	return fx.Options(options...)
}

// ErrEndedByItself says that a service, or the HTTP server, ended without being told to.
var ErrEndedByItself = errors.New("a service ended by itself; the log says why")

// Run runs the services until ctx ends or a signal comes, which are no errors, or until one of them ends by itself. It calls
// started once all have started. A second signal ends the process at once, with code 130.
func Run(ctx context.Context, cfg config.Config, names []string, started func()) error {
	app := fx.New(Options(cfg, logging.Stderr(cfg.LogLevel), names...))
	if err := app.Err(); err != nil {
		return dig.RootCause(err) // what a constructor said, without the way to it
	}
	ended := app.Wait() // before the start: a signal that comes meanwhile is not lost
	starting, release := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer release()
	start, cancel := context.WithTimeout(starting, startTimeout)
	defer cancel()
	if err := app.Start(start); err != nil {
		if starting.Err() != nil { // it is to stop already
			return nil //nolint:nilerr // that is no failure
		}
		return err
	}
	started()
	var end fx.ShutdownSignal
	select {
	case end = <-ended:
	case <-ctx.Done(): // by a signal, maybe before the wait began
	}
	second := make(chan os.Signal, 1)
	signal.Notify(second, syscall.SIGINT, syscall.SIGTERM)
	go func() {
		<-second
		os.Exit(130)
	}()
	stop, cancel := context.WithTimeout(context.Background(), StopTimeout)
	defer cancel()
	err := app.Stop(stop)
	if end.ExitCode != 0 {
		err = errors.Join(ErrEndedByItself, err)
	}
	return err
}
