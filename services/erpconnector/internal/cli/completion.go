package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/erpconnector/erpconnector/shared/client"
	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/spelling"
)

// shells are those that can be told how to complete.
var shells = map[string]func(root *cobra.Command, w io.Writer) error{
	"bash":       func(root *cobra.Command, w io.Writer) error { return root.GenBashCompletionV2(w, true) },
	"zsh":        func(root *cobra.Command, w io.Writer) error { return root.GenZshCompletion(w) },
	"fish":       func(root *cobra.Command, w io.Writer) error { return root.GenFishCompletion(w, true) },
	"powershell": func(root *cobra.Command, w io.Writer) error { return root.GenPowerShellCompletionWithDesc(w) },
}

// completionCommand prints what a shell reads to complete commands, flags, and the words that they take.
func completionCommand() *cobra.Command {
	names := slices.Sorted(maps.Keys(shells))
	return &cobra.Command{
		Use: "completion SHELL", Short: "Print what lets a shell complete commands, flags and names: " + strings.Join(names, ", "),
		Long: "Print what lets a shell complete commands, flags, and the words and names that they take.\n" +
			"bash needs the package bash-completion. To have it in each shell, put the line into ~/.bashrc, ~/.zshrc or the profile of PowerShell.",
		Example: "  source <(erpconnector completion bash)\n  source <(erpconnector completion zsh)\n  erpconnector completion fish | source\n" +
			"  erpconnector completion powershell | Out-String | Invoke-Expression",
		Args: cobra.ExactArgs(1), ValidArgs: names,
		RunE: func(cmd *cobra.Command, args []string) error {
			print, known := shells[args[0]]
			if !known {
				return fmt.Errorf("%q is no shell that is known: %s", args[0], spelling.Hint(args[0], names))
			}
			return print(cmd.Root(), cmd.OutOrStdout())
		},
	}
}

// completeContexts completes --context by the names in the file.
func completeContexts(cmd *cobra.Command) {
	_ = cmd.RegisterFlagCompletionFunc("context", func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) { // the flag is there
		return contextNames(cmd, nil, "")
	})
}

// contextNames are the contexts of the file, for a shell.
func contextNames(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	c, err := readContexts(environment(cmd.Context()))
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	return slices.Sorted(maps.Keys(c.Contexts)), cobra.ShellCompDirectiveNoFileComp
}

// completeWords completes a flag that takes one of these words, or, where commas is set, some of them.
func completeWords[T ~string](cmd *cobra.Command, flag string, commas bool, words ...T) {
	_ = cmd.RegisterFlagCompletionFunc(flag, func(_ *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) { // the flag is there
		before := ""
		if at := strings.LastIndex(typed, ","); commas && at >= 0 {
			before = typed[:at+1]
		}
		found := make([]string, len(words))
		for i, word := range words {
			found[i] = before + string(word)
		}
		return found, cobra.ShellCompDirectiveNoFileComp
	})
}

// completionTimeout is how long somebody who has typed Tab waits for the connector.
const completionTimeout = 2 * time.Second

// completeOrders completes an order by those that have changed last, of the shop that --source names. Without an answer there are none.
func completeOrders(r *remote) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), completionTimeout)
		defer cancel()
		query := url.Values{"source": {"default"}}
		if f := cmd.Flags().Lookup("source"); f.Changed {
			query.Set("source", f.Value.String())
		}
		var found []string
		_ = r.ask(ctx, func(c connector) error { // a shell has no use for an error
			_, err := syncListing.pages(ctx, c, query, 100, func(ctx context.Context, edit client.RequestEditorFn) (*http.Response, error) {
				return c.ListSyncs(ctx, nil, edit)
			}, func(s client.SomeListedSync, _ json.RawMessage) error {
				if order := textOf(s.OrderIncrementId); strings.HasPrefix(order, typed) && domain.Printable(order) == order {
					found = append(found, cobra.CompletionWithDesc(order, textOf(s.Status)))
				}
				return nil
			})
			return err
		})
		return found, cobra.ShellCompDirectiveNoFileComp
	}
}
