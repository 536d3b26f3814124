package cli

import (
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"

	"github.com/erpconnector/erpconnector/services/scheduler"
	"github.com/erpconnector/erpconnector/shared/config"
	"github.com/erpconnector/erpconnector/shared/orders"
	"github.com/erpconnector/erpconnector/shared/setting"
)

// cronCommand has a parent of its own, so that what else is to be done about the cron has a place.
func cronCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "cron", Example: "  erpconnector cron run", Short: "Release the orders that wait for the cron"}
	cmd.AddCommand(&cobra.Command{
		Use: "run", Example: "  erpconnector cron run", Short: "Make one run of the cron now, whatever the schedule says", Args: cobra.NoArgs,
		Long: "Releases up to cron_batch orders that wait for the cron (0: all), those that came first before others, also while the cron is off.\n" +
			"The schedule goes on as if there had been no such run. It needs DATABASE_URL alone.",
		RunE: runCron,
	})
	return cmd
}

// runCron makes a run outside of the schedule, for somebody who waits at the screen. While the connector is off it is refused and not
// passed over: 0 released would look like an empty queue.
func runCron(cmd *cobra.Command, _ []string) error {
	return withDatabase(cmd.Context(), func(cfg config.Config, pool *pgxpool.Pool) error {
		v, err := setting.NewStore(pool, cfg.Settings, nil).View(cmd.Context())
		if err != nil {
			return err
		}
		released, waiting, err := scheduler.RunNow(cmd.Context(), pool, setting.Fixed(v.Settings))
		if errors.Is(err, orders.ErrDisabled) {
			return errors.New("the connector is off, so no order is released: turn it on (erpconnector settings set enabled=true), then run the cron again")
		}
		if err != nil {
			return fmt.Errorf("%s released, then: %w", counted(released, "order"), err)
		}
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s released; %d still wait for the cron\n", counted(released, "order"), waiting)
		return err
	})
}
