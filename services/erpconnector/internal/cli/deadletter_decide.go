package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"

	"github.com/erpconnector/erpconnector/shared/config"
	"github.com/erpconnector/erpconnector/shared/deadletter"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/orders"
	"github.com/erpconnector/erpconnector/shared/setting"
)

// decision is what a command does about dead letters: about one that is named, or about those that words select.
type decision struct {
	use, short, done, would string

	connect func(ctx context.Context, use func(config.Config, kafka.Config, *pgxpool.Pool) error) error
	one     func(ctx context.Context, o *orders.Orders, brokers kafka.Config, r orders.DeadLetterRequest) error
	all     func(ctx context.Context, o *orders.Orders, brokers kafka.Config, b orders.Bulk) (orders.BulkResult, error)
}

func deadletterRedriveCommand() *cobra.Command {
	var b orders.Bulk
	cmd := decideCommand(decision{
		use: "redrive [ID…]", short: "Send records back to where they came from, once the cause is gone",
		done: "its record was sent back", would: "its record would be sent back", connect: withLog,
		one: func(ctx context.Context, o *orders.Orders, brokers kafka.Config, r orders.DeadLetterRequest) error {
			_, err := o.Redrive(ctx, brokers, r)
			return err
		},
		all: func(ctx context.Context, o *orders.Orders, brokers kafka.Config, b orders.Bulk) (orders.BulkResult, error) {
			return o.RedriveAll(ctx, brokers, b)
		},
	}, &b)
	cmd.Flags().BoolVar(&b.Force, "force", false, "also a record that was sent back twice and came back")
	return cmd
}

func deadletterDiscardCommand() *cobra.Command {
	return decideCommand(decision{
		use: "discard [ID…]", short: "Note that nothing more is to be done; an order that the letter has stopped stays failed",
		done: "discarded", would: "would be discarded",
		connect: func(ctx context.Context, use func(config.Config, kafka.Config, *pgxpool.Pool) error) error {
			return withDatabase(ctx, func(cfg config.Config, pool *pgxpool.Pool) error { return use(cfg, kafka.Config{}, pool) })
		},
		one: func(ctx context.Context, o *orders.Orders, _ kafka.Config, r orders.DeadLetterRequest) error {
			_, err := o.Discard(ctx, r)
			return err
		},
		all: func(ctx context.Context, o *orders.Orders, _ kafka.Config, b orders.Bulk) (orders.BulkResult, error) {
			return o.DiscardAll(ctx, b)
		},
	}, &orders.Bulk{})
}

// decideCommand decides about the letters that are named, or selected. What is refused does not keep it from the others.
func decideCommand(d decision, b *orders.Bulk) *cobra.Command {
	var words deadletter.Words
	var after int64
	var limit int
	cmd := &cobra.Command{
		Use: d.use, Short: d.short,
		RunE: func(cmd *cobra.Command, args []string) error {
			ids, err := parseIDs(args, "deadletter list")
			if err != nil {
				return err
			}
			if b.Filter, err = letterFilter(cmd, words); err != nil {
				return err
			}
			if b.Filter.After, b.Filter.Limit = after, limit; limit < 1 {
				return fmt.Errorf("--limit is %d; it must be at least 1", limit)
			}
			if err := checkDecision(*b, ids, words); err != nil {
				return err
			}
			return d.connect(cmd.Context(), func(cfg config.Config, brokers kafka.Config, pool *pgxpool.Pool) error {
				v, err := setting.NewStore(pool, cfg.Settings, nil).View(cmd.Context())
				if err != nil {
					return err
				}
				b.Who = osUser()
				return d.run(cmd, orders.New(pool, setting.Fixed(v.Settings)), brokers, *b, ids)
			})
		},
	}
	letterFlags(cmd, &words)
	cmd.Flags().Int64Var(&after, "after", -1, "of those that are selected, start after this id")
	cmd.Flags().IntVar(&limit, "limit", 100, "letters at most, of those that are selected")
	cmd.Flags().BoolVar(&b.DryRun, "dry-run", false, "do nothing; say what would be done about those that are selected")
	cmd.Flags().StringVar(&b.Reason, "reason", "", "why; it is kept with the letter")
	return cmd
}

func checkDecision(b orders.Bulk, ids []int64, words deadletter.Words) error {
	switch {
	case len(ids) > 0 && !words.IsEmpty():
		return errors.New("name dead letters by their ids, or select them, not both")
	case len(ids) > 0 && b.DryRun:
		return errors.New("--dry-run goes with what selects dead letters, like --order; erpconnector deadletter show ID shows one")
	case len(ids) == 0 && words.IsEmpty():
		return errors.New("name dead letters by their ids, or select them by --topic, --cause, --source, --order, --since or --until")
	}
	if wrong := b.Check(); len(wrong) > 0 && !b.DryRun {
		return fmt.Errorf("--reason %s", wrong[0].Detail)
	}
	return nil
}

func (d decision) run(cmd *cobra.Command, o *orders.Orders, brokers kafka.Config, b orders.Bulk, ids []int64) (err error) {
	if len(ids) == 0 {
		result, err := d.all(cmd.Context(), o, brokers, b)
		return errors.Join(d.print(cmd, result, b.DryRun), err)
	}
	for _, id := range ids {
		r := b.DeadLetterRequest
		r.ID = id
		failed := d.one(cmd.Context(), o, brokers, r)
		if failed == nil {
			_, failed = fmt.Fprintf(cmd.OutOrStdout(), "%d  %s\n", id, d.done)
		}
		err = errors.Join(err, failed)
	}
	return err
}

// print says of each letter what became of it. What was refused is an error, and no error of a preview.
func (d decision) print(cmd *cobra.Command, r orders.BulkResult, dryRun bool) (err error) {
	var w strings.Builder
	done, refused := d.done, 0
	if dryRun {
		done = d.would
	}
	for _, l := range r.Letters {
		said := done
		if l.Refused != "" {
			said = "refused: " + shorten(l.Refused, 600)
			refused++
		}
		fmt.Fprintf(&w, "%d  %s  %s\n", l.ID, shown(shorten(l.OrderKey, 60)), said)
	}
	fmt.Fprintf(&w, "%d of the %d selected: %s; %d refused\n", len(r.Letters)-refused, r.Selected, done, refused)
	if r.More {
		fmt.Fprintf(&w, "there are more: %s\n", nextPage(cmd, nil, fmt.Sprint(r.Letters[len(r.Letters)-1].ID)))
	}
	if _, err := io.WriteString(cmd.OutOrStdout(), w.String()); err != nil {
		return err
	}
	if refused > 0 && !dryRun {
		return fmt.Errorf("%s refused", counted(refused, "dead letter"))
	}
	return nil
}
