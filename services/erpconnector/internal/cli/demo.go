package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/erpconnector/erpconnector/services/erpconnector/internal/demo"
)

// demoFlags are what the command line says.
type demoFlags struct {
	demo.Options

	duration time.Duration
	print    bool
}

// demoCommand is the second command of a newcomer, after `up`. So it finds connector and token by itself, and says what is missing.
//
//	erpconnector demo --rate 20 --duration 30s
//	erpconnector demo --seed 11 --orders 40       # the events of an earlier run once more
//	erpconnector demo --print --orders 3 | jq .   # publishes nothing
func demoCommand() *cobra.Command {
	var f demoFlags
	cmd := &cobra.Command{
		Use: "demo", Example: "  erpconnector demo --rate 20 --duration 30s\n  erpconnector demo --print --orders 3 | jq .", Short: "Publish sample orders and watch them reach the ERP", Args: cobra.NoArgs,
		Long: `Publishes the events of three invented e-scooter shops to a running connector, has its mock ERP misbehave with some of
the orders, and shows what becomes of each. Start ` + "`erpconnector up`" + ` first. The token is API_TOKEN, or else the one that
` + "`up`" + ` keeps in its data folder.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			f.Out = cmd.OutOrStdout()
			if !cmd.Flags().Changed("seed") {
				f.Seed = 1 + rand.Uint64N(999_999) //nolint:gosec // short enough to be typed again
			}
			if cmd.Flags().Changed("orders") && !cmd.Flags().Changed("duration") {
				f.duration = 0
			}
			return f.run(cmd.Context())
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.Float64Var(&f.Rate, "rate", 5, "events a second")
	flags.DurationVar(&f.duration, "duration", time.Minute, "how long to publish at that rate; with --orders alone, until these are through")
	flags.IntVar(&f.Orders, "orders", 0, "how many orders to publish")
	flags.Uint64Var(&f.Seed, "seed", 0, "repeats the events of an earlier run (default: a new one, which is printed)")
	flags.Float64Var(&f.Misbehave, "misbehave", 0.15, "share of the orders that the mock ERP treats badly, 0 to 1")
	flags.DurationVar(&f.Wait, "wait", 30*time.Second, "how long to wait for orders to end after the last event")
	flags.StringVar(&f.URL, "url", "", "of the connector (default: HTTP_ADDR on this machine)")
	flags.BoolVar(&f.WithoutMockERP, "without-mock-erp", false, "publish although there is no mock ERP: the orders go to the real one")
	flags.BoolVar(&f.print, "print", false, "print the events, one a line, and publish nothing")
	return cmd
}

// run returns the context's end as its error. The run's summary was printed by then, and the exit code still says that a signal came.
func (f *demoFlags) run(ctx context.Context) error {
	if err := f.complete(ctx); err != nil {
		return err
	}
	if f.print {
		return demo.Print(ctx, f.Options)
	}
	if _, err := demo.Run(ctx, f.Options); err != nil {
		return err
	}
	return ctx.Err()
}

// complete checks what was said and adds what was not.
func (f *demoFlags) complete(ctx context.Context) error {
	err := errors.Join(
		within("--rate", f.Rate, 0.01, 1000),
		within("--misbehave", f.Misbehave, 0, 1),
		within("--orders", f.Orders, 0, demo.MaxOrders),
		within("--duration", f.duration, 0, 24*time.Hour),
		within("--wait", f.Wait, 0, time.Hour),
	)
	if f.duration == 0 && f.Orders == 0 {
		err = errors.Join(err, errors.New("give --orders or --duration"))
	}
	if err != nil {
		return err
	}
	f.Events = int(math.Ceil(f.Rate * f.duration.Seconds()))
	f.Self = self()
	return f.reach(ctx)
}

// within refuses NaN too, which is neither less nor more than anything.
func within[T cmp.Ordered](flag string, value, least, most T) error {
	if value >= least && value <= most {
		return nil
	}
	return fmt.Errorf("%s is %v; it must be from %v to %v", flag, value, least, most)
}

// reach finds the connector, and its token.
func (f *demoFlags) reach(ctx context.Context) error {
	t, err := targetHere(ctx, f.URL)
	f.URL, f.Token, f.TokenFrom, f.TokenShell = t.url, t.token, t.from, t.shell
	return err
}

// self is how this program was started.
func self() string {
	if exe, err := os.Executable(); err == nil && strings.Contains(exe, "go-build") {
		return "go run ./services/erpconnector"
	}
	return "erpconnector"
}
