package cli

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"

	"github.com/erpconnector/erpconnector/services/api"
	"github.com/erpconnector/erpconnector/shared/bulk"
	"github.com/erpconnector/erpconnector/shared/config"
	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/setting"
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
			"  erpconnector bulk cancel --id 17,18 --reason 'test orders' --yes\n" +
			"  erpconnector bulk list\n" +
			"  erpconnector bulk results 7 --result failed",
	}
	for _, c := range bulk.Commands {
		cmd.AddCommand(bulkStartCommand(c))
	}
	cmd.AddCommand(bulkListCommand(), bulkShowCommand(), bulkResultsCommand())
	for _, c := range []bulk.Change{bulk.Pause, bulk.Resume, bulk.Stop} {
		cmd.AddCommand(bulkChangeCommand(c))
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
	background bool
}

func bulkStartCommand(c bulk.Command) *cobra.Command {
	var f bulkFlags
	cmd := &cobra.Command{
		Use: string(c), Short: bulkShorts[c], Args: cobra.NoArgs,
		Example: fmt.Sprintf("  erpconnector bulk %s --status failed --source outlet --updated-since 24h --reason 'the catalogue is mended'", c),
		RunE: func(cmd *cobra.Command, _ []string) error {
			p, err := bulkPlan(cmd, c, f)
			if err != nil {
				return err
			}
			return withBulk(cmd.Context(), func(s *bulk.Store, current setting.Settings) error {
				if c == bulk.Resync && !cmd.Flags().Changed("canary") {
					p.Canary = current.BulkCanary
				}
				return runBulk(cmd, s, p, f)
			})
		},
	}
	for _, name := range api.BulkWords {
		cmd.Flags().String(strings.ReplaceAll(name, "_", "-"), "", "only orders "+bulkWordMeanings[name])
	}
	cmd.Flags().Int64SliceVar(&f.ids, "id", nil, "name orders by their sync ids, with commas between, in place of selecting them")
	cmd.Flags().StringVar(&f.reason, "reason", "", "why; it stands in the log of each order")
	cmd.Flags().BoolVar(&f.yes, "yes", false, "start without asking")
	cmd.Flags().BoolVar(&f.background, "background", false, "do not wait for the job's end")
	if c == bulk.Resync {
		cmd.Flags().BoolVar(&f.newKey, "new-key", false, "under a new idempotency key: what the ERP has booked, it books again")
		cmd.Flags().IntVar(&f.canary, "canary", 0, "so many orders must succeed before the others go out; 0: none; the setting bulk_canary unless given")
	}
	return cmd
}

// bulkPlan reads the flags. The words are those of the API.
func bulkPlan(cmd *cobra.Command, c bulk.Command, f bulkFlags) (p bulk.Plan, err error) {
	p = bulk.Plan{Command: c, NewKey: f.newKey, Reason: f.reason, Canary: f.canary, SyncIDs: f.ids}
	words := url.Values{}
	for _, name := range api.BulkWords {
		if flag := cmd.Flags().Lookup(strings.ReplaceAll(name, "_", "-")); flag.Changed {
			words.Set(name, flag.Value.String())
		}
	}
	switch {
	case len(words) == 0 && len(f.ids) == 0:
		return p, errors.New("select orders, by --status or another flag, or name them by --id")
	case len(words) > 0 && len(f.ids) > 0:
		return p, errors.New("select orders, or name them by --id, not both")
	case len(words) > 0:
		filter, wrong := api.BulkFilter(words)
		for _, one := range wrong {
			err = errors.Join(err, fmt.Errorf("--%s %s", strings.ReplaceAll(one.Parameter, "_", "-"), one.Detail))
		}
		p.Filter, p.Source, p.Words = &filter, filter.Source, bulk.Words{}
		for name := range words {
			p.Words[name] = words.Get(name)
		}
	}
	flags := map[string]string{"/sync_ids": "--id", "/newKey": "--new-key", "/canary": "--canary", "/reason": "--reason"}
	for _, one := range p.Check() {
		err = errors.Join(err, fmt.Errorf("%s %s", cmp.Or(flags[one.Pointer], one.Pointer), one.Detail))
	}
	return p, err
}

// runBulk shows the preview, asks, starts the job, and watches it.
func runBulk(cmd *cobra.Command, s *bulk.Store, p bulk.Plan, f bulkFlags) error {
	preview, err := s.Preview(cmd.Context(), p, osUser())
	if err != nil {
		return err
	}
	if err := printPreview(cmd.OutOrStdout(), p, preview); err != nil {
		return err
	}
	if preview.Orders == 0 {
		return errors.New("no order matches; nothing was done")
	}
	if !f.yes {
		_, _ = fmt.Fprint(cmd.ErrOrStderr(), "Start? [y/N] ")
		yes, err := answersYes(cmd.Context(), os.Stdin)
		if err != nil {
			return err
		}
		if !yes {
			return errors.New("nothing was done")
		}
	}
	j, err := s.Start(cmd.Context(), preview.Token, osUser(), func(bulk.Plan) error { return nil })
	if err != nil {
		return err
	}
	_, _ = fmt.Fprintf(cmd.OutOrStdout(), "bulk job %d is started; erpconnector bulk show %d shows how it goes\n", j.ID, j.ID)
	if f.background {
		return nil
	}
	return followBulk(cmd, s, j)
}

// answersYes reads one line, or until ctx ends: what is typed at a terminal knows no context.
func answersYes(ctx context.Context, in io.Reader) (bool, error) {
	line := make(chan string, 1)
	go func() {
		text, _ := bufio.NewReader(in).ReadString('\n') // an end without a line is no yes
		line <- text
	}()
	select {
	case text := <-line:
		return slices.Contains([]string{"y", "yes"}, strings.ToLower(strings.TrimSpace(text))), nil
	case <-ctx.Done():
		return false, ctx.Err()
	}
}

// printPreview says what would be done, the important first.
func printPreview(w io.Writer, p bulk.Plan, b bulk.Preview) error {
	var out strings.Builder
	atLeast := ""
	if b.AtLeast {
		atLeast = "at least "
	}
	fmt.Fprintf(&out, "%s%s", atLeast, counted(int(b.Orders), "order"))
	for _, v := range b.Value {
		fmt.Fprintf(&out, ", %s %s", v.Total, domain.Printable(v.Currency))
	}
	if int64(b.LookedAt) < b.Orders {
		fmt.Fprintf(&out, " (of the first %d)", b.LookedAt)
	}
	out.WriteString("\n")
	if b.Unknown > 0 {
		fmt.Fprintf(&out, "%s of no known order\n", counted(b.Unknown, "id"))
	}
	for _, r := range b.Refusals {
		fmt.Fprintf(&out, "%s would be refused: their state is %s\n", counted(r.Orders, "order"), r.State)
	}
	if p.Canary > 0 {
		fmt.Fprintf(&out, "%s must succeed before the others go out\n", counted(p.Canary, "order"))
	}
	if b.PerSecond > 0 {
		fmt.Fprintf(&out, "about %s at %.3g a second, the ERP's pace of now\n", seconds(b.Seconds), b.PerSecond)
	}
	if b.WaitsFor != "" {
		fmt.Fprintf(&out, "but each order %s\n", domain.Printable(b.WaitsFor))
	}
	for _, s := range b.Sample {
		fmt.Fprintf(&out, "  %d  %s  %s  %s", s.SyncID, domain.Printable(s.Source), shorten(s.OrderIncrementID, 60), s.Status)
		if s.LastError != nil {
			fmt.Fprintf(&out, "  %s", shorten(*s.LastError, 80))
		}
		out.WriteString("\n")
	}
	if more := b.Orders - int64(len(b.Sample)); more > 0 && len(b.Sample) > 0 {
		fmt.Fprintf(&out, "  … and %s%d more\n", atLeast, more)
	}
	_, err := io.WriteString(w, out.String())
	return err
}

// bulkID reads the id of a job.
func bulkID(arg string) (int64, error) {
	id, err := strconv.ParseInt(arg, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%q is no bulk job's id: `erpconnector bulk list` shows them", arg)
	}
	return id, nil
}

func withBulk(ctx context.Context, use func(*bulk.Store, setting.Settings) error) error {
	return withDatabase(ctx, func(cfg config.Config, pool *pgxpool.Pool) error {
		v, err := setting.NewStore(pool, cfg.Settings, nil).View(ctx)
		if err != nil {
			return err
		}
		return use(bulk.NewStore(pool, setting.Fixed(v.Settings)), v.Settings)
	})
}
