package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/term"

	"github.com/erpconnector/erpconnector/services/erpconnector/internal/replay"
	"github.com/erpconnector/erpconnector/shared/config"
	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/kafka/logreader"
	"github.com/erpconnector/erpconnector/shared/timeline"
)

// replayFlags are what the command is asked.
type replayFlags struct {
	order, source string
	from, until   string
	topics        []string
	resume        string
	to            string
	json          bool
}

// replayCommand is two commands in one, told apart by --order and --from: an order's records are found by its timeline, a range's by
// the brokers. Flags of the one are refused with the other, as each would be passed over in silence.
func replayCommand() *cobra.Command {
	var f replayFlags
	cmd := &cobra.Command{
		Use: "replay --order ID | --from TIME", Short: "Print the records of one order or of a range of time again, from the topics",
		Args: cobra.NoArgs,
		Long: "Print the records of one order or of a range of time again, as they stand in the topics: one JSON object a line, or on a\n" +
			"terminal a readable line each. Only what was committed is read. The records hold customers' data.\n\n" +
			"--order: the records of the order's timeline (DATABASE_URL), in its order, each fetched from where it stands; no topic is\n" +
			"scanned. The shop's own events (sales_order_event) are not on the timeline and are left out: --from finds them.\n\n" +
			"--from: the records published since, up to --to-time or to what is there now, found by the brokers' index of time. Each\n" +
			"partition of a topic comes in its order, so an order's records of one topic do too; topics and partitions come side by\n" +
			"side. With --resume a replay that was interrupted goes on where it stood; at most its last batch comes twice.\n\n" +
			"--to publishes the records to a topic of a subscriber in place of printing them, with the header replay: true.",
		Example: "  erpconnector replay --order 000000123\n" +
			"  erpconnector replay --from 2024-01-15T10:00:00Z --to-time 2024-01-15T11:00:00Z > events.ndjson\n" +
			"  erpconnector replay --from 2024-01-15 --topics vendor_erp_sync_success --to warehouse_replay --resume positions.json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case (f.order == "") == (f.from == ""):
				return errors.New("name an order (--order 000000123) or the start of a range (--from 2024-01-15T10:00:00Z)")
			case f.order == "" && cmd.Flags().Changed("source"):
				return errors.New("--source goes with --order: a range holds the records of all shops")
			case f.order == "":
				return replayRange(cmd, f)
			case f.until != "" || f.resume != "" || cmd.Flags().Changed("topics"):
				return errors.New("--to-time, --topics and --resume go with --from")
			}
			return replayOrder(cmd, f)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.order, "order", "", "the order's increment id")
	flags.StringVar(&f.source, "source", domain.DefaultSource, "the order's shop")
	flags.StringVar(&f.from, "from", "", "published at this time or later: 2024-01-15T10:00:00Z, or 2024-01-15 (UTC)")
	flags.StringVar(&f.until, "to-time", "", "published before this time (default: what is there now)")
	flags.StringSliceVar(&f.topics, "topics", replay.LogTopics(), "of these topics only, without the prefix")
	flags.StringVar(&f.resume, "resume", "", "keep the positions in this file, and go on from those in it")
	flags.StringVar(&f.to, "to", "", "publish to this topic, named as the brokers know it, in place of printing")
	flags.BoolVar(&f.json, "json", false, "JSON also on a terminal")
	return cmd
}

// replayOrder needs the database, which holds the timeline. It scans no topic.
func replayOrder(cmd *cobra.Command, f replayFlags) error {
	ref := domain.OrderRef{Source: f.source, IncrementID: f.order}
	if err := ref.Validate(); err != nil {
		return err
	}
	return withDatabase(cmd.Context(), func(cfg config.Config, pool *pgxpool.Pool) error {
		return withSink(cmd, cfg, f, func(brokers kafka.Config, sink logreader.Sink) error {
			err := replay.Order(cmd.Context(), brokers, pool, ref, sink)
			if errors.Is(err, timeline.ErrUnknown) {
				return fmt.Errorf("order %s of %s: %w; --source names another shop", f.order, f.source, err)
			}
			return err
		})
	})
}

// replayRange needs the brokers alone: it works while the database is away.
func replayRange(cmd *cobra.Command, f replayFlags) error {
	r := replay.Range{Topics: slices.Compact(slices.Sorted(slices.Values(f.topics)))}
	var err, untilErr error
	if r.From, err = parseTime("--from", f.from); f.until != "" {
		r.To, untilErr = parseTime("--to-time", f.until)
	}
	if err = errors.Join(err, untilErr); err == nil {
		err = r.Validate()
	}
	if err != nil {
		return err
	}
	cfg, err := config.FromEnv(environment(cmd.Context()))
	if err != nil {
		return err
	}
	return withSink(cmd, cfg, f, func(brokers kafka.Config, sink logreader.Sink) error {
		progress, err := progressOf(cmd.Context(), brokers, r, f)
		if err != nil {
			return err
		}
		shown := newBar(cmd.ErrOrStderr(), f.to != "" || !onTerminal(cmd.OutOrStdout()))
		defer shown.clear()
		return logreader.Read(cmd.Context(), brokers, progress.Spans, sink, func() error {
			shown.draw(progress.Done())
			if f.resume == "" {
				return nil
			}
			if err := onDisk(cmd.OutOrStdout()); err != nil {
				return err
			}
			return progress.Save(f.resume)
		})
	})
}

// onDisk makes sure that what was printed to a file is kept before the positions say that it was printed.
func onDisk(w io.Writer) error {
	f, ok := w.(*os.File)
	if !ok {
		return nil
	}
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return err
	}
	return f.Sync()
}

// progressOf is what an earlier replay left in the file, or that of one that begins.
func progressOf(ctx context.Context, brokers kafka.Config, r replay.Range, f replayFlags) (*replay.Progress, error) {
	if f.resume != "" {
		p, err := replay.Load(f.resume)
		if p != nil {
			err = p.Continues(r, f.to)
		}
		if err != nil {
			return nil, fmt.Errorf("--resume %s: %w", f.resume, err)
		}
		if p != nil {
			return p, nil
		}
	}
	p, err := replay.Locate(ctx, brokers, r)
	if err != nil {
		return nil, err
	}
	p.Target = f.to
	if f.resume != "" {
		err = p.Save(f.resume)
	}
	return p, err
}

// parseTime takes a day for its first moment in UTC. A time without a zone is refused, since people mean different ones.
func parseTime(flag, text string) (time.Time, error) {
	for _, layout := range []string{time.RFC3339Nano, time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("%s %q is no time: write 2024-01-15T10:00:00Z, or 2024-01-15 (UTC)", flag, text)
}

// counting tells how many records went through.
type counting struct {
	logreader.Sink
	records int
}

// Take passes the records on.
func (c *counting) Take(ctx context.Context, records []*kgo.Record) error {
	err := c.Sink.Take(ctx, records)
	if err == nil {
		c.records += len(records)
	}
	return err
}

// withSink is for what is to be printed, or published with --to: then it says how much was.
func withSink(cmd *cobra.Command, cfg config.Config, f replayFlags, use func(kafka.Config, logreader.Sink) error) error {
	brokers, err := kafkaOf(cfg)
	if err != nil {
		return err
	}
	if f.to == "" {
		return use(brokers, printer(brokers, cmd.OutOrStdout(), f.json))
	}
	publisher, err := replay.NewPublisher(cmd.Context(), brokers, f.to)
	if err != nil {
		return err
	}
	defer publisher.Close()
	sink := &counting{Sink: publisher}
	err = use(brokers, sink)
	_, printErr := fmt.Fprintf(cmd.OutOrStdout(), "%s published to %s\n", counted(sink.records, "record"), f.to)
	return errors.Join(err, printErr)
}

// kafkaOf gives the command a name of its own at the brokers, so that their logs tell a replay from a service.
func kafkaOf(cfg config.Config) (kafka.Config, error) {
	if len(cfg.KafkaBrokers) == 0 {
		return kafka.Config{}, errors.New("KAFKA_BROKERS is not set: name the brokers")
	}
	return cfg.Kafka().As("erpconnector-replay"), nil
}

// printer is readable where a person looks, and JSON where a program may: in a pipe or a file.
func printer(cfg kafka.Config, w io.Writer, asJSON bool) logreader.Sink {
	if !asJSON && onTerminal(w) {
		return replay.Timeline(cfg, w)
	}
	return replay.JSON(cfg, w)
}

// onTerminal is false for tests' buffers, pipes and files.
func onTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd())) //nolint:gosec // a file descriptor is small
}
