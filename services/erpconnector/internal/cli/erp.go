package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/erpconnector/erpconnector/shared/client"
	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/pace"
)

// erpCommand shows and changes the breaker.
//
//	$ erpconnector erp open --reason "the ERP moves to another server"
//	no call goes out to the ERP from now on, until: erpconnector erp close --reason …
func erpCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "erp", Short: "See whether calls go out to the ERP; stop them, and let them out again", Args: cobra.NoArgs,
		Example: "  erpconnector erp status\n" +
			"  erpconnector erp status -o json | jq -r .state\n" +
			"  erpconnector erp open --reason 'the ERP moves to another server'    # stops calls\n" +
			"  erpconnector erp close --reason 'it has moved'                      # lets them out",
	}
	var r remote
	r.operator(cmd)
	cmd.AddCommand(erpStatusCommand(&r), erpOpenCommand(&r), erpCloseCommand(&r))
	return cmd
}

// changesPrinted are the newest changes that a table shows; JSON has as many as the API answers.
const changesPrinted = 10

func erpStatusCommand(r *remote) *cobra.Command {
	asJSON, output := false, ""
	cmd := &cobra.Command{
		Use: "status", Short: "Show whether calls go out to the ERP, why not, how many, and the newest changes", Args: cobra.NoArgs,
		Long: "Show whether calls go out to the ERP, why not, how many, and the newest changes.\n" +
			"The exit code is 0 whatever the state is: a script reads `state` and `waits_for` of -o json, which is what GET …/erp answers.",
		Example: "  erpconnector erp status\n  erpconnector erp status -o json | jq -r .state",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkTextOrJSON(output); err != nil {
				return err
			}
			return r.ask(cmd.Context(), func(c connector) error {
				var report pace.Report
				raw, err := c.get(cmd.Context(), func(ctx context.Context, edit client.RequestEditorFn) (*http.Response, error) {
					return c.Erp(ctx, edit)
				}, nil, &report)
				if err != nil {
					return err
				}
				if asJSON || output == "json" {
					_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s\n", raw)
					return err
				}
				report.History = report.History[:min(changesPrinted, len(report.History))]
				return printERP(cmd.OutOrStdout(), report)
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "the same as -o json")
	textOrJSON(cmd, &output)
	return cmd
}

// breakerMeans says what happens in each state: "open" sounds as if calls went out.
var breakerMeans = map[domain.BreakerState]string{
	domain.BreakerClosed: "calls go out", domain.BreakerOpen: "calls are stopped", domain.BreakerProbing: "one call finds out whether the ERP works",
	domain.BreakerClosing: "a few calls go out",
}

// printERP says first what an order waits for, and leaves out what is not.
func printERP(w io.Writer, s pace.Report) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	line := func(name, format string, values ...any) { _, _ = fmt.Fprintf(t, name+"\t"+format+"\n", values...) }
	when := func(name string, at *time.Time, why string) {
		if at != nil {
			line(name, "%s%s", at.Format(time.RFC3339), inBrackets(why))
		}
	}
	if s.WaitsFor != "" {
		line("each order", "%s", domain.Printable(s.WaitsFor))
	}
	line("breaker", "%s (%s)", s.State, breakerMeans[s.State])
	when("since", s.Since, s.By)
	if s.Why != "" {
		line("why", "%s", domain.Printable(s.Why))
	}
	when("calls stopped since", s.StoppedSince, s.StoppedWhy)
	when("next probe", s.NextProbeAt, "")
	if p := s.LastProbe; p != nil {
		line("last probe", "%s by %s: %s%s", p.At.Format(time.RFC3339), p.Kind, p.Verdict, inBrackets(p.Said))
	}
	line("calls", "%d under way, of at most %d now and %d by erp_max_in_flight; syncers: %d", s.InFlight, s.Limit, s.MaxInFlight, s.Processes)
	if s.Rate > 0 {
		line("rate", "%.3g a second", s.Rate)
	}
	when("held until", s.HeldUntil, s.HeldWhy)
	when("window until", s.WindowUntil, "")
	if len(s.History) > 0 {
		_, _ = fmt.Fprintln(t, "\nAT\tFROM\tTO\tBY\tWHY")
	}
	for _, p := range s.History {
		_, _ = fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", p.At.Format(time.DateTime), p.From, p.To, domain.Printable(p.By), domain.Printable(p.Why))
	}
	return t.Flush()
}

// inBrackets is what others wrote, behind what it is about; nothing for nothing.
func inBrackets(text string) string {
	if text == "" {
		return ""
	}
	return " (" + domain.Printable(text) + ")"
}

func erpOpenCommand(r *remote) *cobra.Command {
	return erpChange(r, "open", "it moves to another server", "Stop calls: no order goes out to the ERP until `erp close`; calls under way end (opens the breaker)",
		func(ctx context.Context, c connector, body client.BreakerBody, edit client.RequestEditorFn) (*http.Response, error) {
			return c.StopCalls(ctx, body, edit)
		},
		func(pace.Status) string {
			return "no call goes out to the ERP from now on, until: erpconnector erp close --reason …"
		})
}

// erpCloseCommand tells of what else keeps the calls: who closes the breaker wants to see them go out.
func erpCloseCommand(r *remote) *cobra.Command {
	return erpChange(r, "close", "it has moved", "Let calls out: all orders that wait go out to the ERP at once; when they fail, calls stop again (closes the breaker)",
		func(ctx context.Context, c connector, body client.BreakerBody, edit client.RequestEditorFn) (*http.Response, error) {
			return c.LetCallsOut(ctx, body, edit)
		},
		func(s pace.Status) string {
			if s.WaitsFor != "" {
				return "calls are let out; but each order " + domain.Printable(s.WaitsFor)
			}
			return "all calls go out to the ERP from now on"
		})
}

// breakerChange stops calls, by opening the breaker, or lets them out, by closing it.
type breakerChange func(ctx context.Context, c connector, body client.BreakerBody, edit client.RequestEditorFn) (*http.Response, error)

// erpChange is a command that changes the breaker by hand, and says why for the history. done is what it says when it has.
func erpChange(r *remote, use, reasonFor, short string, change breakerChange, done func(pace.Status) string) *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use: use + " --reason TEXT", Short: short, Args: cobra.NoArgs, Example: "  erpconnector erp " + use + " --reason '" + reasonFor + "'",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if reason == "" {
				return errors.New("--reason is required: it stands in the history")
			}
			if err := domain.ReasonText.Check(reason); err != nil {
				return fmt.Errorf("--reason %w", err)
			}
			return r.ask(cmd.Context(), func(c connector) error {
				var report pace.Report
				err := c.change(cmd.Context(), func(ctx context.Context, edit client.RequestEditorFn) (*http.Response, error) {
					return change(ctx, c, client.BreakerBody{Reason: reason}, edit)
				}, &report)
				if err != nil {
					return err
				}
				_, err = fmt.Fprintln(cmd.OutOrStdout(), done(report.Status))
				return err
			})
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the history; required")
	return cmd
}
