package cli

import (
	"cmp"
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

func erpCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "erp", Short: "See whether calls go out to the ERP; stop them, and let them out again", Args: cobra.NoArgs,
	}
	cmd.AddCommand(erpStatusCommand(), erpOpenCommand(), erpCloseCommand())
	return cmd
}

func erpStatusCommand() *cobra.Command {
	return &cobra.Command{
		Use: "status", Short: "Show whether calls go out to the ERP, why not, how many, and the newest changes", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
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
				past, err := store.History(cmd.Context(), 10)
				if err != nil {
					return err
				}
				return printERP(cmd.OutOrStdout(), pace.StatusOf(v, settings.Settings), past)
			})
		},
	}
}

func printERP(w io.Writer, s pace.Status, past []pace.Past) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	line := func(name, format string, values ...any) { _, _ = fmt.Fprintf(t, name+"\t"+format+"\n", values...) }
	when := func(name string, at *time.Time) {
		if at != nil {
			line(name, "%s", at.Format(time.RFC3339))
		}
	}
	line("breaker", "%s", s.State)
	when("since", s.Since)
	if s.Why != "" {
		line("why", "%s (%s)", domain.Printable(s.Why), domain.Printable(s.By))
	}
	when("calls stopped since", s.StoppedSince)
	when("next probe", s.NextProbeAt)
	if p := s.LastProbe; p != nil {
		line("last probe", "%s by %s: %s %s", p.At.Format(time.RFC3339), p.Kind, p.Verdict, domain.Printable(p.Said))
	}
	line("calls", "%d under way, of at most %d now and %d by erp_max_in_flight, of %d processes", s.InFlight, s.Limit, s.MaxInFlight, s.Processes)
	if s.Rate > 0 {
		line("rate", "%v a second", s.Rate)
	}
	when("held until", s.HeldUntil)
	when("window until", s.WindowUntil)
	if len(past) > 0 {
		_, _ = fmt.Fprintln(t, "\nAT\tFROM\tTO\tBY\tWHY")
	}
	for _, p := range past {
		_, _ = fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", p.At.Format(time.DateTime), p.From, p.To, domain.Printable(p.By), domain.Printable(p.Why))
	}
	return t.Flush()
}

func erpOpenCommand() *cobra.Command {
	return erpChange("open", "Open the breaker: no call goes out to the ERP until `erp close`", "no call goes out to the ERP from now on, until: erpconnector erp close --reason …",
		func(b domain.Breaker, why string, m domain.Moment) (domain.Breaker, error) {
			b, ok := b.OpenByHand(why, m)
			if !ok {
				return b, errors.New("it is open by hand already, because: " + domain.Printable(cmp.Or(b.Why, "-")))
			}
			return b, nil
		})
}

func erpCloseCommand() *cobra.Command {
	return erpChange("close", "Close the breaker: all calls go out to the ERP at once; it opens again when they fail", "all calls go out to the ERP from now on",
		func(b domain.Breaker, why string, m domain.Moment) (domain.Breaker, error) {
			b, ok := b.CloseByHand(why, m)
			if !ok {
				return b, errors.New("it is closed already: calls go out")
			}
			return b, nil
		})
}

// erpChange is a command that changes the breaker by hand, and says why for the history.
func erpChange(use, short, done string, change func(b domain.Breaker, why string, m domain.Moment) (domain.Breaker, error)) *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use: use, Short: short, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := domain.ReasonText.Check(reason); err != nil || reason == "" {
				return errors.Join(errors.New("--reason must say why, for the history"), err)
			}
			return withDatabase(cmd.Context(), func(_ config.Config, pool *pgxpool.Pool) error {
				store := pace.NewStore(pool)
				v, err := store.Load(cmd.Context())
				if err != nil {
					return err
				}
				var refused error
				m := domain.Moment{Now: v.At, By: osUser()}
				_, _, err = store.Change(cmd.Context(), v.State, func(s pace.State) pace.State {
					s.Breaker, refused = change(s.Breaker, reason, m)
					return s
				})
				if err := errors.Join(err, refused); err != nil {
					return err
				}
				_, err = fmt.Fprintln(cmd.OutOrStdout(), done)
				return err
			})
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the history")
	return cmd
}
