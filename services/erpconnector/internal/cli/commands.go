package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/erpconnector/erpconnector/shared/client"
	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/run"
)

// orderCommand is a command about one order: what it needs beside the order, and the request that carries it.
type orderCommand struct {
	use, short, example string

	needsReason bool
	settles     bool // it takes --reference
	resyncs     bool // it takes --new-key
	send        func(ctx context.Context, c client.Client, body client.OrderRequest, wait client.RequestEditorFn) (*http.Response, error)
}

func orderCommands() []*cobra.Command {
	return []*cobra.Command{
		orderCommand{
			use: "sync ORDER", short: "Send an order to the ERP, unless it is there or under way", example: "  erpconnector sync 000000123 --source outlet",
			send: func(ctx context.Context, c client.Client, body client.OrderRequest, wait client.RequestEditorFn) (*http.Response, error) {
				return c.SyncOrder(ctx, nil, body, wait)
			},
		}.command(),
		orderCommand{
			use: "resync ORDER | resync --filter WORD=VALUE…", short: "Send an order again that has failed, or all that a filter selects", resyncs: true,
			example: "  erpconnector resync 000000123\n" +
				"  erpconnector resync --filter status=failed --filter error='no such sku' --dry-run\n" +
				"  erpconnector resync 000000123 --new-key --reason 'it was deleted in the ERP'     # the ERP books it a second time",
			send: func(ctx context.Context, c client.Client, body client.OrderRequest, wait client.RequestEditorFn) (*http.Response, error) {
				return c.ResyncOrder(ctx, nil, body, wait)
			},
		}.command(),
		orderCommand{
			use: "send-now ORDER", short: "Send an order now that waits for its next attempt", needsReason: true,
			example: "  erpconnector send-now 000000123 --reason 'the ERP is back'",
			send: func(ctx context.Context, c client.Client, body client.OrderRequest, wait client.RequestEditorFn) (*http.Response, error) {
				return c.SendOrderNow(ctx, nil, body, wait)
			},
		}.command(),
		orderCommand{
			use: "cancel ORDER", short: "End the sync of an order that has not reached the ERP", needsReason: true,
			example: "  erpconnector cancel 000000123 --reason 'a test order'",
			send: func(ctx context.Context, c client.Client, body client.OrderRequest, wait client.RequestEditorFn) (*http.Response, error) {
				return c.CancelOrder(ctx, nil, body, wait)
			},
		}.command(),
		orderCommand{
			use: "settle ORDER", short: "Say that the ERP has an order, so that it is sent no more", needsReason: true, settles: true,
			example: "  erpconnector settle 000000123 --reference INV-77 --reason 'booked by hand'",
			send: func(ctx context.Context, c client.Client, body client.OrderRequest, wait client.RequestEditorFn) (*http.Response, error) {
				return c.SettleOrder(ctx, nil, body, wait)
			},
		}.command(),
	}
}

const maxCommandWait = 60 * time.Second

// orderFlags are what a command about an order is asked for.
type orderFlags struct {
	source, reason, reference, output string

	newKey bool
	wait   time.Duration
}

func (o orderCommand) command() *cobra.Command {
	var r remote
	var f orderFlags
	many := &manyOrders{}
	cmd := &cobra.Command{
		Use: o.use, ValidArgsFunction: completeOrders(&r), Short: o.short, Example: o.example, Args: cobra.ExactArgs(1),
		Long: o.short + ".\nThe exit code is 0 when it was done, or is under way after --wait; 1 when it was refused, or the order has failed.",
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.resyncs && many.wanted() {
				return many.run(cmd, &r, f, args)
			}
			body, err := o.body(f, args[0])
			if err != nil {
				return err
			}
			return o.run(cmd, &r, f, body)
		},
	}
	cmd.Flags().StringVar(&f.source, "source", "", "the order's shop; default unless said")
	cmd.Flags().StringVar(&f.reason, "reason", "", "why, for the order's history")
	cmd.Flags().DurationVar(&f.wait, "wait", 10*time.Second, "how long to wait for the end, 60s at most")
	textOrJSON(cmd, &f.output)
	if o.resyncs {
		cmd.Flags().BoolVar(&f.newKey, "new-key", false, "under a new idempotency key, also when the ERP has the order: it books it a second time")
		many.flags(cmd)
	}
	if o.settles {
		cmd.Flags().StringVar(&f.reference, "reference", "", "what the ERP calls the order")
	}
	r.flags(cmd)
	return cmd
}

// body is the request's, once nothing is wrong with the flags.
func (o orderCommand) body(f orderFlags, order string) (body client.OrderRequest, err error) {
	if err := errors.Join(checkTextOrJSON(f.output), within("--wait", f.wait, 0, maxCommandWait)); err != nil {
		return body, err
	}
	if f.reason == "" && (o.needsReason || f.newKey) {
		return body, errors.New("--reason is required: it stays in the order's history")
	}
	body.OrderIncrementId = order
	optional(&body.Source, f.source)
	optional(&body.Reason, f.reason)
	if f.newKey {
		body.NewKey = &f.newKey
	}
	if f.reference != "" {
		body.ErpReference = &client.OrderRequest_ErpReference{}
		err = body.ErpReference.FromOrderRequestErpReference0(f.reference)
	}
	return body, err
}

func (o orderCommand) run(cmd *cobra.Command, r *remote, f orderFlags, body client.OrderRequest) error {
	c, t, err := r.client(cmd.Context())
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), remoteTimeout+f.wait)
	defer cancel()
	answer, err := o.send(ctx, c, body, withQuery(url.Values{"wait": {strconv.FormatFloat(f.wait.Seconds(), 'f', -1, 64)}}))
	if err != nil {
		return t.failed(err)
	}
	defer func() { _ = answer.Body.Close() }()
	var result client.CommandResult // the same whether the sync has ended (200) or is under way (202)
	if err := json.NewDecoder(answer.Body).Decode(&result); err != nil {
		return t.failed(err)
	}
	return printResult(cmd, result, f.output)
}

func optional(member **string, text string) {
	if text != "" {
		*member = &text
	}
}

// printResult says what became of a command. A sync that has failed is an error, though the command was carried out.
func printResult(cmd *cobra.Command, r client.CommandResult, output string) error {
	if output == "json" {
		if err := json.NewEncoder(cmd.OutOrStdout()).Encode(r); err != nil {
			return err
		}
	} else if _, err := fmt.Fprintln(cmd.OutOrStdout(), resultText(r)); err != nil {
		return err
	}
	if !r.Success && domain.Status(r.Status) == domain.Failed {
		return errors.New("the order has failed")
	}
	return nil
}

func resultText(r client.CommandResult) string {
	text := fmt.Sprintf("%s: order %s of %s is %s after %s", r.Message, r.OrderIncrementId, r.Source, r.Status, counted(r.Attempts, "attempt"))
	for _, more := range []struct {
		name string
		text *string
	}{{"reference", r.ErpReference}, {"next attempt", r.NextAttemptAt}, {"error", r.LastError}} {
		if textOf(more.text) != "" {
			text += "; " + more.name + " " + *more.text
		}
	}
	return domain.Printable(text)
}

const watchInterval = time.Second

// watchCommand follows one order to its end.
//
//	$ erpconnector watch 000000123
//	10:30:01  is on its way, 0 of 5 attempts made
//	10:30:02  waits for attempt 2 of 5 at 2024-01-15 10:31:02 UTC (error: the ERP answered 503)
func watchCommand() *cobra.Command {
	var r remote
	var source string
	cmd := &cobra.Command{
		Use: "watch ORDER", ValidArgsFunction: completeOrders(&r), Short: "Follow an order until it has reached the ERP or failed; exit code 1 when it has failed", Args: cobra.ExactArgs(1),
		Example: "  erpconnector watch 000000123 --source outlet",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, t, err := r.client(cmd.Context())
			if err != nil {
				return err
			}
			said := ""
			for {
				answer, err := orderStatus(cmd.Context(), c, t, args[0], source)
				if err != nil {
					return err
				}
				now, ended, failed := watched(answer)
				if now != said {
					said = now
					if _, err := fmt.Fprintln(cmd.OutOrStdout(), time.Now().UTC().Format(time.TimeOnly)+"  "+now); err != nil {
						return err
					}
				}
				if failed {
					return errors.New("the order has failed")
				}
				if ended {
					return nil
				}
				if !run.Sleep(cmd.Context(), watchInterval) {
					return cmd.Context().Err()
				}
			}
		},
	}
	cmd.Flags().StringVar(&source, "source", "", "its shop; default unless said")
	r.flags(cmd)
	return cmd
}

// watched is what an order does, in a line. One that is not known yet may come.
func watched(answer *client.SyncStatusResponse) (now string, ended, failed bool) {
	if answer.JSON200 == nil {
		return asCommand(answer.JSON404.Detail), false, false
	}
	s := *answer.JSON200
	now = stands(s)
	if s.ErpReference != nil {
		now += " (" + *s.ErpReference + ")"
	}
	if s.LastError != nil && domain.Status(s.Status) != domain.Success {
		now += " (error: " + *s.LastError + ")"
	}
	failed = domain.Status(s.Status) == domain.Failed
	return domain.Printable(now), failed || domain.Status(s.Status) == domain.Success, failed
}
