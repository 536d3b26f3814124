package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"

	"github.com/erpconnector/erpconnector/services/ingest"
	"github.com/erpconnector/erpconnector/shared/config"
	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/logging"
	"github.com/erpconnector/erpconnector/shared/setting"
)

// quarantineCommand is a loop for an operator: list, show, correct, send.
//
//	erpconnector quarantine list
//	erpconnector quarantine show 7 --payload > event.json   # and correct it
//	erpconnector quarantine send 7 --event event.json
//	7  accepted: order 000000123 is queued
func quarantineCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "quarantine", Short: "See what was refused, over HTTP or from the commerce outbox, and send it again",
		Long: "Events that cannot be accepted wait here, with the reason.\n" +
			"Correct what is wrong, then send them again: what is accepted leaves the quarantine. What is not needed is discarded.",
	}
	cmd.AddCommand(quarantineListCommand(), quarantineShowCommand(), quarantineSendCommand(), quarantineDiscardCommand())
	return cmd
}

// quarantineListCommand lists the oldest first: they wait longest, and often the first one shows the fault of all.
func quarantineListCommand() *cobra.Command {
	var words ingest.QuarantineWords
	var after int64
	var limit int
	cmd := &cobra.Command{
		Use: "list", Short: "List the quarantine, oldest first", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			f, err := quarantineFilter(cmd, words)
			if err != nil {
				return err
			}
			if f.After, f.Limit = after, limit; limit < 1 {
				return fmt.Errorf("--limit is %d; it must be 1 or more", limit)
			}
			return withQuarantine(cmd.Context(), func(q *ingest.Quarantine) error {
				entries, after, err := entriesOf(cmd.Context(), q, f)
				if err != nil {
					return err
				}
				next := ""
				if after > 0 {
					next = nextPage(cmd, nil, fmt.Sprint(after))
				}
				return printQuarantine(cmd.OutOrStdout(), entries, next)
			})
		},
	}
	cmd.Flags().StringVar(&words.State, "state", "open", "open, discarded or all")
	quarantineFlags(cmd, &words)
	cmd.Flags().Int64Var(&after, "after", 0, "start after this id")
	cmd.Flags().IntVar(&limit, "limit", 50, "entries at most")
	return cmd
}

// entriesOf reads pages until it has as many entries as the filter allows (0: all); next is the id to go on after.
func entriesOf(ctx context.Context, q *ingest.Quarantine, f ingest.QuarantineFilter) (entries []ingest.QuarantineEntry, next int64, err error) {
	limit := f.Limit
	for {
		page, err := q.List(ctx, f)
		if err != nil {
			return nil, 0, err
		}
		entries = append(entries, page.Entries...)
		if page.Next == 0 || (limit > 0 && len(entries) == limit) {
			return entries, page.Next, nil
		}
		f.After = page.Next
		if limit > 0 {
			f.Limit = limit - len(entries)
		}
	}
}

// quarantineFlags are the same for list, send --all and discard --all, so that what was listed is what is decided about.
func quarantineFlags(cmd *cobra.Command, w *ingest.QuarantineWords) {
	flags := cmd.Flags()
	flags.StringVar(&w.Door, "door", "", "only what came through this door: "+listed(ingest.QuarantineDoors))
	flags.StringVar(&w.Source, "source", "", "only of this shop")
	flags.StringVar(&w.Code, "code", "", "only for this reason: "+listed(ingest.QuarantineCodes))
	flags.StringVar(&w.Order, "order", "", "only about this order (of the shop default, unless --source names another)")
	flags.StringVar(&w.EventID, "event-id", "", "only the event of this id")
	flags.StringVar(&w.Text, "text", "", "only with this in what is wrong, in small or capital letters")
	flags.StringVar(&w.Since, "since", "", "only refused last at this time or later: 2024-01-15T10:00:00Z, or 2024-01-15 (UTC)")
	flags.StringVar(&w.Until, "until", "", "and before this time")
}

// quarantineFilter refuses what selects nothing: "nothing is in the quarantine" would be said of a misspelt reason. An empty word is more
// likely an unfilled variable of a script than all.
func quarantineFilter(cmd *cobra.Command, w ingest.QuarantineWords) (f ingest.QuarantineFilter, err error) {
	f, wrong := w.Filter()
	for _, word := range ingest.QuarantineSelectingWords {
		name := flagOf(word)
		if flag := cmd.Flags().Lookup(name); flag.Changed && flag.Value.String() == "" {
			err = errors.Join(err, fmt.Errorf("--%s is empty; leave it out to select all", name))
		}
	}
	for _, one := range wrong {
		err = errors.Join(err, fmt.Errorf("--%s %s", flagOf(one.Parameter), one.Detail))
	}
	return f, err
}

// flagOf is the flag of a word.
func flagOf(word string) string { return strings.ReplaceAll(word, "_", "-") }

// listed puts names into a sentence.
func listed[T ~string](names []T) string {
	texts := make([]string, len(names))
	for i, n := range names {
		texts[i] = string(n)
	}
	return strings.Join(texts, ", ")
}

// printQuarantine prints one entry a line, with its first reason alone. `show` has all of them.
func printQuarantine(w io.Writer, entries []ingest.QuarantineEntry, next string) error {
	if len(entries) == 0 {
		_, err := fmt.Fprintln(w, "nothing is in the quarantine")
		return err
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(t, "ID\tDOOR\tSHOP\tEVENT\tTRIES\tSINCE\tREASON")
	for _, e := range entries {
		_, _ = fmt.Fprintf(t, "%d\t%s\t%s\t%s\t%d\t%s\t%s: %s\n", e.ID, e.Door, domain.Printable(e.Source), shorten(e.EventID, 40), e.Tries,
			e.PublishedAt.UTC().Format(time.DateTime), e.Code, shorten(reason(e), 100))
	}
	if next != "" {
		_, _ = fmt.Fprintf(t, "there may be more: %s\n", next)
	}
	return t.Flush()
}

// reason is the entry's first problem, and how many more there are.
func reason(e ingest.QuarantineEntry) string {
	if len(e.Problems) == 0 {
		return ""
	}
	text := e.Problems[0].Error()
	if more := len(e.Problems) - 1; more > 0 {
		text = fmt.Sprintf("%s (and %d more)", text, more)
	}
	return text
}

// shorten is the text as it may be shown, cut to so many characters.
func shorten(s string, most int) string {
	s = domain.Printable(s)
	if runes := []rune(s); len(runes) > most {
		return string(runes[:most-1]) + "…"
	}
	return s
}

// quarantineShowCommand prints a customer's data, which list does not.
func quarantineShowCommand() *cobra.Command {
	var payload bool
	cmd := &cobra.Command{
		Use: "show ID", Short: "Show one event with everything that is wrong with it", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ids, err := parseIDs(args, "quarantine list")
			if err != nil {
				return err
			}
			return withQuarantine(cmd.Context(), func(q *ingest.Quarantine) error {
				e, err := q.Get(cmd.Context(), ids[0])
				if err != nil {
					return err
				}
				if payload {
					return printBytes(cmd.OutOrStdout(), append(e.Payload, '\n'))
				}
				return printEntry(cmd.OutOrStdout(), e)
			})
		},
	}
	cmd.Flags().BoolVar(&payload, "payload", false, "print the event alone, as it was published: to correct it and send it with --event")
	return cmd
}

// printBytes prints what others wrote byte for byte, except on a terminal, which would obey what stands in it.
func printBytes(w io.Writer, content []byte) error {
	if onTerminal(w) {
		content = []byte(domain.PrintableLines(string(content)))
	}
	_, err := w.Write(content)
	return err
}

const showBytes = 4 << 10 // of the event; --payload prints all of it

// printEntry ends with the commands that come next, with this entry's id in them.
func printEntry(w io.Writer, e ingest.QuarantineEntry) error {
	var b strings.Builder
	first := "published   "
	if e.Door == ingest.QuarantineHTTP {
		first = "refused     "
	}
	fmt.Fprintf(&b, "id             %d\ndoor           %s\nshop           %s\nevent          %s\n"+first+"   %s\nlast refused   %s (%d times)\nreason         %s\n",
		e.ID, e.Door, domain.Printable(e.Source), domain.Printable(e.EventID), e.PublishedAt.UTC().Format(time.RFC3339), e.QuarantinedAt.UTC().Format(time.RFC3339), e.Tries, e.Code)
	for _, p := range e.Problems {
		fmt.Fprintf(&b, "  %s\n", domain.Printable(p.Error()))
	}
	if e.DiscardedAt != nil {
		fmt.Fprintf(&b, "discarded      %s by %s: %s\n", e.DiscardedAt.UTC().Format(time.RFC3339), shorten(*e.DiscardedBy, 100), shorten(*e.DiscardReason, 600))
	}
	event := e.Payload
	if len(event) > showBytes {
		event = event[:showBytes]
	}
	fmt.Fprintf(&b, "\n%s\n", domain.PrintableLines(string(event)))
	if len(event) < len(e.Payload) {
		fmt.Fprintf(&b, "… %d bytes in all: erpconnector quarantine show %d --payload\n", e.Bytes, e.ID)
	}
	fmt.Fprintf(&b, "\nTo send it again:           erpconnector quarantine send %d\nTo correct it and send it:  erpconnector quarantine show %d --payload > event.json\n"+
		"                            erpconnector quarantine send %d --event event.json\n", e.ID, e.ID, e.ID)
	_, err := io.WriteString(w, b.String())
	return err
}

// parseIDs reads ids, each once. A second one of its kind would be told as one that is gone, since the first has just been dealt with.
func parseIDs(args []string, list string) ([]int64, error) {
	var ids []int64
	for _, arg := range args {
		id, err := strconv.ParseInt(arg, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("%q is no id: erpconnector %s shows them", arg, list)
		}
		if !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// withQuarantine accepts under the settings in force, as the drainer would.
func withQuarantine(ctx context.Context, use func(*ingest.Quarantine) error) error {
	return withDatabase(ctx, func(cfg config.Config, pool *pgxpool.Pool) error {
		v, err := setting.NewStore(pool, cfg.Settings, nil).View(ctx)
		if err != nil {
			return err
		}
		return use(ingest.NewQuarantine(pool, setting.Fixed(v.Settings), logging.Stderr(cfg.LogLevel)))
	})
}
