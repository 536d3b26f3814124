package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/erpconnector/erpconnector/shared/client"
	"github.com/erpconnector/erpconnector/shared/deadletter"
)

// deadletterCommand is about the records that nobody could read. The database keeps nothing of their content: show reads the topic.
func deadletterCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "deadletter", Example: "  erpconnector deadletter list\n  erpconnector deadletter redrive 17 --reason 'the cause is gone'", Short: "See the records that nobody could read, and decide about them",
		Long: "A record that its reader could not use stands among the dead letters, with the reason. One that kept an order going has\n" +
			"stopped the order: its status is failed. resync-order sends such an order again, as it is known now, and discards the letter.\n" +
			"redrive sends the very record back to where it came from, once the cause is gone.",
	}
	var r remote
	r.operator(cmd)
	cmd.AddCommand(deadletterListCommand(&r), deadletterShowCommand(&r), deadletterRedriveCommand(&r), deadletterDiscardCommand(&r))
	return cmd
}

// deadletterListCommand shows the open letters unless asked otherwise: those are the ones that wait for somebody.
//
//	ID  STATE  WRITTEN              BY      ORDER      STOPPED       FROM                            REASON
//	17  open   2024-01-15 10:30:00  syncer  000000123  generation 1  vendor_erp_sync_requested/3@10  no JSON
var letterListing = listing[client.DeadLetter]{
	member: "dead_letters", none: "there are no such dead letters", more: "there are more", most: 500, columns: []column[client.DeadLetter]{
		{"id", func(l client.DeadLetter) string { return strconv.FormatInt(l.Id, 10) }},
		{"state", func(l client.DeadLetter) string { return string(l.State) }},
		{"written", func(l client.DeadLetter) string { return shownTime(l.WrittenAt, time.DateTime) }},
		{"by", func(l client.DeadLetter) string { return cmp.Or(cut(l.WrittenBy, 40), "-") }},
		{"order", func(l client.DeadLetter) string { return cmp.Or(cut(l.Key, 60), "-") }},
		{"stopped", func(l client.DeadLetter) string {
			if l.StoppedGeneration == nil {
				return "-"
			}
			return fmt.Sprintf("generation %d", *l.StoppedGeneration)
		}},
		{"from", func(l client.DeadLetter) string { return cameFrom(l) }},
		{"reason", func(l client.DeadLetter) string { return cut(l.Reason, 100) }},
	},
	members: []string{
		"id", "state", "written_at", "written_by", "reason", "source", "order_increment_id", "stopped_generation", "redrives", "topic", "partition", "offset", "key",
		"ce_id", "bytes", "decided_by", "decided_at", "decision",
	},
}

func deadletterListCommand(r *remote) *cobra.Command {
	var words deadletter.Words
	var output string
	var after int64
	var limit int
	cmd := &cobra.Command{
		Use: "list", Short: "List dead letters, the oldest first", Args: cobra.NoArgs,
		Example: "  erpconnector deadletter list\n  erpconnector deadletter list --cause 'no JSON' --state all -o csv > letters.csv",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := errors.Join(checkOutput(output), checkLetterWords(cmd, words), atLeastOne(limit)); err != nil {
				return err
			}
			query := url.Values{"state": {words.State}}
			for name, word := range givenWords(cmd, deadletter.SelectingWords) {
				query.Set(name, word)
			}
			if after >= 0 {
				query.Set("cursor", strconv.FormatInt(after, 10))
			}
			return r.ask(cmd.Context(), func(c connector) error {
				return letterListing.print(cmd, c, output, query, limit, func(ctx context.Context, edit client.RequestEditorFn) (*http.Response, error) {
					return c.ListDeadLetters(ctx, nil, edit)
				})
			})
		},
	}
	cmd.Flags().StringVar(&words.State, "state", "open", "open, redriven, discarded or all")
	completeWords(cmd, "state", false, "open", "redriven", "discarded", "all")
	letterFlags(cmd, &words)
	cmd.Flags().Int64Var(&after, "after", -1, "start after this id")
	cmd.Flags().IntVar(&limit, "limit", 50, "letters at most")
	outputFlag(cmd, &output)
	return cmd
}

// givenWords are the words that flags gave, by their names in the API.
func givenWords(cmd *cobra.Command, names []string) map[string]string {
	given := map[string]string{}
	for _, name := range names {
		if flag := cmd.Flags().Lookup(flagOf(name)); flag != nil && flag.Changed {
			given[name] = flag.Value.String()
		}
	}
	return given
}

// letterFlags select dead letters, by the words of the API.
func letterFlags(cmd *cobra.Command, w *deadletter.Words) {
	flags := cmd.Flags()
	flags.StringVar(&w.Topic, "topic", "", "only records of this topic, without the prefix")
	flags.StringVar(&w.Cause, "cause", "", "only with this in the reason, in small or capital letters")
	flags.StringVar(&w.Source, "source", "", "only orders of this shop")
	flags.StringVar(&w.Order, "order", "", "only of this order (of the shop default, unless --source names another)")
	flags.StringVar(&w.Since, "since", "", "only written at this time or later: 2024-01-15T10:00:00Z, or 2024-01-15 (UTC)")
	flags.StringVar(&w.Until, "until", "", "and before this time")
}

// checkLetterWords refuses an empty word: it is more likely an unfilled variable of a script than all.
func checkLetterWords(cmd *cobra.Command, w deadletter.Words) (err error) {
	_, wrong := w.Filter()
	for _, name := range deadletter.SelectingWords {
		if flag := cmd.Flags().Lookup(name); flag.Changed && flag.Value.String() == "" {
			err = errors.Join(err, fmt.Errorf("--%s is empty; leave it out to select all", name))
		}
	}
	for _, one := range wrong {
		err = errors.Join(err, fmt.Errorf("--%s %s", one.Parameter, one.Detail))
	}
	return err
}

// cameFrom is where the record stood: topic/partition@offset. A letter of a row that was never relayed has no such place.
func cameFrom(l client.DeadLetter) string {
	if l.Topic == "" {
		return "not said"
	}
	return fmt.Sprintf("%s/%d@%d", cut(l.Topic, 60), l.Partition, l.Offset)
}
