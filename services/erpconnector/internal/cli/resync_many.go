package cli

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/erpconnector/erpconnector/services/api"
	"github.com/erpconnector/erpconnector/shared/bulk"
	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/spelling"
)

// manyOrders is a resync of the orders that a filter selects: `bulk resync`, with the filter as the API writes it. With --dry-run it can be
// about one order, too.
type manyOrders struct {
	filter     []string
	dryRun     bool
	yes        bool
	background bool
	canary     int
}

func (m *manyOrders) flags(cmd *cobra.Command) {
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		flags := cmd.Flags()
		switch {
		case len(m.filter) == 0 && (flags.Changed("yes") || flags.Changed("background") || flags.Changed("canary")):
			return errors.New("--yes, --background and --canary go with --filter")
		case len(m.filter) == 0:
			return cobra.ExactArgs(1)(cmd, args)
		case len(args) > 0:
			return errors.New("name an order, or give --filter, not both")
		}
		return nil
	}
	f := cmd.Flags()
	f.StringArrayVar(&m.filter, "filter", nil, "in place of an order: all that this selects, like status=failed; more than one narrows it down. Words: "+strings.Join(api.BulkWords, ", "))
	f.BoolVar(&m.dryRun, "dry-run", false, "only show what would be done")
	f.BoolVar(&m.yes, "yes", false, "with --filter: start without asking")
	f.BoolVar(&m.background, "background", false, "with --filter: do not wait for the job's end")
	f.IntVar(&m.canary, "canary", 0, "with --filter: so many orders must succeed before the others go out; 0: none; the setting bulk_canary unless given")
	_ = cmd.RegisterFlagCompletionFunc("filter", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) { // the flag is there
		words := make([]string, len(api.BulkWords))
		for i, word := range api.BulkWords {
			words[i] = word + "="
		}
		return words, cobra.ShellCompDirectiveNoSpace | cobra.ShellCompDirectiveNoFileComp
	})
}

// wanted reports whether the command is about many orders, or only a preview.
func (m *manyOrders) wanted() bool { return len(m.filter) > 0 || m.dryRun }

func (m *manyOrders) run(cmd *cobra.Command, r *remote, o orderFlags, args []string) error {
	words, err := m.words(o, args)
	if err != nil {
		return err
	}
	f := bulkFlags{newKey: o.newKey, reason: o.reason, canary: m.canary, yes: m.yes, dryRun: m.dryRun, background: m.background}
	if err := f.check(bulk.Resync, words, func(name string) string { return "--filter " + name }); err != nil {
		return err
	}
	return r.ask(cmd.Context(), func(c connector) error { return runBulk(cmd, c, bulk.Resync, f, words) })
}

// words are what selects the orders.
func (m *manyOrders) words(o orderFlags, args []string) (url.Values, error) {
	words := url.Values{}
	if len(args) > 0 {
		words.Set("order", args[0])
		words.Set("source", cmp.Or(o.source, domain.DefaultSource))
		return words, nil
	}
	var wrong []error
	for _, one := range m.filter {
		name, value, ok := strings.Cut(one, "=")
		switch {
		case !ok:
			wrong = append(wrong, fmt.Errorf("--filter %q is not WORD=VALUE, like status=failed", one))
		case !slices.Contains(api.BulkWords, name):
			wrong = append(wrong, fmt.Errorf("--filter knows no word %q: %s", name, spelling.Hint(name, api.BulkWords)))
		case words.Has(name):
			wrong = append(wrong, fmt.Errorf("--filter has %s twice; give it once", name))
		default:
			words.Set(name, value)
		}
	}
	if o.source != "" && !words.Has("source") {
		words.Set("source", o.source)
	}
	return words, errors.Join(wrong...)
}
