package main

import (
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"

	"github.com/erpconnector/erpconnector/services/scheduler"
	"github.com/erpconnector/erpconnector/shared/orders"
	"github.com/erpconnector/erpconnector/shared/platform"
	"github.com/erpconnector/erpconnector/shared/postgres"
	"github.com/erpconnector/erpconnector/shared/setting"
)

func cronCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "cron", Short: "Release the orders that wait for the cron"}
	cmd.AddCommand(&cobra.Command{
		Use: "run", Short: "Make one run of the cron now, whatever the schedule says", Args: cobra.NoArgs,
		Long: "Releases up to CRON_BATCH orders that wait for the cron, those that came first before others, also while the cron is off.\n" +
			"The schedule goes on as if there had been no such run. It needs DATABASE_URL alone.",
		RunE: runCron,
	})
	return cmd
}

func runCron(cmd *cobra.Command, _ []string) error {
	cfg, err := platform.FromEnv(lookup)
	if err != nil {
		return err
	}
	if err := requireMigrated(cmd.Context(), cfg); err != nil {
		return err
	}
	c, err := pgxpool.ParseConfig(cfg.DatabaseURL)
	if err != nil {
		return fmt.Errorf("DATABASE_URL: %w", err)
	}
	postgres.Configure(c)
	pool, err := pgxpool.NewWithConfig(cmd.Context(), c)
	if err != nil {
		return fmt.Errorf("DATABASE_URL: %w", err)
	}
	defer pool.Close()
	released, waiting, err := scheduler.RunNow(cmd.Context(), pool, setting.Fixed(cfg.Settings))
	if errors.Is(err, orders.ErrDisabled) {
		err = errors.New("the connector is off, so no order is released: turn it on (CONNECTOR_ENABLED), then run the cron again")
	}
	if err != nil {
		return fmt.Errorf("%d orders released: %w", released, err)
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "%d orders released; %d still wait for the cron\n", released, waiting)
	return err
}
