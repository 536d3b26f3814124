package cli

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/shared/config"
	"github.com/erpconnector/erpconnector/shared/deadletter"
	"github.com/erpconnector/erpconnector/shared/kafka"
)

// deadletterCommand lists letters from the table and reads records from the topic: the table keeps nothing of their content.
func deadletterCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "deadletter", Short: "See the records that nobody could read, and decide about them",
		Long: "A record that its reader could not use stands among the dead letters, with the reason. One that kept an order going has\n" +
			"stopped the order: its status is failed. resync-order sends such an order again, as it is known now, and discards the letter.\n" +
			"redrive sends the very record back to where it came from, once the cause is gone.",
	}
	cmd.AddCommand(deadletterListCommand(), deadletterShowCommand(), deadletterRedriveCommand(), deadletterDiscardCommand())
	return cmd
}

// deadletterListCommand shows the open letters unless asked otherwise: those are the ones that wait for somebody.
//
//	ID  STATE  WRITTEN              BY      ORDER      STOPPED       FROM                            REASON
//	17  open   2024-01-15 10:30:00  syncer  000000123  generation 1  vendor_erp_sync_requested/3@10  no JSON
func deadletterListCommand() *cobra.Command {
	var words deadletter.Words
	var after int64
	var limit int
	cmd := &cobra.Command{
		Use: "list", Short: "List dead letters, the oldest first", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			f, err := letterFilter(cmd, words)
			if err != nil {
				return err
			}
			if f.After, f.Limit = after, limit; limit < 1 {
				return fmt.Errorf("--limit is %d; it must be at least 1", limit)
			}
			return withDatabase(cmd.Context(), func(_ config.Config, pool *pgxpool.Pool) error {
				entries, more, err := deadletter.List(cmd.Context(), pool, f)
				if err != nil {
					return err
				}
				next := ""
				if more {
					next = nextPage(cmd, nil, fmt.Sprint(entries[len(entries)-1].ID))
				}
				return printLetters(cmd.OutOrStdout(), entries, next)
			})
		},
	}
	cmd.Flags().StringVar(&words.State, "state", "open", "open, redriven, discarded or all")
	letterFlags(cmd, &words)
	cmd.Flags().Int64Var(&after, "after", -1, "start after this id")
	cmd.Flags().IntVar(&limit, "limit", 50, "letters at most")
	return cmd
}

// letterFlags select dead letters, by the words of the API.
func letterFlags(cmd *cobra.Command, w *deadletter.Words) {
	flags := cmd.Flags()
	flags.StringVar(&w.Topic, "topic", "", "only records of this topic, without the prefix")
	flags.StringVar(&w.Cause, "cause", "", "only with this in the reason, in small or capital letters")
	flags.StringVar(&w.Source, "source", "", "only orders of this shop")
	flags.StringVar(&w.Order, "order", "", "only of this order (of the shop default, unless --source names another)")
	flags.StringVar(&w.Since, "since", "", "only written at this time or later: 2024-01-15T10:00:00Z, or 2024-01-15 (UTC)")
	flags.StringVar(&w.Until, "until", "", "and before this time")
}

// letterFilter refuses an empty word: it is more likely an unfilled variable of a script than all.
func letterFilter(cmd *cobra.Command, w deadletter.Words) (f deadletter.Filter, err error) {
	f, wrong := w.Filter()
	for _, name := range []string{"topic", "cause", "source", "order", "since", "until"} {
		if flag := cmd.Flags().Lookup(name); flag.Changed && flag.Value.String() == "" {
			err = errors.Join(err, fmt.Errorf("--%s is empty; leave it out to select all", name))
		}
	}
	for _, one := range wrong {
		err = errors.Join(err, fmt.Errorf("--%s %s", one.Parameter, one.Detail))
	}
	return f, err
}

// printLetters shortens what others wrote, so that a letter stays on its line. `show` prints more of it.
func printLetters(w io.Writer, entries []deadletter.Entry, next string) error {
	if len(entries) == 0 {
		_, err := fmt.Fprintln(w, "there are no such dead letters")
		return err
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(t, "ID\tSTATE\tWRITTEN\tBY\tORDER\tSTOPPED\tFROM\tREASON")
	for _, e := range entries {
		stopped := "-"
		if e.Generation != nil {
			stopped = fmt.Sprintf("generation %d", *e.Generation)
		}
		_, _ = fmt.Fprintf(t, "%d\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", e.ID, e.State, e.WrittenAt.Format(time.DateTime), shown(shorten(string(e.By), 40)),
			shown(shorten(e.OrderKey, 60)), stopped, cameFrom(e.Letter), shorten(e.Reason, 100))
	}
	if next != "" {
		_, _ = fmt.Fprintf(t, "there are more: %s\n", next)
	}
	return t.Flush()
}

// cameFrom is where the record stood: topic/partition@offset. A letter of a row that was never relayed has no such place.
func cameFrom(l deadletter.Letter) string {
	if l.Topic == "" {
		return "not said"
	}
	return fmt.Sprintf("%s/%d@%d", shorten(l.Topic, 60), l.Partition, l.Offset)
}

// deadletterShowCommand asks the table first. An id that is not there is told at once, and not after the brokers' time-out.
func deadletterShowCommand() *cobra.Command {
	var value bool
	cmd := &cobra.Command{
		Use: "show ID", Short: "Show a dead letter with its record, which may hold a customer's data", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ids, err := parseIDs(args, "deadletter list")
			if err != nil {
				return err
			}
			return withLog(cmd.Context(), func(_ config.Config, brokers kafka.Config, pool *pgxpool.Pool) error {
				e, err := deadletter.Get(cmd.Context(), pool, ids[0])
				if err != nil {
					return err
				}
				record, err := deadletter.Fetch(cmd.Context(), brokers, e.Letter)
				if err != nil {
					return err
				}
				if value {
					return printBytes(cmd.OutOrStdout(), record.Value)
				}
				return printLetter(cmd.OutOrStdout(), e, record)
			})
		},
	}
	cmd.Flags().BoolVar(&value, "value", false, "print the record's value alone, byte for byte; a terminal gets it with escapes")
	return cmd
}

// printLetter prints one letter with its record. A value is cut: it may be as large as a record can be, and --value prints all of it.
func printLetter(w io.Writer, e deadletter.Entry, record *kgo.Record) error {
	var b strings.Builder
	fmt.Fprintf(&b, "id        %d\nstate     %s\nwritten   %s by %s\nreason    %s\nfrom      %s\nkey       %s\n", e.ID, e.State, e.WrittenAt.Format(time.RFC3339),
		shown(shorten(string(e.By), 100)), shorten(e.Reason, 2000), cameFrom(e.Letter), shorten(e.OrderKey, 600))
	if e.Generation != nil {
		fmt.Fprintf(&b, "stopped   generation %d of the order\n", *e.Generation)
	}
	if e.Redrives > 0 {
		fmt.Fprintf(&b, "redrives  its record was sent back %s before, and came back\n", counted(e.Redrives, "time"))
	}
	if e.DecidedAt != nil {
		fmt.Fprintf(&b, "decided   %s by %s: %s\n", e.DecidedAt.Format(time.RFC3339), shorten(*e.DecidedBy, 100), shorten(*e.Decision, 600))
	}
	b.WriteString("\n")
	for _, h := range record.Headers {
		fmt.Fprintf(&b, "%s: %s\n", shorten(h.Key, 200), shorten(string(h.Value), 2000))
	}
	content := record.Value
	if len(content) > showBytes {
		content = content[:showBytes]
	}
	fmt.Fprintf(&b, "\n%s\n", shorten(string(content), 8*showBytes))
	if len(content) < len(record.Value) {
		fmt.Fprintf(&b, "… %d bytes in all: erpconnector deadletter show %d --value\n", len(record.Value), e.ID)
	}
	_, err := io.WriteString(w, b.String())
	return err
}
