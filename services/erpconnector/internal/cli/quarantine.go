package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
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
	"github.com/erpconnector/erpconnector/shared/spelling"
)

// quarantineCommand is a loop for an operator: list, show, correct, send.
//
//	erpconnector quarantine list
//	erpconnector quarantine show 7 --payload > event.json   # and correct it
//	erpconnector quarantine send 7 --event event.json
//	7  accepted: order 000000123 is queued
func quarantineCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "quarantine", Short: "See and send again what was refused from the commerce outbox",
		Long: "Events that a shop published in its own transaction and that cannot be accepted wait here, with the reason.\n" +
			"Correct what is wrong, then send them again: what is accepted leaves the quarantine.",
	}
	cmd.AddCommand(quarantineListCommand(), quarantineShowCommand(), quarantineSendCommand())
	return cmd
}

// quarantineListCommand lists the oldest first: they wait longest, and often the first one shows the fault of all.
func quarantineListCommand() *cobra.Command {
	var f ingest.QuarantineFilter
	cmd := &cobra.Command{
		Use: "list", Short: "List the quarantine, oldest first", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkFilter(f); err != nil {
				return err
			}
			if f.Limit < 1 {
				return fmt.Errorf("--limit is %d; it must be 1 or more", f.Limit)
			}
			return withQuarantine(cmd.Context(), func(q *ingest.Quarantine) error {
				entries, err := q.List(cmd.Context(), f)
				if err != nil {
					return err
				}
				next := ""
				if len(entries) == f.Limit {
					next = nextPage(cmd, nil, fmt.Sprint(entries[len(entries)-1].ID))
				}
				return printQuarantine(cmd.OutOrStdout(), entries, next)
			})
		},
	}
	filterFlags(cmd, &f)
	cmd.Flags().Int64Var(&f.After, "after", 0, "start after this id")
	cmd.Flags().IntVar(&f.Limit, "limit", 50, "entries at most")
	return cmd
}

// filterFlags are the same for list and send --all, so that what was listed is what is sent.
func filterFlags(cmd *cobra.Command, f *ingest.QuarantineFilter) {
	cmd.Flags().StringVar(&f.Source, "source", "", "only of this shop")
	cmd.Flags().StringVar((*string)(&f.Code), "code", "", "only for this reason: "+strings.Join(quarantineCodes(), ", "))
}

// checkFilter refuses what selects nothing: "nothing is in the quarantine" would be said of a misspelt reason.
func checkFilter(f ingest.QuarantineFilter) error {
	var err error
	if f.Code != "" && !slices.Contains(ingest.QuarantineCodes, f.Code) {
		err = fmt.Errorf("--code %s is no reason: %s", f.Code, spelling.Hint(string(f.Code), quarantineCodes()))
	}
	if f.Source != "" {
		err = errors.Join(err, domain.ValidateSource(f.Source))
	}
	return err
}

// quarantineCodes are the reasons as texts, for the flag's help and for suggestions.
func quarantineCodes() (names []string) {
	for _, code := range ingest.QuarantineCodes {
		names = append(names, string(code))
	}
	return names
}

// printQuarantine prints one entry a line, with its first reason alone. `show` has all of them.
func printQuarantine(w io.Writer, entries []ingest.QuarantineEntry, next string) error {
	if len(entries) == 0 {
		_, err := fmt.Fprintln(w, "nothing is in the quarantine")
		return err
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(t, "ID\tSHOP\tEVENT\tTRIES\tSINCE\tREASON")
	for _, e := range entries {
		_, _ = fmt.Fprintf(t, "%d\t%s\t%s\t%d\t%s\t%s: %s\n", e.ID, domain.Printable(e.Source), shorten(e.EventID, 40), e.Tries,
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
	fmt.Fprintf(&b, "id             %d\nshop           %s\nevent          %s\npublished      %s\nlast refused   %s (%d times)\nreason         %s\n",
		e.ID, domain.Printable(e.Source), domain.Printable(e.EventID), e.PublishedAt.UTC().Format(time.RFC3339), e.QuarantinedAt.UTC().Format(time.RFC3339), e.Tries, e.Code)
	for _, p := range e.Problems {
		fmt.Fprintf(&b, "  %s\n", domain.Printable(p.Error()))
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

// quarantineSendCommand wants ids or --all, never neither: "all" must not be what a forgotten argument means.
func quarantineSendCommand() *cobra.Command {
	var f ingest.QuarantineFilter
	var all bool
	var file string
	cmd := &cobra.Command{
		Use: "send ID… | --all", Short: "Send events again; what is accepted leaves the quarantine",
		RunE: func(cmd *cobra.Command, args []string) error {
			ids, err := parseIDs(args, "quarantine list")
			if err = errors.Join(err, checkFilter(f)); err != nil {
				return err
			}
			switch {
			case all == (len(ids) > 0):
				return errors.New("name entries by their ids, or give --all (with --source or --code: all of those)")
			case !all && f != ingest.QuarantineFilter{}:
				return errors.New("--source and --code go with --all: leave them out, or leave out the ids")
			case file != "" && len(ids) != 1:
				return errors.New("--event goes with one id")
			}
			return withQuarantine(cmd.Context(), func(q *ingest.Quarantine) error {
				if file != "" {
					return sendCorrected(cmd.Context(), cmd.OutOrStdout(), q, ids[0], file)
				}
				if all {
					if ids, err = allIDs(cmd.Context(), q, f); err != nil {
						return err
					}
				}
				return send(cmd.Context(), cmd.OutOrStdout(), q, ids)
			})
		},
	}
	filterFlags(cmd, &f)
	cmd.Flags().BoolVar(&all, "all", false, "all entries, or those that --source and --code select")
	cmd.Flags().StringVar(&file, "event", "", "send this file's event in place of the one that was refused, which stays unless it is accepted; - is standard input")
	return cmd
}

// sendCorrected reads standard input such that Ctrl-C ends it (readAll), as nothing else would while the terminal waits.
func sendCorrected(ctx context.Context, w io.Writer, q *ingest.Quarantine, id int64, file string) error {
	read := os.ReadFile
	if file == "-" {
		read = func(string) ([]byte, error) { return readAll(ctx, os.Stdin) }
	}
	event, err := read(file)
	if err != nil {
		return fmt.Errorf("reading the event: %w", err)
	}
	sent, err := q.SendCorrected(ctx, id, event)
	if err != nil {
		return err
	}
	return report(w, []ingest.Sent{sent}, 1)
}

// allIDs are those of now. What comes into the quarantine meanwhile waits for the next call, so that this one ends.
func allIDs(ctx context.Context, q *ingest.Quarantine, f ingest.QuarantineFilter) ([]int64, error) {
	entries, err := q.List(ctx, f)
	ids := make([]int64, len(entries))
	for i, e := range entries {
		ids[i] = e.ID
	}
	return ids, err
}

// send reports also what was done before an error: that is sent, whatever came after it.
func send(ctx context.Context, w io.Writer, q *ingest.Quarantine, ids []int64) error {
	sent, err := q.Send(ctx, ids)
	return errors.Join(report(w, sent, len(ids)), err)
}

// report tells of each entry what became of it; some still refused is an error.
func report(w io.Writer, sent []ingest.Sent, wanted int) (err error) {
	refused := 0
	for _, s := range sent {
		line := fmt.Sprintf("%d  %s", s.ID, s.Result.Result)
		if s.Result.Result.Taken() && s.Result.OrderIncrementID != "" {
			line += fmt.Sprintf(": order %s is %s", domain.Printable(s.Result.OrderIncrementID), s.Result.Status)
		}
		if len(s.Result.Errors) > 0 {
			refused++
			line += ": " + domain.Printable(reason(ingest.QuarantineEntry{Problems: s.Result.Errors}))
		}
		if _, printErr := fmt.Fprintln(w, line); printErr != nil { // the entry was sent all the same
			err = errors.Join(err, fmt.Errorf("printing what became of entry %d: %w", s.ID, printErr))
		}
	}
	if missing := wanted - len(sent); missing > 0 {
		err = errors.Join(err, fmt.Errorf("%d of %d are not in the quarantine (any more), or are being sent by somebody else", missing, wanted))
	}
	if refused > 0 {
		err = errors.Join(err, fmt.Errorf("%d of %d were refused again and stay in the quarantine", refused, len(sent)))
	}
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
