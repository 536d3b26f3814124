package cli

import (
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

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
