package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/erpconnector/erpconnector/services/ingest"
	"github.com/erpconnector/erpconnector/shared/client"
)

// quarantineCommand is a loop for an operator: list, show, correct, send.
//
//	erpconnector quarantine list
//	erpconnector quarantine show 7 --payload > event.json   # and correct it
//	erpconnector quarantine send 7 --event event.json
//	7  accepted: order 000000123 is queued
func quarantineCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "quarantine", Example: "  erpconnector quarantine list\n  erpconnector quarantine send 7 --event event.json", Aliases: []string{"refused"}, Short: "See what was refused, over HTTP or from the commerce outbox, and send it again",
		Long: "Events that cannot be accepted wait here, with the reason.\n" +
			"Correct what is wrong, then send them again: what is accepted leaves the quarantine. What is not needed is discarded.",
	}
	var r remote
	r.operator(cmd)
	cmd.AddCommand(quarantineListCommand(&r), quarantineShowCommand(&r), quarantineSendCommand(&r), quarantineDiscardCommand(&r))
	return cmd
}

// quarantineListing has one entry a line, with its first reason alone. `show` has all of them.
var quarantineListing = listing[client.QuarantineEntry]{
	member: "entries", none: "nothing is in the quarantine", more: "there may be more", most: 500, columns: []column[client.QuarantineEntry]{
		{"id", func(e client.QuarantineEntry) string { return strconv.FormatInt(e.Id, 10) }},
		{"door", func(e client.QuarantineEntry) string { return string(e.Door) }},
		{"source", func(e client.QuarantineEntry) string { return e.Source }},
		{"event", func(e client.QuarantineEntry) string { return cut(textOf(e.EventId), 40) }},
		{"tries", func(e client.QuarantineEntry) string { return strconv.Itoa(e.Tries) }},
		{"since", func(e client.QuarantineEntry) string { return shownTime(e.Since, time.DateTime) }},
		{"reason", func(e client.QuarantineEntry) string { return e.Code + ": " + cut(firstReason(e.Errors), 100) }},
	},
	members: []string{
		"id", "door", "state", "source", "event_id", "order_increment_id", "code", "errors", "tries", "since", "last_refused_at", "bytes", "discarded_at", "discarded_by",
		"discard_reason",
	},
}

// firstReason is the first thing that is wrong, and how many more there are.
func firstReason(all []client.FieldError) string {
	if len(all) == 0 {
		return ""
	}
	text := wrongText(all[0])
	if more := len(all) - 1; more > 0 {
		text = fmt.Sprintf("%s (and %d more)", text, more)
	}
	return text
}

// wrongText is one thing that is wrong, and where.
func wrongText(e client.FieldError) string { return strings.TrimSpace(placeOf(e) + " " + e.Detail) }

// quarantineListCommand lists the oldest first: they wait longest, and often the first one shows the fault of all.
func quarantineListCommand(r *remote) *cobra.Command {
	var words ingest.QuarantineWords
	var output string
	var after int64
	var limit int
	cmd := &cobra.Command{
		Use: "list", Short: "List the quarantine, oldest first", Args: cobra.NoArgs,
		Example: "  erpconnector quarantine list\n  erpconnector quarantine list --code refused --source outlet --limit 5000 -o csv > refused.csv",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := errors.Join(checkOutput(output), checkQuarantineWords(cmd, words), atLeastOne(limit)); err != nil {
				return err
			}
			query := url.Values{"state": {words.State}}
			for name, word := range givenWords(cmd, ingest.QuarantineSelectingWords) {
				query.Set(name, word)
			}
			if after > 0 {
				query.Set("cursor", strconv.FormatInt(after, 10))
			}
			return r.ask(cmd.Context(), func(c connector) error {
				return quarantineListing.print(cmd, c, output, query, limit, func(ctx context.Context, edit client.RequestEditorFn) (*http.Response, error) {
					return c.ListQuarantine(ctx, nil, edit)
				})
			})
		},
	}
	cmd.Flags().StringVar(&words.State, "state", "open", "open, discarded or all")
	completeWords(cmd, "state", false, "open", "discarded", "all")
	quarantineFlags(cmd, &words)
	cmd.Flags().Int64Var(&after, "after", 0, "start after this id")
	cmd.Flags().IntVar(&limit, "limit", 50, "entries at most")
	outputFlag(cmd, &output)
	return cmd
}

// quarantineFlags are the same for list, send --all and discard --all, so that what was listed is what is decided about.
func quarantineFlags(cmd *cobra.Command, w *ingest.QuarantineWords) {
	flags := cmd.Flags()
	flags.StringVar(&w.Door, "door", "", "only what came through this door: "+listed(ingest.QuarantineDoors, ", "))
	flags.StringVar(&w.Source, "source", "", "only of this shop")
	flags.StringVar(&w.Code, "code", "", "only for this reason: "+listed(ingest.QuarantineCodes, ", "))
	flags.StringVar(&w.Order, "order", "", "only about this order (of the shop default, unless --source names another)")
	flags.StringVar(&w.EventID, "event-id", "", "only the event of this id")
	flags.StringVar(&w.Text, "text", "", "only with this in what is wrong, in small or capital letters")
	flags.StringVar(&w.Since, "since", "", "only refused last at this time or later: 2024-01-15T10:00:00Z, or 2024-01-15 (UTC)")
	flags.StringVar(&w.Until, "until", "", "and before this time")
	completeWords(cmd, "door", false, ingest.QuarantineDoors...)
	completeWords(cmd, "code", false, ingest.QuarantineCodes...)
}

// checkQuarantineWords refuses what selects nothing: "nothing is in the quarantine" would be said of a misspelt reason. An empty word is more
// likely an unfilled variable of a script than all.
func checkQuarantineWords(cmd *cobra.Command, w ingest.QuarantineWords) (err error) {
	_, wrong := w.Filter()
	for _, word := range ingest.QuarantineSelectingWords {
		name := flagOf(word)
		if flag := cmd.Flags().Lookup(name); flag.Changed && flag.Value.String() == "" {
			err = errors.Join(err, fmt.Errorf("--%s is empty; leave it out to select all", name))
		}
	}
	for _, one := range wrong {
		err = errors.Join(err, fmt.Errorf("--%s %s", flagOf(one.Parameter), one.Detail))
	}
	return err
}
