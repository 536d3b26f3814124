package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/erpconnector/erpconnector/shared/client"
	"github.com/erpconnector/erpconnector/shared/domain"
)

// syncFilters are the parameters of the lists that are flags of the same name, with hyphens.
var syncFilters = []struct{ parameter, usage string }{
	{"status", "with one of these statuses, with commas between: pending, queued, in_progress, failed, success"},
	{"source", "of this shop"},
	{"order", "of the order with this increment id"},
	{"email", "of orders of this customer"},
	{"erp_reference", "that the ERP calls so"},
	{"idempotency_key", "whose newest key is this"},
	{"error", "with this in the error; a number stands for any number"},
	{"error_code", "with this code, like erp_timeout"},
	{"error_group", "with errors of this kind: erpconnector failures shows them"},
	{"http_status", "whose error is an answer with this status"},
	{"attempts_from", "with at least so many attempts"},
	{"attempts_to", "with at most so many attempts"},
	{"created_since", "requested at this time or later: 2024-01-15T10:00:00Z, a day, or an age like 24h"},
	{"created_until", "requested before that"},
	{"updated_since", "changed at this time or later"},
	{"updated_until", "changed before that: 24h finds what has not changed for a day"},
}

// syncFilterFlags adds a flag for each parameter, or for those that the route takes.
func syncFilterFlags(cmd *cobra.Command, only ...string) {
	for _, f := range syncFilters {
		if len(only) == 0 || slices.Contains(only, f.parameter) {
			cmd.Flags().String(flagOf(f.parameter), "", f.usage)
		}
	}
	completeWords(cmd, "status", true, domain.Statuses...)
}

// filterOf is what was given. An empty value is sent too: the connector says what is wrong with it.
func filterOf(cmd *cobra.Command) url.Values {
	values := url.Values{}
	cmd.Flags().Visit(func(f *pflag.Flag) {
		parameter := strings.ReplaceAll(f.Name, "-", "_")
		for _, known := range syncFilters {
			if known.parameter == parameter {
				values.Set(parameter, f.Value.String())
			}
		}
	})
	return values
}

// listedColumns are what a list can show.
var listedColumns = []column[client.SomeListedSync]{
	{"sync_id", func(s client.SomeListedSync) string { return textOf(s.SyncId) }},
	{"source", func(s client.SomeListedSync) string { return textOf(s.Source) }},
	{"order_increment_id", func(s client.SomeListedSync) string { return textOf(s.OrderIncrementId) }},
	{"status", func(s client.SomeListedSync) string { return textOf(s.Status) }},
	{"attempts", func(s client.SomeListedSync) string { return textOf(s.Attempts) }},
	{"max_attempts", func(s client.SomeListedSync) string { return textOf(s.MaxAttempts) }},
	{"next_attempt_at", func(s client.SomeListedSync) string { return textOf(s.NextAttemptAt) }},
	{"erp_reference", func(s client.SomeListedSync) string { return textOf(s.ErpReference) }},
	{"updated_at", func(s client.SomeListedSync) string { return textOf(s.UpdatedAt) }},
	{"last_error", func(s client.SomeListedSync) string { return textOf(s.LastError) }},
}

const (
	maxListed  = 1_000_000 // by --limit
	listedPage = 500       // the most that the API gives at once
)

var syncListing = listing[client.SomeListedSync]{member: "syncs", columns: listedColumns, most: listedPage, more: "there may be more"}

// listCommand finds orders.
//
//	$ erpconnector list --status failed --error "no such sku"
//	SYNC ID  SOURCE   ORDER INCREMENT ID  STATUS  ATTEMPTS  …
func listCommand() *cobra.Command {
	var r remote
	var output, after string
	var limit int
	cmd := &cobra.Command{
		Use: "list", Short: "List orders by status, error, customer, times and more, the last changed first", Args: cobra.NoArgs,
		Example: "  erpconnector list --status failed --updated-since 24h\n" +
			"  erpconnector list --error 'no such sku' --limit 5000 -o csv > failed.csv\n" +
			"  erpconnector list --email jane@example.com -o ndjson | jq .status",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := errors.Join(checkOutput(output), within("--limit", limit, 1, maxListed)); err != nil {
				return err
			}
			query := filterOf(cmd)
			if after != "" {
				query.Set("cursor", after)
			}
			return r.ask(cmd.Context(), func(c connector) error {
				return syncListing.print(cmd, c, output, query, limit, func(ctx context.Context, edit client.RequestEditorFn) (*http.Response, error) {
					return c.ListSyncs(ctx, nil, edit)
				})
			})
		},
	}
	syncFilterFlags(cmd)
	cmd.Flags().IntVar(&limit, "limit", 50, "how many at most")
	cmd.Flags().StringVar(&after, "after", "", "go on after this cursor, as an earlier page says")
	outputFlag(cmd, &output)
	r.flags(cmd)
	return cmd
}

// asking makes one request within its time.
func asking[T any](ctx context.Context, t target, ask func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, remoteTimeout)
	defer cancel()
	answer, err := ask(ctx)
	if err != nil {
		err = t.failed(err)
	}
	return answer, err
}

// groupColumns are a kind of errors.
var groupColumns = []column[client.ErrorGroup]{
	{"error_group", func(g client.ErrorGroup) string { return g.ErrorGroup }},
	{"syncs", func(g client.ErrorGroup) string { return strconv.FormatInt(g.Syncs, 10) }},
	{"http_status", func(g client.ErrorGroup) string { return textOf(g.HttpStatus) }},
	{"error_code", func(g client.ErrorGroup) string { return g.ErrorCode }},
	{"erp_code", func(g client.ErrorGroup) string { return textOf(g.ErpCode) }},
	{"field", func(g client.ErrorGroup) string { return textOf(g.Field) }},
	{"first_seen", func(g client.ErrorGroup) string { return g.FirstSeen }},
	{"last_seen", func(g client.ErrorGroup) string { return g.LastSeen }},
	{"error", func(g client.ErrorGroup) string { return g.Error }},
}

var groupListing = listing[client.ErrorGroup]{member: "errors", columns: groupColumns}

// failuresCommand says what is wrong, before somebody looks at single orders.
func failuresCommand() *cobra.Command {
	var r remote
	var output string
	cmd := &cobra.Command{
		Use: "failures", Short: "Show the kinds of errors that orders have now, the most frequent first", Args: cobra.NoArgs,
		Example: "  erpconnector failures --status failed\n" +
			"  erpconnector list --error-group 1160422113942515343     # the orders of one kind",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkOutput(output); err != nil {
				return err
			}
			return r.ask(cmd.Context(), func(c connector) error {
				return groupListing.print(cmd, c, output, filterOf(cmd), 0, func(ctx context.Context, edit client.RequestEditorFn) (*http.Response, error) {
					return c.ListErrors(ctx, nil, edit)
				})
			})
		},
	}
	syncFilterFlags(cmd, "source", "status", "error", "error_code", "error_group", "http_status")
	outputFlag(cmd, &output)
	r.flags(cmd)
	return cmd
}

// statusCommand says where an order stands, in lines for people.
//
//	$ erpconnector status 000000123
//	order 000000123 of default: failed after 5 of 5 attempts
//	  error: no such sku A-1
func statusCommand() *cobra.Command {
	var r remote
	var source, output string
	cmd := &cobra.Command{
		Use: "status ORDER", ValidArgsFunction: completeOrders(&r), Short: "Say where an order stands; exit code 1 when it is not known", Args: cobra.ExactArgs(1),
		Example: "  erpconnector status 000000123\n  erpconnector status 000000123 --source outlet -o json",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkTextOrJSON(output); err != nil {
				return err
			}
			c, t, err := r.client(cmd.Context())
			if err != nil {
				return err
			}
			answer, err := orderStatus(cmd.Context(), c, t, args[0], source)
			switch {
			case err != nil:
				return err
			case output == "json":
				_, err = fmt.Fprintln(cmd.OutOrStdout(), strings.TrimSpace(string(answer.Body)))
			case answer.JSON200 != nil:
				_, err = fmt.Fprint(cmd.OutOrStdout(), statusText(*answer.JSON200))
			}
			if err == nil && answer.JSON404 != nil {
				err = errors.New(asCommand(answer.JSON404.Detail))
			}
			return err
		},
	}
	cmd.Flags().StringVar(&source, "source", "", "its shop; default unless said")
	textOrJSON(cmd, &output)
	r.flags(cmd)
	return cmd
}

func orderStatus(ctx context.Context, c client.Client, t target, order, source string) (*client.SyncStatusResponse, error) {
	params := &client.SyncStatusParams{}
	if source != "" {
		params.Source = &source
	}
	answer, err := asking(ctx, t, func(ctx context.Context) (*client.SyncStatusResponse, error) {
		return c.SyncStatusWithResponse(ctx, order, params)
	})
	if err == nil && answer.JSON200 == nil && answer.JSON404 == nil {
		err = t.failed(&noConnectorError{answer.Status()})
	}
	return answer, err
}

// statusText is what an order does, in a sentence, and what belongs to it in lines below.
func statusText(s client.SyncStatus) string {
	var b strings.Builder
	_, _ = fmt.Fprintf(&b, "order %s of %s: %s\n", domain.Printable(s.OrderIncrementId), s.Source, stands(s))
	for _, line := range []struct {
		name string
		text *string
	}{{"reference", s.ErpReference}, {"waits", s.WaitsFor}, {"error", s.LastError}} {
		if textOf(line.text) != "" {
			_, _ = fmt.Fprintf(&b, "  %s: %s\n", line.name, domain.Printable(*line.text))
		}
	}
	_, _ = fmt.Fprintf(&b, "  changed: %s UTC\n", s.UpdatedAt)
	return b.String()
}

func stands(s client.SyncStatus) string {
	attempts := fmt.Sprintf("%d of %d attempts", s.Attempts, s.MaxAttempts)
	switch domain.Status(s.Status) {
	case domain.Success:
		return "in the ERP, after " + attempts
	case domain.Failed:
		return "failed, after " + attempts
	case domain.InProgress:
		return "is being sent, " + attempts + " made"
	case domain.Queued:
		if s.NextAttemptAt != nil {
			return fmt.Sprintf("waits for attempt %d of %d at %s UTC", s.Attempts+1, s.MaxAttempts, *s.NextAttemptAt)
		}
		return "is on its way, " + attempts + " made"
	default:
		return "is held until the connector or its cron lets it go out"
	}
}
