package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"

	"github.com/erpconnector/erpconnector/shared/config"
	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/pace"
	"github.com/erpconnector/erpconnector/shared/setting"
)

// erpCommand shows and changes the breaker.
//
//	$ erpconnector erp open --reason "the ERP moves to another server"
//	no call goes out to the ERP from now on, until: erpconnector erp close --reason …
func erpCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "erp", Short: "See whether calls go out to the ERP; stop them, and let them out again", Args: cobra.NoArgs,
		Example: "  erpconnector erp status\n" +
			"  erpconnector erp status --json | jq -r .state\n" +
			"  erpconnector erp open --reason 'the ERP moves to another server'\n" +
			"  erpconnector erp close --reason 'it has moved'",
	}
	cmd.AddCommand(erpStatusCommand(), erpOpenCommand(), erpCloseCommand())
	return cmd
}

// The changes that `erp status` shows: on a terminal the newest few, in JSON as many as the API does.
const (
	changesPrinted = 10
	changesInJSON  = 50
)

func erpStatusCommand() *cobra.Command {
	asJSON := false
	cmd := &cobra.Command{
		Use: "status", Short: "Show whether calls go out to the ERP, why not, how many, and the newest changes", Args: cobra.NoArgs,
		Long: "Show whether calls go out to the ERP, why not, how many, and the newest changes.\n" +
			"The exit code is 0 whatever the state is: a script reads `state` and `waits_for` of --json, which is what GET …/erp answers.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withDatabase(cmd.Context(), func(cfg config.Config, pool *pgxpool.Pool) error {
				settings, err := setting.NewStore(pool, cfg.Settings, nil).View(cmd.Context())
				if err != nil {
					return err
				}
				changes := changesPrinted
				if asJSON {
					changes = changesInJSON
				}
				report, err := pace.NewStore(pool).Report(cmd.Context(), settings.Settings, changes)
				if err != nil {
					return err
				}
				if asJSON {
					return json.NewEncoder(cmd.OutOrStdout()).Encode(report)
				}
				return printERP(cmd.OutOrStdout(), report)
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "one JSON object, as GET …/erp answers it")
	return cmd
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
	line("breaker", "%s", s.State)
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

func erpOpenCommand() *cobra.Command {
	return erpChange("open", "Open the breaker: no call goes out to the ERP until `erp close`; those under way end",
		func(b domain.Breaker, why string, m domain.Moment) (domain.Breaker, error) {
			b, ok := b.OpenByHand(why, m)
			if !ok {
				return b, fmt.Errorf("nothing was done: %s has opened it at %s already: %s", domain.Printable(b.By), b.Since.Format(time.RFC3339), domain.Printable(b.Why))
			}
			return b, nil
		},
		func(pace.Status) string {
			return "no call goes out to the ERP from now on, until: erpconnector erp close --reason …"
		})
}

// erpCloseCommand tells of what else keeps the calls: who closes the breaker wants to see them go out.
func erpCloseCommand() *cobra.Command {
	return erpChange("close", "Close the breaker: all calls go out to the ERP at once; it opens again when they fail",
		func(b domain.Breaker, why string, m domain.Moment) (domain.Breaker, error) {
			b, ok := b.CloseByHand(why, m)
			if !ok {
				return b, errors.New("nothing was done: it is closed already; erpconnector erp status shows what else may keep the calls")
			}
			return b, nil
		},
		func(s pace.Status) string {
			if s.WaitsFor != "" {
				return "the breaker is closed; but each order " + domain.Printable(s.WaitsFor)
			}
			return "all calls go out to the ERP from now on"
		})
}

// erpChange is a command that changes the breaker by hand, and says why for the history. done is what it says when it has.
func erpChange(use, short string, change func(b domain.Breaker, why string, m domain.Moment) (domain.Breaker, error), done func(pace.Status) string) *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use: use + " --reason TEXT", Short: short, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if reason == "" {
				return errors.New("--reason is required: it stands in the history")
			}
			if err := domain.ReasonText.Check(reason); err != nil {
				return fmt.Errorf("--reason %w", err)
			}
			return withDatabase(cmd.Context(), func(cfg config.Config, pool *pgxpool.Pool) error {
				settings, err := setting.NewStore(pool, cfg.Settings, nil).View(cmd.Context())
				if err != nil {
					return err
				}
				store := pace.NewStore(pool)
				v, err := store.Load(cmd.Context())
				if err != nil {
					return err
				}
				var refused error
				m := domain.Moment{Now: v.At, By: osUser()}
				v.State, _, err = store.Change(cmd.Context(), v.State, func(s pace.State) pace.State {
					s.Breaker, refused = change(s.Breaker, reason, m)
					return s
				})
				if err := errors.Join(err, refused); err != nil {
					return err
				}
				_, err = fmt.Fprintln(cmd.OutOrStdout(), done(pace.StatusOf(v, settings.Settings)))
				return err
			})
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the history; required")
	return cmd
}
