// Command erpconnector runs the connector's services and carries the operator's commands.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"
	_ "time/tzdata" // an image may hold no time zones

	"github.com/spf13/cobra"
	"go.uber.org/dig"
	"go.uber.org/fx"

	"github.com/erpconnector/erpconnector/services/api"
	"github.com/erpconnector/erpconnector/services/delayer"
	"github.com/erpconnector/erpconnector/services/ingest"
	"github.com/erpconnector/erpconnector/services/mockerp"
	"github.com/erpconnector/erpconnector/services/projector"
	"github.com/erpconnector/erpconnector/services/relay"
	"github.com/erpconnector/erpconnector/services/scheduler"
	"github.com/erpconnector/erpconnector/services/syncer"
	"github.com/erpconnector/erpconnector/shared/platform"
	"github.com/erpconnector/erpconnector/shared/platform/platformfx"
	"github.com/erpconnector/erpconnector/shared/spelling"
)

// services by name; `run` alone runs all but mockerp.
var services = map[string]fx.Option{
	"ingest": ingest.Module, "relay": relay.Module, "syncer": syncer.Module, "delayer": delayer.Module,
	"projector": projector.Module, "scheduler": scheduler.Module, "api": api.Module, "mockerp": mockerp.Module,
}

const stopWithin = 15 * time.Second

func main() {
	os.Exit(runProgram(root(), os.Stderr))
}

func root() *cobra.Command {
	cmd := &cobra.Command{
		Use: "erpconnector", Short: "Brings each paid order into the ERP exactly once", SilenceUsage: true, SilenceErrors: true,
	}
	cmd.AddCommand(upCommand(), demoCommand(), runCommand(), migrateCommand(), topicsCommand(), quarantineCommand(), deadletterCommand(), cronCommand(), settingsCommand(), replayCommand(), healthCommand(), verifyCommand(), rebuildCommand(), auditCommand(), repairCommand())
	return cmd
}

func runCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "run [SERVICE…]",
		Short: "Run services against DATABASE_URL and KAFKA_BROKERS (default: all but mockerp)",
		Args:  knownServices,
		RunE: func(cmd *cobra.Command, names []string) error {
			if len(names) == 0 {
				names = slices.DeleteFunc(slices.Sorted(maps.Keys(services)), func(n string) bool { return n == "mockerp" })
			}
			cfg, err := config(environment(cmd.Context()))
			if err != nil {
				return err
			}
			if err := reachAddress(cmd.Context(), cfg.HTTPAddr); err != nil {
				return err
			}
			if err := errors.Join(requireMigrated(cmd.Context(), cfg), requireTopics(cmd.Context(), cfg)); err != nil {
				return err
			}
			return runServices(cmd.Context(), cfg, names, func() {})
		},
	}
}

func knownServices(_ *cobra.Command, names []string) error {
	known := slices.Sorted(maps.Keys(services))
	for i, n := range names {
		switch {
		case services[n] == nil:
			return fmt.Errorf("there is no service %q: %s", n, spelling.Hint(n, known))
		case slices.Contains(names[:i], n):
			return fmt.Errorf("the service %s is named twice", n)
		}
	}
	return nil
}

// config is the environment's, complete enough to reach real servers.
func config(lookup platform.Lookup) (platform.Config, error) {
	cfg, err := platform.FromEnv(lookup)
	if cfg.DatabaseURL == "" {
		err = errors.Join(err, errors.New("DATABASE_URL is not set: name the Postgres database (`erpconnector up` needs none)"))
	}
	if len(cfg.KafkaBrokers) == 0 {
		err = errors.Join(err, errors.New("KAFKA_BROKERS is not set: name the brokers (`erpconnector up` needs none)"))
	}
	return cfg, err
}

// runServices runs until ctx ends or a signal comes, which are no errors, or until a loop or the HTTP server dies.
func runServices(ctx context.Context, cfg platform.Config, names []string, started func()) error {
	options := []fx.Option{
		platformfx.Platform(cfg, logger(cfg)), fx.NopLogger, fx.StartTimeout(stopWithin), fx.StopTimeout(stopWithin),
	}
	for _, n := range names {
		options = append(options, services[n])
	}
	app := fx.New(options...)
	if err := app.Err(); err != nil {
		return dig.RootCause(err) // what a constructor said, without the way to it
	}
	ended := app.Wait() // before the start: a signal that comes meanwhile is not lost
	start, cancel := context.WithTimeout(context.Background(), stopWithin)
	defer cancel()
	if err := app.Start(start); err != nil {
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
		os.Exit(interrupted)
	}()
	stop, cancel := context.WithTimeout(context.Background(), stopWithin)
	defer cancel()
	err := app.Stop(stop)
	if end.ExitCode != 0 {
		err = errors.Join(errors.New("a service ended by itself; the log says why"), err)
	}
	if err != nil {
		return coded{err, 1}
	}
	return nil
}

func logger(cfg platform.Config) *slog.Logger {
	var level slog.Level
	if err := level.UnmarshalText([]byte(cfg.LogLevel)); err != nil {
		level = slog.LevelInfo
	}
	return platform.NewLog(os.Stderr, level)
}
