package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"

	"github.com/erpconnector/erpconnector/shared/alert"
	"github.com/erpconnector/erpconnector/shared/config"
	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/setting"
)

// alertCommand says where alerts are told, and shows what was told.
//
//	$ erpconnector alert add on-call --webhook https://ops.example.com/alerts
//	whsec_…
//	destination 1, "on-call": this is the only time that its secret is shown
func alertCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "alert", Short: "Say where alerts are told, try it, and see what was told",
		Long: "Alerts tell of orders that have failed, of the breaker, of a backlog, of the quarantine, of dead letters, and of what an audit finds.\n" +
			"They go to webhooks, to Slack and to mailboxes; `test` tries one.",
	}
	cmd.AddCommand(alertListCommand(), alertAddCommand(), alertRemoveCommand(), alertTestCommand(), alertHistoryCommand())
	return cmd
}

// alerting is what the commands work with.
type alerting struct {
	*alert.Store

	cfg      config.Config
	settings setting.Settings
}

func withAlerts(ctx context.Context, do func(alerting) error) error {
	return withDatabase(ctx, func(cfg config.Config, pool *pgxpool.Pool) error {
		v, err := setting.NewStore(pool, cfg.Settings, nil).View(ctx)
		if err != nil {
			return err
		}
		return do(alerting{alert.NewStore(pool), cfg, v.Settings})
	})
}

func alertListCommand() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List where alerts are told", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withAlerts(cmd.Context(), func(a alerting) error {
				all, err := a.Destinations(cmd.Context())
				if err != nil {
					return err
				}
				return printDestinations(cmd.OutOrStdout(), all)
			})
		},
	}
}

func printDestinations(w io.Writer, all []alert.Destination) error {
	if len(all) == 0 {
		_, err := fmt.Fprintln(w, "alerts are told nowhere: erpconnector alert add")
		return err
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(t, "ID\tNAME\tKIND\tADDRESS\tALERTS\tSTATE\tCHANGED")
	for _, d := range all {
		alerts, state := "all", "on"
		if len(d.Alerts) > 0 {
			alerts = strings.Join(alertNames(d.Alerts), ",")
		}
		if !d.Enabled {
			state = "off"
		}
		_, _ = fmt.Fprintf(t, "%d\t%s\t%s\t%s\t%s\t%s\t%s by %s\n", d.ID, domain.Printable(d.Name), d.Kind, domain.Printable(d.ShownAddress()), alerts, state,
			d.ChangedAt.UTC().Format("2006-01-02 15:04"), domain.Printable(d.ChangedBy))
	}
	return t.Flush()
}

func alertNames(kinds []domain.AlertKind) (names []string) {
	for _, kind := range kinds {
		names = append(names, string(kind))
	}
	return names
}

// alertAddCommand takes the address by the flag of its kind. "-" reads it from the standard input, as Slack's is a secret, which had better
// not stand in the shell's history.
func alertAddCommand() *cobra.Command {
	addresses := map[alert.Kind]*string{}
	var only []string
	cmd := &cobra.Command{
		Use: "add NAME", Short: "Tell alerts somewhere; the secret of a webhook is printed once", Args: cobra.ExactArgs(1),
		Example: "  erpconnector alert add on-call --webhook https://ops.example.com/alerts\n" +
			"  erpconnector alert add '#orders' --slack - --only orders_failed,breaker < slack-url\n" +
			"  erpconnector alert add shop-team --email shop@example.com",
		RunE: func(cmd *cobra.Command, args []string) error {
			d := alert.Destination{Name: args[0], Enabled: true}
			for _, kind := range alert.Kinds {
				if !cmd.Flags().Changed(string(kind)) {
					continue
				}
				if d.Kind != "" {
					return errors.New("give one of --webhook, --slack and --email")
				}
				d.Kind, d.Address = kind, *addresses[kind]
			}
			if d.Kind == "" {
				return errors.New("give one of --webhook, --slack and --email: where alerts are to be told")
			}
			for _, name := range only {
				d.Alerts = append(d.Alerts, domain.AlertKind(name))
			}
			return addDestination(cmd, d)
		},
	}
	for kind, usage := range map[alert.Kind]string{
		alert.KindWebhook: "a URL that takes Standard Webhooks; - reads it from the standard input",
		alert.KindSlack:   "the URL of an incoming webhook of Slack, or of what understands the same; - reads it from the standard input",
		alert.KindEmail:   "an e-mail address; it needs ALERT_SMTP_URL",
	} {
		addresses[kind] = cmd.Flags().String(string(kind), "", usage)
	}
	cmd.Flags().StringSliceVar(&only, "only", nil, "these alerts only, with commas between: "+strings.Join(alertNames(domain.AlertKinds), ", "))
	return cmd
}

func addDestination(cmd *cobra.Command, d alert.Destination) error {
	if d.Address == "-" {
		text, err := io.ReadAll(io.LimitReader(cmd.InOrStdin(), 4096))
		if err != nil {
			return fmt.Errorf("reading the address: %w", err)
		}
		d.Address = strings.TrimSpace(string(text))
	}
	if d.Kind == alert.KindWebhook {
		d.Secret = alert.NewSecret()
	}
	return withAlerts(cmd.Context(), func(a alerting) error {
		if wrong := d.Check(alert.Rules{AllowHTTP: a.settings.AlertAllowHTTP, Egress: a.settings.Egress}); len(wrong) > 0 {
			_, member, _ := strings.Cut(wrong[0].Pointer, "/")
			member, _, _ = strings.Cut(member, "/")
			flag := map[string]string{"name": "the name", "address": "--" + string(d.Kind), "alerts": "--only"}[member]
			return fmt.Errorf("%s %s", flag, wrong[0].Detail)
		}
		made, err := a.Add(cmd.Context(), d, osUser())
		if err != nil {
			return err
		}
		if made.Kind == alert.KindWebhook {
			_, _ = fmt.Fprintln(cmd.OutOrStdout(), made.Secret.Reveal())
			_, _ = fmt.Fprintf(cmd.ErrOrStderr(), "destination %d, %q: this is the only time that its secret is shown\n", made.ID, made.Name)
			return nil
		}
		_, _ = fmt.Fprintf(cmd.OutOrStdout(), "destination %d, %q\n", made.ID, made.Name)
		return nil
	})
}

// withDestination reads the destination of the argument, and does something with it.
func withDestination(ctx context.Context, args []string, do func(a alerting, d alert.Destination) error) error {
	ids, err := parseIDs(args, "alert list")
	if err != nil {
		return err
	}
	return withAlerts(ctx, func(a alerting) error {
		d, err := a.Get(ctx, ids[0])
		if err != nil {
			return fmt.Errorf("destination %d: %w", ids[0], err)
		}
		return do(a, d)
	})
}

func alertRemoveCommand() *cobra.Command {
	return &cobra.Command{
		Use: "remove ID", Short: "Tell alerts there no more; what was not delivered yet is given up", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return withDestination(cmd.Context(), args, func(a alerting, d alert.Destination) error {
				d, err := a.Remove(cmd.Context(), d.ID)
				if err != nil {
					return err
				}
				_, err = fmt.Fprintf(cmd.OutOrStdout(), "destination %d, %q, is removed\n", d.ID, domain.Printable(d.Name))
				return err
			})
		},
	}
}

// alertTestCommand sends from where it runs. The process that carries the alerter may reach less, or more.
func alertTestCommand() *cobra.Command {
	return &cobra.Command{
		Use: "test ID", Short: "Send a test to a destination, from here, and show what comes back", Args: cobra.ExactArgs(1),
		Long: "Sends one notice of the type \"test\" at once, once, and from here. Exit code: 0 it was taken, 1 it was not.",
		RunE: func(cmd *cobra.Command, args []string) error {
			return withDestination(cmd.Context(), args, func(a alerting, d alert.Destination) error {
				password := func() config.Secret { return a.cfg.Mail.Password }
				result, err := alert.NewSender(setting.Fixed(a.settings), a.cfg.ERP, a.cfg.Mail, password).Test(cmd.Context(), d, osUser())
				if err != nil {
					return err
				}
				came := domain.Printable(result.Said)
				if result.HTTPStatus != 0 {
					came = strings.TrimSpace(fmt.Sprintf("HTTP %d %s", result.HTTPStatus, came))
				}
				if !result.Delivered {
					return fmt.Errorf("destination %d, %q, did not take it: %s", d.ID, domain.Printable(d.Name), came)
				}
				_, err = fmt.Fprintln(cmd.OutOrStdout(), strings.TrimSpace(fmt.Sprintf("destination %d, %q, has taken it: %s %s", d.ID, domain.Printable(d.Name), result.MessageID, came)))
				return err
			})
		},
	}
}

func alertHistoryCommand() *cobra.Command {
	var open bool
	var f alert.Filter
	cmd := &cobra.Command{
		Use: "history", Short: "List alerts, the newest first, and how many destinations have them", Args: cobra.NoArgs,
		Example: "  erpconnector alert history --open",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.Limit < 1 {
				return fmt.Errorf("--limit is %d; it must be 1 or more", f.Limit)
			}
			if open {
				f.Open = &open
			}
			return withAlerts(cmd.Context(), func(a alerting) error {
				alerts, more, err := a.List(cmd.Context(), f)
				if err != nil {
					return err
				}
				return printAlerts(cmd.OutOrStdout(), alerts, more)
			})
		},
	}
	cmd.Flags().BoolVar(&open, "open", false, "only those that are open")
	cmd.Flags().Int64Var(&f.Before, "before", 0, "only those with a lower id")
	cmd.Flags().IntVar(&f.Limit, "limit", 50, "alerts at most")
	return cmd
}

// printAlerts prints one alert a line, with the newest notice's words.
func printAlerts(w io.Writer, alerts []alert.Past, more bool) error {
	if len(alerts) == 0 {
		_, err := fmt.Fprintln(w, "there is no alert")
		return err
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(t, "ID\tALERT\tOPENED\tRESOLVED\tTOLD TO\tSAYS")
	for _, a := range alerts {
		resolved := "open"
		if a.ResolvedAt != nil {
			resolved = a.ResolvedAt.UTC().Format(time.DateTime)
		}
		_, _ = fmt.Fprintf(t, "%d\t%s\t%s\t%s\t%s\t%s\n", a.ID, a.Kind, a.OpenedAt.UTC().Format(time.DateTime), resolved, toldTo(a.Deliveries), shorten(a.Data.Text, 100))
	}
	if more {
		_, _ = fmt.Fprintf(t, "there are more: --before %d\n", alerts[len(alerts)-1].ID)
	}
	return t.Flush()
}

// toldTo is what became of the newest notices, like "2 delivered, 1 pending".
func toldTo(deliveries []alert.Delivery) string {
	n := map[alert.DeliveryState]int{}
	for _, d := range deliveries {
		n[d.State]++
	}
	var parts []string
	for _, state := range []alert.DeliveryState{alert.Delivered, alert.Pending, alert.Failed} {
		if n[state] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n[state], state))
		}
	}
	if len(parts) == 0 {
		return "nobody"
	}
	return strings.Join(parts, ", ")
}
