package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/erpconnector/erpconnector/services/ingest"
	"github.com/erpconnector/erpconnector/shared/domain"
)

// chosen are the entries that a command is about: named by their ids, or all that words select.
type chosen struct {
	words  ingest.QuarantineWords
	all    bool
	dryRun bool
}

func (c *chosen) flags(cmd *cobra.Command) {
	quarantineFlags(cmd, &c.words)
	cmd.Flags().BoolVar(&c.all, "all", false, "all open entries, or those that --door, --source, --code, --order, --event-id, --text, --since and --until select")
	cmd.Flags().BoolVar(&c.dryRun, "dry-run", false, "do nothing; say what would become of each entry")
}

// check wants ids or --all, never neither: "all" must not be what a forgotten argument means.
func (c *chosen) check(cmd *cobra.Command, args []string) (ids []int64, f ingest.QuarantineFilter, err error) {
	ids, err = parseIDs(args, "quarantine list")
	f, wrong := quarantineFilter(cmd, c.words)
	if err = errors.Join(err, wrong); err != nil {
		return nil, f, err
	}
	switch {
	case c.all == (len(ids) > 0):
		return nil, f, errors.New("name entries by their ids, or give --all (with --source or --code, for example: all of those)")
	case !c.all && !c.words.IsEmpty():
		return nil, f, errors.New("--source, --code and the others go with --all: leave them out, or leave out the ids")
	}
	return ids, f, nil
}

// ids are the named ones, or those that are selected now. What comes into the quarantine meanwhile waits for the next call, so that this
// one ends.
func (c *chosen) ids(ctx context.Context, q *ingest.Quarantine, named []int64, f ingest.QuarantineFilter) ([]int64, error) {
	if !c.all {
		return named, nil
	}
	entries, _, err := entriesOf(ctx, q, f)
	ids := make([]int64, len(entries))
	for i, e := range entries {
		ids[i] = e.ID
	}
	return ids, err
}

func quarantineSendCommand() *cobra.Command {
	var c chosen
	var file string
	cmd := &cobra.Command{
		Use: "send ID… | --all", Short: "Send events again; what is accepted leaves the quarantine",
		RunE: func(cmd *cobra.Command, args []string) error {
			ids, f, err := c.check(cmd, args)
			switch {
			case err != nil:
				return err
			case file != "" && (len(ids) != 1 || c.dryRun):
				return errors.New("--event goes with one id, and not with --dry-run")
			}
			return withQuarantine(cmd.Context(), func(q *ingest.Quarantine) error {
				if file != "" {
					return sendCorrected(cmd.Context(), cmd.OutOrStdout(), q, ids[0], file)
				}
				ids, err := c.ids(cmd.Context(), q, ids, f)
				if err != nil {
					return err
				}
				if c.dryRun {
					sent, err := q.TrySend(cmd.Context(), ids)
					return errors.Join(preview(cmd.OutOrStdout(), sent), err)
				}
				return send(cmd.Context(), cmd.OutOrStdout(), q, ids)
			})
		},
	}
	c.flags(cmd)
	cmd.Flags().StringVar(&file, "event", "", "send this file's event in place of the one that was refused, which stays unless it is accepted; - is standard input")
	return cmd
}

// quarantineDiscardCommand keeps who discarded what, and why, as long as quarantine_retention says.
func quarantineDiscardCommand() *cobra.Command {
	var c chosen
	var reason string
	cmd := &cobra.Command{
		Use: "discard ID… | --all", Short: "Note that events are not needed; they are deleted when quarantine_retention is over",
		RunE: func(cmd *cobra.Command, args []string) error {
			ids, f, err := c.check(cmd, args)
			if err != nil {
				return err
			}
			if wrong := ingest.CheckQuarantineReason(reason); len(wrong) > 0 && !c.dryRun {
				return fmt.Errorf("--reason %s", wrong[0].Detail)
			}
			return withQuarantine(cmd.Context(), func(q *ingest.Quarantine) error {
				ids, err := c.ids(cmd.Context(), q, ids, f)
				if err != nil {
					return err
				}
				done := ids
				if !c.dryRun {
					done, err = q.Discard(cmd.Context(), ids, osUser(), reason)
				}
				return errors.Join(reportDiscarded(cmd.OutOrStdout(), done, len(ids), c.dryRun), err)
			})
		},
	}
	c.flags(cmd)
	cmd.Flags().StringVar(&reason, "reason", "", "why; it is kept with the entry")
	return cmd
}

// reportDiscarded tells which entries were discarded, or would be.
func reportDiscarded(w io.Writer, done []int64, wanted int, dryRun bool) error {
	said := "discarded"
	if dryRun {
		said = "would be discarded"
	}
	var b strings.Builder
	for _, id := range done {
		fmt.Fprintf(&b, "%d  %s\n", id, said)
	}
	_, err := io.WriteString(w, b.String())
	if missing := wanted - len(done); missing > 0 {
		err = errors.Join(err, fmt.Errorf("%d of %d are not open in the quarantine (any more), or are being sent by somebody else", missing, wanted))
	}
	return err
}

// preview tells of each entry what would become of it. A refusal is no error of a preview.
func preview(w io.Writer, sent []ingest.Sent) error {
	var b strings.Builder
	for _, s := range sent {
		fmt.Fprintf(&b, "%d  would be %s%s\n", s.ID, s.Result.Result, why(s))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// why is what is wrong with an entry that is not accepted.
func why(s ingest.Sent) string {
	if len(s.Result.Errors) == 0 {
		return ""
	}
	return ": " + domain.Printable(reason(ingest.QuarantineEntry{Problems: s.Result.Errors}))
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
			line += why(s)
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
