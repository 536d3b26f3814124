package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/erpconnector/erpconnector/shared/client"
	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/run"
)

const (
	tailRetry   = 3 * time.Second // the stream's own `retry`
	maxTailLine = 4 << 20         // of one event
)

// tail follows the stream, and comes again after the last event when it is cut off.
type tail struct {
	c     client.Client
	t     target
	query url.Values
	out   io.Writer
	err   io.Writer
	raw   bool          // the events' JSON, a line each
	retry time.Duration // before it comes again

	last string // the id of the last event
}

// tailCommand shows what happens to orders while it happens.
//
//	$ erpconnector tail --type success,failed
//	10:30:02  default  000000123  failed        422 no such sku A-1
func tailCommand() *cobra.Command {
	var r remote
	var output string
	cmd := &cobra.Command{
		Use: "tail", Short: "Show what happens to orders as it happens, until Ctrl-C", Args: cobra.NoArgs,
		Example: "  erpconnector tail --type success,failed --source outlet\n  erpconnector tail -o ndjson | jq 'select(.http_status == 503)'",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if output != "text" && output != "ndjson" {
				return fmt.Errorf("--output is %q; it must be text or ndjson", output)
			}
			c, t, err := r.client(cmd.Context())
			if err != nil {
				return err
			}
			query := url.Values{}
			for _, name := range []string{"source", "order", "type", "status"} {
				if f := cmd.Flags().Lookup(name); f.Changed {
					query.Set(name, f.Value.String())
				}
			}
			follow := &tail{c: c, t: t, query: query, out: cmd.OutOrStdout(), err: cmd.ErrOrStderr(), raw: output == "ndjson", retry: tailRetry}
			return follow.run(cmd.Context())
		},
	}
	cmd.Flags().String("source", "", "of this shop")
	cmd.Flags().String("order", "", "of the order with this increment id")
	cmd.Flags().String("type", "", "of these types, with commas between: requested, before_send, after_send, success, failed, callback")
	cmd.Flags().String("status", "", "after which the order has one of these statuses")
	cmd.Flags().StringVarP(&output, "output", "o", "text", "text, or ndjson: an object a line")
	completeWords(cmd, "type", true, "requested", "before_send", "after_send", "success", "failed", "callback")
	completeWords(cmd, "status", true, domain.Statuses...)
	completeWords(cmd, "output", false, "text", "ndjson")
	r.flags(cmd)
	return cmd
}

// run follows until ctx ends. The first connection must come about; later ones are tried again.
func (f *tail) run(ctx context.Context) error {
	connected := false
	for ctx.Err() == nil {
		err := f.follow(ctx, &connected)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case !connected, isFinal(err):
			return f.t.failed(err)
		}
		_, _ = fmt.Fprintln(f.err, "the stream was cut off; going on after the last event")
		run.Sleep(ctx, f.retry)
	}
	return ctx.Err()
}

// isFinal reports whether coming again would be of no use: the connector refuses us, or nobody reads what is printed.
func isFinal(err error) bool {
	var p *client.ProblemError
	var written writeError
	return errors.As(err, &written) || errors.As(err, &p) && p.Status < http.StatusInternalServerError
}

// writeError is an error of the output.
type writeError struct{ error }

func (e writeError) Unwrap() error { return e.error }

// follow reads one connection to its end.
func (f *tail) follow(ctx context.Context, connected *bool) error {
	params := &client.StreamEventsParams{}
	optional(&params.LastEventID, f.last)
	answer, err := f.c.StreamEvents(ctx, params, withQuery(f.query))
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	*connected = true
	lines := bufio.NewScanner(answer.Body)
	lines.Buffer(nil, maxTailLine)
	var kind, data, id string
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), ":")
		value = strings.TrimPrefix(value, " ")
		switch name {
		case "event":
			kind = value
		case "data":
			data = value
		case "id":
			id = value
		}
		if lines.Text() != "" {
			continue
		}
		if err := f.event(kind, data); err != nil {
			return err
		}
		if id != "" {
			f.last = id
		}
		kind, data = "", ""
	}
	return lines.Err()
}

// streamed are the members of an event that are shown, and those of a gap and a cut.
type streamed struct {
	Source           string  `json:"source"`
	OrderIncrementID string  `json:"order_increment_id"`
	OccurredAt       string  `json:"occurred_at"`
	Type             string  `json:"type"`
	HTTPStatus       *int    `json:"http_status"`
	Error            *string `json:"error"`
	ErpReference     *string `json:"erp_reference"`
	NextAttemptAt    *string `json:"next_attempt_at"`
	Reason           string  `json:"reason"`
}

// event prints one event. A block without data is a heartbeat.
func (f *tail) event(kind, data string) error {
	if data == "" {
		return nil
	}
	var e streamed
	if err := json.Unmarshal([]byte(data), &e); err != nil {
		return fmt.Errorf("an event of the stream cannot be read: %w", err)
	}
	var err error
	switch {
	case kind == "gap":
		_, err = fmt.Fprintf(f.err, "events are missing here (%s): erpconnector list --updated-since 1h shows what has changed\n", domain.Printable(e.Reason))
	case kind == "cut":
		_, err = fmt.Fprintf(f.err, "the connector ends the stream (%s)\n", domain.Printable(e.Reason))
	case f.raw:
		_, err = fmt.Fprintln(f.out, data)
	default:
		_, err = fmt.Fprintln(f.out, domain.Printable(e.line()))
	}
	if err != nil {
		return writeError{err}
	}
	return nil
}

// line is an event for people.
func (e streamed) line() string {
	_, clock, _ := strings.Cut(strings.NewReplacer("T", " ", "Z", "").Replace(e.OccurredAt), " ")
	text := fmt.Sprintf("%-8.8s  %s  %s  %-11s", clock, e.Source, e.OrderIncrementID, strings.TrimPrefix(e.Type, "vendor_erp_sync_"))
	for _, more := range []string{textOf(e.HTTPStatus), textOf(e.Error), textOf(e.ErpReference)} {
		if more != "" {
			text += " " + more
		}
	}
	if e.NextAttemptAt != nil {
		text += "; next attempt at " + *e.NextAttemptAt
	}
	return strings.TrimRight(text, " ")
}
