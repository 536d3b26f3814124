package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/erpconnector/erpconnector/services/ingest"
	"github.com/erpconnector/erpconnector/shared/client"
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
func (c *chosen) check(cmd *cobra.Command, args []string) (ids []int64, err error) {
	ids, err = parseIDs(args, "quarantine list")
	if err = errors.Join(err, checkQuarantineWords(cmd, c.words)); err != nil {
		return nil, err
	}
	switch {
	case c.all == (len(ids) > 0):
		return nil, errors.New("name entries by their ids, or give --all (with --source or --code, for example: all of those)")
	case !c.all && !c.words.IsEmpty():
		return nil, errors.New("--source, --code and the others go with --all: leave them out, or leave out the ids")
	}
	return ids, nil
}

// allSince is before the first entry: a word that selects all of them, as the API wants one.
const allSince = "1970-01-01"

// selection is the body that selects what flags do.
func (c *chosen) selection(cmd *cobra.Command) map[string]any {
	body := map[string]any{"dry_run": c.dryRun, "limit": 100}
	for name, word := range givenWords(cmd, ingest.QuarantineSelectingWords) {
		body[name] = word
	}
	if c.words.IsEmpty() {
		body["since"] = allSince
	}
	return body
}

// bulkRequest decides about the open entries that a body selects.
type bulkRequest func(ctx context.Context, c connector, body io.Reader, edit client.RequestEditorFn) (*http.Response, error)

// page decides about one page of entries.
func (b bulkRequest) page(ctx context.Context, c connector, body map[string]any) (page client.QuarantineBulk, err error) {
	raw, err := json.Marshal(body)
	if err != nil {
		return page, err
	}
	err = c.change(ctx, func(ctx context.Context, edit client.RequestEditorFn) (*http.Response, error) {
		return b(ctx, c, bytes.NewReader(raw), edit)
	}, &page)
	return page, err
}

// each decides page by page, and tells of each entry. What comes into the quarantine meanwhile may be among the last ones.
func (b bulkRequest) each(ctx context.Context, c connector, body map[string]any, tell func(client.QuarantineBulkResult)) error {
	body = maps.Clone(body)
	for {
		page, err := b.page(ctx, c, body)
		for _, result := range page.Results {
			tell(result)
		}
		if err != nil || page.Next == nil {
			return err
		}
		body["cursor"] = *page.Next
	}
}

// try says what would become of an open entry that is named; found is false when there is none. The API tries what words select: here the
// entry's shop and place do.
func (b bulkRequest) try(ctx context.Context, c connector, id int64) (result client.QuarantineBulkResult, found bool, err error) {
	var e shownEntry
	_, err = c.get(ctx, func(ctx context.Context, edit client.RequestEditorFn) (*http.Response, error) {
		return c.ShowQuarantined(ctx, id, edit)
	}, nil, &e)
	if hasCode(err, "quarantine_entry_not_found") {
		return result, false, nil
	}
	if err != nil {
		return result, false, err
	}
	body := map[string]any{"source": e.Source, "cursor": strconv.FormatInt(id-1, 10), "limit": 1, "dry_run": true}
	page, err := b.page(ctx, c, body)
	if err != nil || len(page.Results) == 0 || page.Results[0].Id != id {
		return result, false, err
	}
	return page.Results[0], true, nil
}

func sendSelected(ctx context.Context, c connector, body io.Reader, edit client.RequestEditorFn) (*http.Response, error) {
	return c.SendQuarantineWithBody(ctx, jsonType, body, edit)
}

func discardSelected(ctx context.Context, c connector, body io.Reader, edit client.RequestEditorFn) (*http.Response, error) {
	return c.DiscardQuarantineWithBody(ctx, jsonType, body, edit)
}

func quarantineSendCommand(r *remote) *cobra.Command {
	var chosen chosen
	var file string
	cmd := &cobra.Command{
		Use: "send ID… | --all", Short: "Send events again; what is accepted leaves the quarantine",
		Example: "  erpconnector quarantine send 7 8\n  erpconnector quarantine send --all --code unknown_order --dry-run\n  erpconnector quarantine send 7 --event event.json",
		RunE: func(cmd *cobra.Command, args []string) error {
			ids, err := chosen.check(cmd, args)
			switch {
			case err != nil:
				return err
			case file != "" && (len(ids) != 1 || chosen.dryRun):
				return errors.New("--event goes with one id, and not with --dry-run")
			}
			return r.ask(cmd.Context(), func(c connector) error {
				told := &toldEntries{w: cmd.OutOrStdout(), wanted: len(ids), dryRun: chosen.dryRun}
				switch {
				case file != "":
					err = sendCorrected(cmd.Context(), c, ids[0], file, told)
				case chosen.all:
					err = bulkRequest(sendSelected).each(cmd.Context(), c, chosen.selection(cmd), told.result)
				case chosen.dryRun:
					err = tryEach(cmd.Context(), c, sendSelected, ids, told)
				default:
					err = sendEach(cmd.Context(), c, ids, told)
				}
				return told.end(err)
			})
		},
	}
	chosen.flags(cmd)
	cmd.Flags().StringVar(&file, "event", "", "send this file's event in place of the one that was refused, which stays unless it is accepted; - is standard input")
	return cmd
}

// tryEach tells what would become of the entries that are named.
func tryEach(ctx context.Context, c connector, b bulkRequest, ids []int64, told *toldEntries) error {
	for _, id := range ids {
		result, found, err := b.try(ctx, c, id)
		if err != nil {
			return err
		}
		if found {
			told.result(result)
		}
	}
	return nil
}

func sendEach(ctx context.Context, c connector, ids []int64, told *toldEntries) error {
	for _, id := range ids {
		err := sendOne(ctx, c, id, client.CorrectedBody{}, told)
		if err != nil && !isNotThere(err) { // that is counted
			return err
		}
	}
	return nil
}

// isNotThere reports whether nothing could be done about an entry, as it is not there or somebody else is at it.
func isNotThere(err error) bool {
	return hasCode(err, "quarantine_entry_not_found") || hasCode(err, "quarantine_entry_not_open")
}

// sendOne sends an entry, or the body's event in its place, and tells what became of it.
func sendOne(ctx context.Context, c connector, id int64, body client.CorrectedBody, told *toldEntries) error {
	var sent client.SentEntry
	err := c.change(ctx, func(ctx context.Context, edit client.RequestEditorFn) (*http.Response, error) {
		if body.Event == nil {
			return c.SendQuarantinedWithBody(ctx, id, jsonType, nil, edit)
		}
		return c.SendQuarantined(ctx, id, body, edit)
	}, &sent)
	var p *client.ProblemError
	switch {
	case err == nil:
		told.sent(sent)
	case errors.As(err, &p) && (p.Code == "event_refused" || p.Code == "event_conflict"):
		refused := client.QuarantineBulkResult{Id: id, Result: "refused", Errors: p.Errors}
		if p.Code == "event_conflict" {
			refused.Result = "conflict"
		}
		told.result(refused)
	default:
		return err
	}
	return nil
}

// sendCorrected reads standard input such that Ctrl-C ends it (readAll), as nothing else would while the terminal waits.
func sendCorrected(ctx context.Context, c connector, id int64, file string, told *toldEntries) error {
	read := os.ReadFile
	if file == "-" {
		read = func(string) ([]byte, error) { return readAll(ctx, os.Stdin) }
	}
	event, err := read(file)
	if err != nil {
		return fmt.Errorf("reading the event: %w", err)
	}
	if !json.Valid(event) {
		told.result(client.QuarantineBulkResult{Id: id, Result: "refused", Errors: &[]client.FieldError{{Detail: "the event is not JSON"}}})
		return nil
	}
	return sendOne(ctx, c, id, client.CorrectedBody{Event: json.RawMessage(event)}, told)
}

// quarantineDiscardCommand keeps who discarded what, and why, as long as quarantine_retention says.
func quarantineDiscardCommand(r *remote) *cobra.Command {
	var chosen chosen
	var reason string
	cmd := &cobra.Command{
		Use: "discard ID… | --all", Short: "Note that events are not needed; they are deleted when quarantine_retention is over",
		Example: "  erpconnector quarantine discard 7 --reason 'a test of the shop'\n  erpconnector quarantine discard --all --event-id test-1 --dry-run",
		RunE: func(cmd *cobra.Command, args []string) error {
			ids, err := chosen.check(cmd, args)
			if err != nil {
				return err
			}
			if wrong := ingest.CheckQuarantineReason(reason); len(wrong) > 0 && !chosen.dryRun {
				return fmt.Errorf("--reason %s", wrong[0].Detail)
			}
			return r.ask(cmd.Context(), func(c connector) error {
				told := &toldEntries{w: cmd.OutOrStdout(), wanted: len(ids), dryRun: chosen.dryRun, open: true}
				switch {
				case chosen.all:
					body := chosen.selection(cmd)
					if reason != "" {
						body["reason"] = reason
					}
					err = bulkRequest(discardSelected).each(cmd.Context(), c, body, told.result)
				case chosen.dryRun:
					err = tryEach(cmd.Context(), c, discardSelected, ids, told)
				default:
					err = discardEach(cmd.Context(), c, ids, reason, told)
				}
				return told.end(err)
			})
		},
	}
	chosen.flags(cmd)
	cmd.Flags().StringVar(&reason, "reason", "", "why; it is kept with the entry")
	return cmd
}

func discardEach(ctx context.Context, c connector, ids []int64, reason string, told *toldEntries) error {
	for _, id := range ids {
		err := c.change(ctx, func(ctx context.Context, edit client.RequestEditorFn) (*http.Response, error) {
			return c.DiscardQuarantined(ctx, id, client.DiscardBody{Reason: reason}, edit)
		}, nil)
		switch {
		case err == nil:
			told.result(client.QuarantineBulkResult{Id: id, Result: "discarded"})
		case !isNotThere(err): // that is counted
			return err
		}
	}
	return nil
}

// toldEntries tells of each entry what became of it, and counts.
type toldEntries struct {
	w      io.Writer
	wanted int // that were named
	dryRun bool
	open   bool // only open ones were wanted

	told, skipped, refused int
	err                    error
}

// sent tells of an entry that was accepted, or was there before.
func (t *toldEntries) sent(s client.SentEntry) {
	line := string(s.Result)
	if s.OrderIncrementId != nil {
		line += ": order " + *s.OrderIncrementId
		if s.Status != nil {
			line += " is " + string(*s.Status)
		}
	}
	t.line(s.Id, line)
}

func (t *toldEntries) result(r client.QuarantineBulkResult) {
	switch {
	case r.Result == "skipped":
		t.skipped++
		return
	case r.Errors != nil && len(*r.Errors) > 0:
		t.refused++
		t.line(r.Id, r.Result+": "+firstReason(*r.Errors))
	case r.OrderIncrementId != nil && !t.dryRun && r.Result != "discarded":
		t.line(r.Id, r.Result+": order "+*r.OrderIncrementId)
	default:
		t.line(r.Id, r.Result)
	}
}

// line prints what became of an entry, or would. That it could not be printed changes nothing of it.
func (t *toldEntries) line(id int64, said string) {
	t.told++
	if t.dryRun {
		said = "would be " + said
	}
	if _, err := fmt.Fprintf(t.w, "%d  %s\n", id, domain.Printable(said)); err != nil {
		t.err = errors.Join(t.err, fmt.Errorf("printing what became of entry %d: %w", id, err))
	}
}

// end says what was not done, unless failed says why. A refusal is no error of a preview.
func (t *toldEntries) end(failed error) error {
	err := t.err
	gone := "not in the quarantine (any more)"
	if t.open {
		gone = "not open in the quarantine (any more)"
	}
	wanted := max(t.wanted, t.told+t.skipped)
	if missing := wanted - t.told; missing > 0 && failed == nil {
		err = errors.Join(err, fmt.Errorf("%d of %d are %s, or are being sent by somebody else", missing, wanted, gone))
	}
	if t.refused > 0 && !t.dryRun {
		err = errors.Join(err, fmt.Errorf("%d of %d were refused again and stay in the quarantine", t.refused, t.told))
	}
	return errors.Join(err, failed)
}
