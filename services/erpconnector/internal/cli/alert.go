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
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/erpconnector/erpconnector/shared/alert"
	"github.com/erpconnector/erpconnector/shared/client"
	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/spelling"
)

// alertCommand says where alerts are told, and shows what was told.
//
//	$ erpconnector alert add on-call --webhook https://ops.example.com/alerts
//	whsec_…
//	destination 1, "on-call": this is the only time that its secret is shown
func alertCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "alert", Example: "  erpconnector alert add on-call --webhook https://ops.example.com/alerts\n  erpconnector alert test on-call", Short: "Say where alerts are told, try it, and see what was told",
		Long: "Alerts tell of orders that have failed, of the breaker, of a backlog, of the quarantine, of dead letters, and of what an audit finds.\n" +
			"They go to webhooks, to Slack and to mailboxes; `test` tries one.",
	}
	var r remote
	r.operator(cmd)
	cmd.AddCommand(alertListCommand(&r), alertAddCommand(&r), alertRemoveCommand(&r), alertTestCommand(&r), alertHistoryCommand(&r))
	return cmd
}

var destinationListing = listing[client.AlertDestination]{
	member: "destinations", none: "alerts are told nowhere: erpconnector alert add", columns: []column[client.AlertDestination]{
		{"id", func(d client.AlertDestination) string { return strconv.FormatInt(d.DestinationId, 10) }},
		{"name", func(d client.AlertDestination) string { return d.Name }},
		{"kind", func(d client.AlertDestination) string { return string(d.Kind) }},
		{"address", func(d client.AlertDestination) string { return d.Address }},
		{"alerts", func(d client.AlertDestination) string { return cmp.Or(listed(d.Alerts, ","), "all") }},
		{"state", func(d client.AlertDestination) string {
			if d.Enabled {
				return "on"
			}
			return "off"
		}},
		{"changed", func(d client.AlertDestination) string { return minute(&d.ChangedAt, "") + " by " + d.ChangedBy }},
	},
	members: []string{"destination_id", "name", "kind", "address", "alerts", "enabled", "created_at", "created_by", "changed_at", "changed_by"},
}

func (c connector) listDestinations(ctx context.Context, edit client.RequestEditorFn) (*http.Response, error) {
	return c.ListAlertDestinations(ctx, edit)
}

func alertListCommand(r *remote) *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use: "list", Short: "List where alerts are told", Args: cobra.NoArgs, Example: "  erpconnector alert list\n  erpconnector alert list -o json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkOutput(output); err != nil {
				return err
			}
			return r.ask(cmd.Context(), func(c connector) error { return destinationListing.print(cmd, c, output, nil, 0, c.listDestinations) })
		},
	}
	outputFlag(cmd, &output)
	return cmd
}

// alertAddCommand takes the address by the flag of its kind. "-" reads it from the standard input, as Slack's is a secret, which had better
// not stand in the shell's history.
func alertAddCommand(r *remote) *cobra.Command {
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
			return addDestination(cmd, r, d)
		},
	}
	for kind, usage := range map[alert.Kind]string{
		alert.KindWebhook: "a URL that takes Standard Webhooks; - reads it from the standard input",
		alert.KindSlack:   "the URL of an incoming webhook of Slack, or of what understands the same; - reads it from the standard input",
		alert.KindEmail:   "an e-mail address; it needs ALERT_SMTP_URL",
	} {
		addresses[kind] = cmd.Flags().String(string(kind), "", usage)
	}
	cmd.Flags().StringSliceVar(&only, "only", nil, "these alerts only, with commas between: "+listed(domain.AlertKinds, ", "))
	completeWords(cmd, "only", true, domain.AlertKinds...)
	return cmd
}

func addDestination(cmd *cobra.Command, r *remote, d alert.Destination) error {
	if d.Address == "-" {
		text, err := io.ReadAll(io.LimitReader(cmd.InOrStdin(), 4096))
		if err != nil {
			return fmt.Errorf("reading the address: %w", err)
		}
		d.Address = strings.TrimSpace(string(text))
	}
	body := client.NewAlertDestination{Name: d.Name, Kind: client.AlertDestinationKind(d.Kind), Address: d.Address}
	if len(d.Alerts) > 0 {
		body.Alerts = &[]client.AlertKind{}
		for _, kind := range d.Alerts {
			*body.Alerts = append(*body.Alerts, client.AlertKind(kind))
		}
	}
	return r.ask(cmd.Context(), func(c connector) error {
		var made client.AlertDestination
		err := c.change(cmd.Context(), func(ctx context.Context, edit client.RequestEditorFn) (*http.Response, error) {
			return c.AddAlertDestination(ctx, body, edit)
		}, &made)
		if err != nil {
			return byFlags(err, map[string]string{"name": "the name", "address": "--" + string(d.Kind), "alerts": "--only"})
		}
		if made.Secret != nil {
			_, _ = fmt.Fprintln(cmd.OutOrStdout(), *made.Secret)
			_, _ = fmt.Fprintf(cmd.ErrOrStderr(), "destination %d, %q: this is the only time that its secret is shown\n", made.DestinationId, made.Name)
			return nil
		}
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "destination %d, %q\n", made.DestinationId, made.Name)
		return err
	})
}

// askDestination asks for something to be done about the destination that the argument names, or whose id it is.
func askDestination(ctx context.Context, r *remote, args []string, do func(c connector, id int64) error) error {
	return r.ask(ctx, func(c connector) error {
		id, err := c.destination(ctx, args[0])
		if err == nil {
			err = do(c, id)
		}
		if err != nil {
			return fmt.Errorf("destination %s: %w", domain.Printable(args[0]), err)
		}
		return nil
	})
}

// destination is the id of the destination of a name. What is no name of one is an id, or refused with the name that was probably meant.
func (c connector) destination(ctx context.Context, nameOrID string) (id int64, err error) {
	var names []string
	_, err = destinationListing.pages(ctx, c, nil, 0, c.listDestinations, func(d client.AlertDestination, _ json.RawMessage) error {
		if names = append(names, d.Name); d.Name == nameOrID {
			id = d.DestinationId
		}
		return nil
	})
	if err != nil || id != 0 {
		return id, err
	}
	if id, err = strconv.ParseInt(nameOrID, 10, 64); err != nil {
		return 0, fmt.Errorf("there is none of this name: %s", spelling.Hint(nameOrID, names))
	}
	return id, nil
}

func alertRemoveCommand(r *remote) *cobra.Command {
	return &cobra.Command{
		Use: "remove NAME", Short: "Tell alerts there no more; what was not delivered yet is given up", Args: cobra.ExactArgs(1), Example: "  erpconnector alert remove on-call",
		RunE: func(cmd *cobra.Command, args []string) error {
			return askDestination(cmd.Context(), r, args, func(c connector, id int64) error {
				var d client.AlertDestination
				err := c.change(cmd.Context(), func(ctx context.Context, edit client.RequestEditorFn) (*http.Response, error) {
					return c.RemoveAlertDestination(ctx, id, edit)
				}, &d)
				if err == nil {
					_, err = fmt.Fprintf(cmd.OutOrStdout(), "destination %d, %q, is removed\n", d.DestinationId, domain.Printable(d.Name))
				}
				return err
			})
		},
	}
}

// alertTestCommand sends from where it works: from the connector that it asks, or from here. The process that carries the alerter may
// reach less, or more.
func alertTestCommand(r *remote) *cobra.Command {
	return &cobra.Command{
		Use: "test NAME", Short: "Send a test to a destination, and show what comes back", Args: cobra.ExactArgs(1), Example: "  erpconnector alert test on-call",
		Long: "Sends one notice of the type \"test\" at once, and once: from the connector that is asked, or from here, on the stores.\n" +
			"Exit code: 0 it was taken, 1 it was not.",
		RunE: func(cmd *cobra.Command, args []string) error {
			return askDestination(cmd.Context(), r, args, func(c connector, id int64) error {
				var result client.AlertTestResult
				err := c.change(cmd.Context(), func(ctx context.Context, edit client.RequestEditorFn) (*http.Response, error) {
					return c.TestAlertDestination(ctx, id, edit)
				}, &result)
				if err != nil {
					return err
				}
				came := domain.Printable(textOf(result.Said))
				if result.HttpStatus != nil {
					came = strings.TrimSpace(fmt.Sprintf("HTTP %d %s", *result.HttpStatus, came))
				}
				if !result.Delivered {
					return fmt.Errorf("it was not taken: %s", came)
				}
				_, err = fmt.Fprintln(cmd.OutOrStdout(), strings.TrimSpace(fmt.Sprintf("destination %d has taken it: %s %s", id, result.MessageId, came)))
				return err
			})
		},
	}
}

var alertListing = listing[client.Alert]{
	member: "alerts", none: "there is no alert", more: "there are more", flag: "before", most: 500, columns: []column[client.Alert]{
		{"id", func(a client.Alert) string { return strconv.FormatInt(a.AlertId, 10) }},
		{"alert", func(a client.Alert) string { return string(a.Alert) }},
		{"opened", func(a client.Alert) string { return shownTime(a.OpenedAt, time.DateTime) }},
		{"resolved", func(a client.Alert) string {
			if a.ResolvedAt == nil {
				return "open"
			}
			return shownTime(*a.ResolvedAt, time.DateTime)
		}},
		{"told_to", func(a client.Alert) string { return toldTo(a.Deliveries) }},
		{"says", func(a client.Alert) string { return cut(a.Text, 100) }},
	},
	members: []string{"alert_id", "alert", "state", "subject", "opened_at", "told_at", "resolved_at", "level", "text", "next"},
}

func alertHistoryCommand(r *remote) *cobra.Command {
	var open bool
	var output string
	var before int64
	var limit int
	cmd := &cobra.Command{
		Use: "history", Short: "List alerts, the newest first, and how many destinations have them", Args: cobra.NoArgs,
		Example: "  erpconnector alert history --open\n  erpconnector alert history --limit 500 -o csv > alerts.csv",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := errors.Join(checkOutput(output), atLeastOne(limit)); err != nil {
				return err
			}
			query := url.Values{}
			if open {
				query.Set("state", "open")
			}
			if before != 0 {
				query.Set("cursor", strconv.FormatInt(before, 10))
			}
			return r.ask(cmd.Context(), func(c connector) error {
				return alertListing.print(cmd, c, output, query, limit, func(ctx context.Context, edit client.RequestEditorFn) (*http.Response, error) {
					return c.ListAlerts(ctx, nil, edit)
				})
			})
		},
	}
	cmd.Flags().BoolVar(&open, "open", false, "only those that are open")
	cmd.Flags().Int64Var(&before, "before", 0, "only those with a lower id")
	cmd.Flags().IntVar(&limit, "limit", 50, "alerts at most")
	outputFlag(cmd, &output)
	return cmd
}

// toldTo is what became of the newest notices, like "2 delivered, 1 pending".
func toldTo(deliveries []client.AlertDelivery) string {
	n := map[string]int{}
	for _, d := range deliveries {
		n[d.State]++
	}
	var parts []string
	for _, state := range []alert.DeliveryState{alert.Delivered, alert.Pending, alert.Failed} {
		if n[string(state)] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n[string(state)], state))
		}
	}
	return cmp.Or(strings.Join(parts, ", "), "nobody")
}
