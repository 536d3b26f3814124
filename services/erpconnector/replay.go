package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/erpconnector/erpconnector/services/replay"
	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/platform"
	"github.com/erpconnector/erpconnector/shared/timeline"
)

// replayFlags are what the command is asked.
type replayFlags struct {
	order, source string
	json          bool
}

func replayCommand() *cobra.Command {
	var f replayFlags
	cmd := &cobra.Command{
		Use: "replay --order ID", Short: "Print the records of one order again, from the topics",
		Args: cobra.NoArgs,
		Long: "Print the records of one order again, as they stand in the topics: one JSON object a line, or on a terminal a readable\n" +
			"line each. Only what was committed is read, and nothing is changed. The records hold customers' data.\n\n" +
			"The records are those of the order's timeline (DATABASE_URL), each fetched from where it stands; no topic is scanned. The\n" +
			"shop's own events (sales_order_event) are not on the timeline and are left out.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.order == "" {
				return errors.New("name an order: erpconnector replay --order 000000123")
			}
			return replayOrder(cmd, f)
		},
	}
	cmd.Flags().StringVar(&f.order, "order", "", "the order's increment id")
	cmd.Flags().StringVar(&f.source, "source", domain.DefaultSource, "the order's shop")
	cmd.Flags().BoolVar(&f.json, "json", false, "JSON also on a terminal")
	return cmd
}

func replayOrder(cmd *cobra.Command, f replayFlags) error {
	ref := domain.OrderRef{Source: f.source, IncrementID: f.order}
	if err := ref.Validate(); err != nil {
		return err
	}
	return withDatabase(cmd.Context(), func(cfg platform.Config, pool *pgxpool.Pool) error {
		brokers, err := kafkaOf(cfg)
		if err != nil {
			return err
		}
		err = replay.Order(cmd.Context(), brokers, pool, ref, printer(brokers, cmd.OutOrStdout(), f.json))
		if errors.Is(err, timeline.ErrUnknown) {
			return fmt.Errorf("order %s of %s: %w; --source names another shop", f.order, f.source, err)
		}
		return err
	})
}

func kafkaOf(cfg platform.Config) (kafka.Config, error) {
	if len(cfg.KafkaBrokers) == 0 {
		return kafka.Config{}, errors.New("KAFKA_BROKERS is not set: name the brokers")
	}
	return kafka.Config{Brokers: cfg.KafkaBrokers, Prefix: cfg.TopicPrefix, ClientID: "erpconnector-replay"}, nil
}

func printer(cfg kafka.Config, w io.Writer, asJSON bool) replay.Sink {
	if !asJSON && onTerminal(w) {
		return replay.Timeline(cfg, w)
	}
	return replay.JSON(cfg, w)
}

func onTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd())) //nolint:gosec // a file descriptor is small
}
