package cli

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

// manCommand writes the manual for `man`, a page for each command.
//
//	$ erpconnector man /usr/local/share/man/man1
//	$ man erpconnector-bulk-resync
func manCommand() *cobra.Command {
	return &cobra.Command{
		Use: "man DIR", Short: "Write the manual pages of all commands into a folder", Args: cobra.ExactArgs(1),
		Example: "  erpconnector man /usr/local/share/man/man1 && man erpconnector-resync",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := os.MkdirAll(args[0], 0o755); err != nil { //nolint:gosec // everybody reads manuals
				return fmt.Errorf("making the folder of the manual: %w", err)
			}
			root := cmd.Root()
			root.DisableAutoGenTag = true
			if err := doc.GenManTree(root, &doc.GenManHeader{Section: "1", Source: "ERP Connector", Manual: "ERP Connector"}, args[0]); err != nil {
				return fmt.Errorf("writing the manual: %w", err)
			}
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "the manual is in %s: man %s/erpconnector.1\n", args[0], args[0])
			return err
		},
	}
}
