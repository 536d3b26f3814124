package cli

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/erpconnector/erpconnector/shared/bulk"
	"github.com/erpconnector/erpconnector/shared/client"
	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/spelling"
)

// bulkID reads the id of a job.
func bulkID(arg string) (int64, error) {
	id, err := strconv.ParseInt(arg, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%q is no bulk job's id: `erpconnector bulk list` shows them", arg)
	}
	return id, nil
}

// bulkJob is how a job stands.
func (c connector) bulkJob(ctx context.Context, id int64) (j client.BulkJob, err error) {
	_, err = c.get(ctx, func(ctx context.Context, edit client.RequestEditorFn) (*http.Response, error) {
		return c.ShowBulkJob(ctx, id, edit)
	}, nil, &j)
	if err != nil {
		err = fmt.Errorf("bulk job %d: %w", id, err)
	}
	return j, err
}

// oneOf refuses what is none of the names; empty is none asked for.
func oneOf[T ~string](flag string, value T, names []T) error {
	if value == "" || slices.Contains(names, value) {
		return nil
	}
	texts := make([]string, len(names))
	for i, name := range names {
		texts[i] = string(name)
	}
	return fmt.Errorf("%s is %q: %s", flag, value, spelling.Hint(string(value), texts))
}

var jobListing = listing[client.BulkJob]{
	member: "jobs", none: "there are no such bulk jobs", more: "there are more", most: 500, columns: []column[client.BulkJob]{
		{"id", func(j client.BulkJob) string { return strconv.FormatInt(j.JobId, 10) }},
		{"command", func(j client.BulkJob) string { return j.Command }},
		{"state", func(j client.BulkJob) string { return j.State }},
		{"started", func(j client.BulkJob) string { return shownTime(j.StartedAt, time.DateTime) }},
		{"by", func(j client.BulkJob) string { return cmp.Or(cut(j.StartedBy, 40), "-") }},
		{"orders", func(j client.BulkJob) string { return strconv.FormatInt(j.Orders.Selected, 10) }},
		{"succeeded", func(j client.BulkJob) string { return strconv.FormatInt(j.Orders.Succeeded, 10) }},
		{"failed", func(j client.BulkJob) string { return strconv.FormatInt(j.Orders.Failed, 10) }},
		{"refused", func(j client.BulkJob) string { return strconv.FormatInt(j.Orders.Refused, 10) }},
		{"reason", func(j client.BulkJob) string { return cmp.Or(cut(j.Reason, 60), "-") }},
	},
	members: []string{
		"job_id", "command", "newKey", "reason", "source", "filter", "state", "why", "since", "changed_by", "canary", "orders", "started_at", "started_by", "ended_at",
	},
}

func bulkListCommand(r *remote) *cobra.Command {
	var state, output string
	var after int64
	var limit int
	cmd := &cobra.Command{
		Use: "list", Short: "List bulk jobs, the newest first", Args: cobra.NoArgs,
		Example: "  erpconnector bulk list --state running\n  erpconnector bulk list -o json | jq '.[].orders'",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := errors.Join(checkOutput(output), oneOf("--state", bulk.State(state), bulk.States), atLeastOne(limit)); err != nil {
				return err
			}
			query := url.Values{}
			if state != "" {
				query.Set("state", state)
			}
			if after != 0 {
				query.Set("cursor", strconv.FormatInt(after, 10))
			}
			return r.ask(cmd.Context(), func(c connector) error {
				return jobListing.print(cmd, c, output, query, limit, func(ctx context.Context, edit client.RequestEditorFn) (*http.Response, error) {
					return c.ListBulkJobs(ctx, nil, edit)
				})
			})
		},
	}
	cmd.Flags().StringVar(&state, "state", "", "only jobs that are selecting, running, paused, stopped or done")
	completeWords(cmd, "state", false, bulk.States...)
	cmd.Flags().Int64Var(&after, "after", 0, "start after this id")
	cmd.Flags().IntVar(&limit, "limit", 50, "jobs at most")
	outputFlag(cmd, &output)
	return cmd
}

func bulkShowCommand(r *remote) *cobra.Command {
	follow, output := false, ""
	cmd := &cobra.Command{
		Use: "show ID", Short: "Show how a bulk job goes", Args: cobra.ExactArgs(1), Example: "  erpconnector bulk show 7 --follow",
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := bulkID(args[0])
			if err = errors.Join(err, checkTextOrJSON(output)); err != nil {
				return err
			}
			return r.ask(cmd.Context(), func(c connector) error {
				j, err := c.bulkJob(cmd.Context(), id)
				switch {
				case err != nil:
					return err
				case follow:
					return followBulk(cmd, c, j)
				case output == "json":
					return json.NewEncoder(cmd.OutOrStdout()).Encode(j)
				}
				return printJob(cmd.OutOrStdout(), j)
			})
		},
	}
	cmd.Flags().BoolVar(&follow, "follow", false, "print a line whenever it has gone on, until it ends or pauses; on a terminal, a bar")
	textOrJSON(cmd, &output)
	return cmd
}

func printJob(w io.Writer, j client.BulkJob) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	line := func(name, format string, values ...any) { _, _ = fmt.Fprintf(t, name+"\t"+format+"\n", values...) }
	line("job", "%d, %s", j.JobId, j.Command)
	line("state", "%s since %s by %s", j.State, j.Since, domain.Printable(j.ChangedBy))
	if j.Why != nil {
		line("why", "%s", domain.Printable(*j.Why))
	}
	o := j.Orders
	line("orders", "%d selected; %d succeeded, %d failed, %d refused; %d under way, %d waiting", o.Selected, o.Succeeded, o.Failed, o.Refused, o.Sent, o.Waiting)
	if j.WaitsFor != nil {
		line("each order", "%s", domain.Printable(*j.WaitsFor))
	}
	if j.Canary.State != string(bulk.NoCanary) {
		line("canary", "%s, %s", counted(j.Canary.Orders, "order"), j.Canary.State)
	}
	if j.EstimatedEnd != nil {
		line("ends about", "%s", *j.EstimatedEnd)
	}
	line("started", "%s by %s", j.StartedAt, domain.Printable(j.StartedBy))
	line("reason", "%s", cmp.Or(domain.Printable(j.Reason), "-"))
	if j.Filter != nil && len(*j.Filter) > 0 {
		words, _ := json.Marshal(*j.Filter) // texts
		line("filter", "%s", domain.Printable(string(words)))
	}
	return t.Flush()
}

var bulkChanges = []bulk.Change{bulk.Pause, bulk.Resume, bulk.Stop}

func bulkChangeCommand(r *remote, change bulk.Change) *cobra.Command {
	var reason string
	short := map[bulk.Change]string{
		bulk.Pause:  "Let no further order of a job get its command, until it is resumed",
		bulk.Resume: "Let a paused job go on, also one whose canary failed",
		bulk.Stop:   "End a job: orders that are under way go on, the others are left alone",
	}
	cmd := &cobra.Command{
		Use: string(change) + " ID", Short: short[change], Args: cobra.ExactArgs(1), Example: fmt.Sprintf("  erpconnector bulk %s 7 --reason 'the ERP is slow'", change),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := bulkID(args[0])
			if err != nil {
				return err
			}
			if err := domain.ReasonText.Check(reason); err != nil {
				return fmt.Errorf("--reason %w", err)
			}
			return r.ask(cmd.Context(), func(c connector) error {
				j, err := c.changeBulk(cmd.Context(), id, change, reason)
				if err != nil {
					return fmt.Errorf("bulk job %d: %w", id, err)
				}
				return printJob(cmd.OutOrStdout(), j)
			})
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why, for whoever looks at the job")
	return cmd
}

func (c connector) changeBulk(ctx context.Context, id int64, change bulk.Change, reason string) (j client.BulkJob, err error) {
	var body client.BulkChange
	optional(&body.Reason, reason)
	err = c.change(ctx, func(ctx context.Context, edit client.RequestEditorFn) (*http.Response, error) {
		switch change {
		case bulk.Pause:
			return c.PauseBulkJob(ctx, id, body, edit)
		case bulk.Stop:
			return c.StopBulkJob(ctx, id, body, edit)
		default:
			return c.ResumeBulkJob(ctx, id, body, edit)
		}
	}, &j)
	return j, err
}

// itemColumns are those of CSV. For people each order has a line without a heading, as it comes.
var itemColumns = []column[client.BulkItem]{
	{"cursor", func(i client.BulkItem) string { return i.Cursor }},
	{"sync_id", func(i client.BulkItem) string { return strconv.FormatInt(i.SyncId, 10) }},
	{"source", func(i client.BulkItem) string { return i.Source }},
	{"order_increment_id", func(i client.BulkItem) string { return i.OrderIncrementId }},
	{"result", func(i client.BulkItem) string { return i.Result }},
	{"status", func(i client.BulkItem) string { return textOf(i.Status) }},
	{"code", func(i client.BulkItem) string { return textOf(i.Code) }},
	{"generation", func(i client.BulkItem) string { return textOf(i.Generation) }},
	{"last_error", func(i client.BulkItem) string { return textOf(i.LastError) }},
}

func bulkResultsCommand(r *remote) *cobra.Command {
	var result, output string
	var after int64
	cmd := &cobra.Command{
		Use: "results ID", Short: "Print what became of each order of a job", Args: cobra.ExactArgs(1),
		Example: "  erpconnector bulk results 7 --result failed\n  erpconnector bulk results 7 -o csv > results.csv",
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := bulkID(args[0])
			if err = errors.Join(err, checkOutput(output), oneOf("--result", bulk.Result(result), bulk.Results)); err != nil {
				return err
			}
			query := url.Values{}
			if result != "" {
				query.Set("result", result)
			}
			if after != 0 {
				query.Set("cursor", strconv.FormatInt(after, 10))
			}
			return r.ask(cmd.Context(), func(c connector) error { return printItems(cmd, c, id, query, output) })
		},
	}
	cmd.Flags().StringVar(&result, "result", "", "only orders that are waiting, sent, succeeded, failed or refused")
	completeWords(cmd, "result", false, bulk.Results...)
	cmd.Flags().Int64Var(&after, "after", 0, "start after this place")
	outputFlag(cmd, &output)
	return cmd
}

// printItems prints orders as they come, however many there are.
func printItems(cmd *cobra.Command, c connector, id int64, query url.Values, output string) error {
	answer, err := c.BulkJobResults(cmd.Context(), id, nil, withQuery(query))
	if err != nil {
		return fmt.Errorf("bulk job %d: %w", id, c.failed(err))
	}
	defer func() { _ = answer.Body.Close() }()
	out := bufio.NewWriter(cmd.OutOrStdout())
	p := &rowPrinter[client.BulkItem]{w: out, output: output, columns: itemColumns}
	lines := json.NewDecoder(answer.Body)
	for {
		var raw json.RawMessage
		var i client.BulkItem
		if err = lines.Decode(&raw); err == nil {
			err = json.Unmarshal(raw, &i)
		}
		if err != nil {
			break
		}
		if output == "table" {
			_, err = fmt.Fprintln(out, itemLine(i))
		} else {
			err = p.add(i, raw)
		}
		if err != nil {
			return err
		}
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	if err != nil {
		err = c.failed(fmt.Errorf("the answer broke off: %w", err))
	}
	if output != "table" {
		err = errors.Join(err, p.end())
	}
	return errors.Join(err, out.Flush())
}

// itemLine is what became of an order, for people.
func itemLine(i client.BulkItem) string {
	line := fmt.Sprintf("%s  %d  %s  %s  %s  %s", i.Cursor, i.SyncId, i.Source, cut(i.OrderIncrementId, 60), i.Result, cmp.Or(textOf(i.Status), "-"))
	for _, more := range []string{textOf(i.Code), cut(textOf(i.LastError), 200)} {
		if more != "" {
			line += "  " + more
		}
	}
	return domain.Printable(line)
}
