package cli

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

// manCommand writes the manual for `man`, a page for each command.
//
//	$ erpconnector man /usr/local/share/man/man1
//	$ man erpconnector-bulk-resync
func manCommand() *cobra.Command {
	return &cobra.Command{
		Use: "man DIR | man -", Short: "Write the manual pages of all commands into a folder, or as a tar", Args: cobra.ExactArgs(1),
		Example: "  erpconnector man /usr/local/share/man/man1 && man erpconnector-resync\n" +
			"  erpconnector man - | tar x -C /usr/local/share/man/man1     # from a container: docker run --rm erpconnector man - | …",
		RunE: func(cmd *cobra.Command, args []string) error {
			if args[0] == "-" {
				return writeManualTar(cmd.Root(), cmd.OutOrStdout())
			}
			if err := os.MkdirAll(args[0], 0o755); err != nil { //nolint:gosec // everybody reads manuals
				return fmt.Errorf("making the folder of the manual: %w", err)
			}
			err := manualPages(cmd.Root(), func(name string, page []byte) error {
				return os.WriteFile(filepath.Join(args[0], name), page, 0o644) //nolint:gosec // everybody reads manuals
			})
			if err != nil {
				return fmt.Errorf("writing the manual: %w", err)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "the manual is in %s: man %s/erpconnector.1\n", args[0], args[0])
			return err
		},
	}
}

// writeManualTar writes all pages as a tar.
func writeManualTar(root *cobra.Command, w io.Writer) error {
	if onTerminal(w) {
		return fmt.Errorf("a tar is not for a terminal: erpconnector man - | tar x -C /usr/local/share/man/man1")
	}
	pages := tar.NewWriter(w)
	err := manualPages(root, func(name string, page []byte) error {
		if err := pages.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(page))}); err != nil {
			return err
		}
		_, err := pages.Write(page)
		return err
	})
	if err == nil {
		err = pages.Close()
	}
	if err != nil {
		return fmt.Errorf("writing the manual: %w", err)
	}
	return nil
}

// manualPages gives do the page of a command and of those below it.
func manualPages(cmd *cobra.Command, do func(name string, page []byte) error) error {
	cmd.DisableAutoGenTag = true
	var page bytes.Buffer
	if err := doc.GenMan(cmd, &doc.GenManHeader{Section: "1", Source: "ERP Connector", Manual: "ERP Connector"}, &page); err != nil {
		return err
	}
	if err := do(strings.ReplaceAll(cmd.CommandPath(), " ", "-")+".1", page.Bytes()); err != nil {
		return err
	}
	for _, c := range cmd.Commands() {
		if !c.IsAvailableCommand() || c.IsAdditionalHelpTopicCommand() {
			continue
		}
		if err := manualPages(c, do); err != nil {
			return err
		}
	}
	return nil
}
