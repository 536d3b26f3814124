package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/erpconnector/erpconnector/services/api"
	"github.com/erpconnector/erpconnector/shared/bulk"
	"github.com/erpconnector/erpconnector/shared/client"
	"github.com/erpconnector/erpconnector/shared/domain"
)

// bulkCommand gives one command to many orders: preview, question, job. The scheduler carries the job out.
//
//	$ erpconnector bulk resync --status failed --error "no such sku" --reason "the catalogue is mended"
//	1001 orders, 12345.00 EUR; …
//	Start? [y/N]
func bulkCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "bulk", Short: "Send many orders again, cancel or settle them, and watch how it goes",
		Long: "A bulk command first shows what it would do: how many orders, what they are worth, which ones it would refuse, and how long it takes.\n" +
			"Once it is started, `erpconnector run scheduler` carries it out, at the ERP's pace; Ctrl-C here ends the watching only.",
		Example: "  erpconnector bulk resync --status failed --error 'no such sku' --reason 'the catalogue is mended'\n" +
			"  erpconnector bulk resync --status failed --dry-run\n" +
			"  erpconnector bulk cancel --id 17,18 --reason 'test orders' --yes\n" +
			"  erpconnector bulk list\n" +
			"  erpconnector bulk results 7 --result failed",
	}
	var r remote
	r.operator(cmd)
	for _, c := range bulk.Commands {
		cmd.AddCommand(bulkStartCommand(&r, c))
	}
	cmd.AddCommand(bulkListCommand(&r), bulkShowCommand(&r), bulkResultsCommand(&r))
	for _, c := range bulkChanges {
		cmd.AddCommand(bulkChangeCommand(&r, c))
	}
	return cmd
}

var bulkShorts = map[bulk.Command]string{
	bulk.Resync: "Send orders again", bulk.Cancel: "Cancel orders that wait: they are not sent",
	bulk.Settle: "Note that the ERP has orders already", bulk.SendNow: "Send orders that wait now",
}

// bulkWordMeanings go on from "only orders".
var bulkWordMeanings = map[string]string{
	"source": "of this shop", "status": "with one of these statuses, with commas between", "order": "with this increment id", "order_id": "with this number of the shop",
	"email": "of this customer", "erp_reference": "that the ERP calls so", "idempotency_key": "whose newest key is this",
	"error": "with this in the error; a number in it stands for any", "error_code": "with this code of the error, like erp_timeout",
	"error_group": "with errors of this kind, by its number", "http_status": "with this status of the answer that was the error",
	"attempts_from": "with at least so many attempts", "attempts_to": "with at most so many attempts",
	"created_since": "requested first at this time or later: 2024-01-15T10:00:00Z, 2024-01-15 (UTC), or an age like 24h",
	"created_until": "requested first before this time", "updated_since": "changed last at this time or later", "updated_until": "changed last before this time",
}

// bulkFlags are what a bulk command is asked for.
type bulkFlags struct {
	ids        []int64
	newKey     bool
	reason     string
	canary     int
	yes        bool
	dryRun     bool
	background bool
}

func (f *bulkFlags) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.reason, "reason", "", "why; it stands in the log of each order")
	cmd.Flags().BoolVar(&f.yes, "yes", false, "start without asking")
	cmd.Flags().BoolVar(&f.dryRun, "dry-run", false, "only show what would be done")
	cmd.Flags().BoolVar(&f.background, "background", false, "do not wait for the job's end")
}

func (f *bulkFlags) resyncFlags(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&f.newKey, "new-key", false, "under a new idempotency key: what the ERP has booked, it books again")
	cmd.Flags().IntVar(&f.canary, "canary", 0, "so many orders must succeed before the others go out; 0: none; the setting bulk_canary unless given")
}

func bulkStartCommand(r *remote, c bulk.Command) *cobra.Command {
	var f bulkFlags
	cmd := &cobra.Command{
		Use: string(c), Short: bulkShorts[c], Args: cobra.NoArgs,
		Example: fmt.Sprintf("  erpconnector bulk %s --status failed --source outlet --updated-since 24h --reason 'the catalogue is mended'", c),
		RunE: func(cmd *cobra.Command, _ []string) error {
			words := url.Values{}
			for name, word := range givenWords(cmd, api.BulkWords) {
				words.Set(name, word)
			}
			if err := f.check(c, words, func(name string) string { return "--" + flagOf(name) }); err != nil {
				return err
			}
			return r.ask(cmd.Context(), func(to connector) error { return runBulk(cmd, to, c, f, words) })
		},
	}
	for _, name := range api.BulkWords {
		cmd.Flags().String(flagOf(name), "", "only orders "+bulkWordMeanings[name])
	}
	completeWords(cmd, "status", true, domain.Statuses...)
	cmd.Flags().Int64SliceVar(&f.ids, "id", nil, "name orders by their sync ids, with commas between, in place of selecting them")
	f.flags(cmd)
	if c == bulk.Resync {
		f.resyncFlags(cmd)
	}
	return cmd
}

// check finds what cannot be, before a connector is asked. The words are those of the API; given is how one was given.
func (f *bulkFlags) check(c bulk.Command, words url.Values, given func(name string) string) (err error) {
	p := bulk.Plan{Command: c, NewKey: f.newKey, Reason: f.reason, Canary: f.canary, SyncIDs: f.ids}
	switch {
	case len(words) == 0 && len(f.ids) == 0:
		return errors.New("select orders, by --status or another flag, or name them by --id")
	case len(words) > 0 && len(f.ids) > 0:
		return errors.New("select orders, or name them by --id, not both")
	case len(words) > 0:
		filter, wrong := api.BulkFilter(words)
		for _, one := range wrong {
			err = errors.Join(err, fmt.Errorf("%s %s", given(one.Parameter), one.Detail))
		}
		p.Filter = &filter
	}
	flags := map[string]string{"/sync_ids": "--id", "/newKey": "--new-key", "/canary": "--canary", "/reason": "--reason"}
	for _, one := range p.Check() {
		if f.dryRun && one.Pointer == "/reason" {
			continue // nothing is done, so it stands nowhere
		}
		err = errors.Join(err, fmt.Errorf("%s %s", cmp.Or(flags[one.Pointer], one.Pointer), one.Detail))
	}
	return err
}

// body is what asks for a preview.
func (f *bulkFlags) body(cmd *cobra.Command, words url.Values) ([]byte, error) {
	body := map[string]any{}
	if f.dryRun && f.reason == "" {
		body["reason"] = "a preview"
	}
	if f.reason != "" {
		body["reason"] = f.reason
	}
	if len(f.ids) > 0 {
		body["sync_ids"] = f.ids
	}
	if f.newKey {
		body["newKey"] = true
	}
	if cmd.Flags().Changed("canary") {
		body["canary"] = f.canary
	}
	if len(words) > 0 {
		filter := map[string]string{}
		for name := range words {
			filter[name] = words.Get(name)
		}
		body["filter"] = filter
	}
	return json.Marshal(body)
}

// runBulk shows the preview, asks, starts the job, and watches it.
func runBulk(cmd *cobra.Command, c connector, command bulk.Command, f bulkFlags, words url.Values) error {
	body, err := f.body(cmd, words)
	if err != nil {
		return err
	}
	var preview client.BulkPreview
	err = c.change(cmd.Context(), func(ctx context.Context, edit client.RequestEditorFn) (*http.Response, error) {
		return c.previewBulk(ctx, command, body, edit)
	}, &preview)
	if err != nil {
		return err
	}
	if err := printPreview(cmd.OutOrStdout(), preview); err != nil {
		return err
	}
	if preview.Orders == 0 {
		return errors.New("no order matches; nothing was done")
	}
	if f.dryRun {
		_, err := fmt.Fprintln(cmd.ErrOrStderr(), "nothing was done: --dry-run")
		return err
	}
	if !f.yes {
		_, _ = fmt.Fprint(cmd.ErrOrStderr(), "Start? [y/N] ")
		yes, err := answersYes(cmd.Context(), os.Stdin)
		switch {
		case errors.Is(err, io.EOF):
			_, _ = fmt.Fprintln(cmd.ErrOrStderr())
			return errors.New("nothing was done, as nobody answers: give --yes")
		case err != nil:
			return err
		case !yes:
			return errors.New("nothing was done")
		}
	}
	return startBulk(cmd, c, preview.Token, f.background)
}

// startBulk starts the job of a preview.
func startBulk(cmd *cobra.Command, c connector, token string, background bool) error {
	var j client.BulkJob
	err := c.change(cmd.Context(), func(ctx context.Context, edit client.RequestEditorFn) (*http.Response, error) {
		return c.StartBulkJob(ctx, client.BulkStart{Token: token}, edit)
	}, &j)
	if err != nil {
		return err
	}
	_, _ = fmt.Fprintf(cmd.OutOrStdout(), "bulk job %d is started; erpconnector bulk show %d shows how it goes\n", j.JobId, j.JobId)
	if background {
		return nil
	}
	return followBulk(cmd, c, j)
}

// previewBulk asks what a command would do.
func (c connector) previewBulk(ctx context.Context, command bulk.Command, body []byte, edit client.RequestEditorFn) (*http.Response, error) {
	read := strings.NewReader(string(body))
	switch command {
	case bulk.Cancel:
		return c.BulkCancelWithBody(ctx, jsonType, read, edit)
	case bulk.Settle:
		return c.BulkSettleWithBody(ctx, jsonType, read, edit)
	case bulk.SendNow:
		return c.BulkSendNowWithBody(ctx, jsonType, read, edit)
	default:
		return c.BulkResyncWithBody(ctx, jsonType, read, edit)
	}
}
