package cli

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"github.com/erpconnector/erpconnector/shared/config"
	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/spelling"
)

// contexts are the installations that a person works with, kept in a file of theirs.
type contexts struct {
	Current  string                  `json:"current,omitempty"`
	Contexts map[string]installation `json:"contexts"`

	path string
}

type installation struct {
	URL       string `json:"url"`
	TokenFile string `json:"token_file"` // read at each command, so that it can change
}

// contextsPath is where the file is: ERPCONNECTOR_CONFIG, or below the user's configuration.
func contextsPath(lookup config.Lookup) (string, error) {
	if path, ok := lookup("ERPCONNECTOR_CONFIG"); ok && path != "" {
		return path, nil
	}
	dir, err := os.UserConfigDir()
	if err != nil {
		return "", fmt.Errorf("where contexts are kept is not known: %w; name a file with ERPCONNECTOR_CONFIG", err)
	}
	return filepath.Join(dir, "erpconnector", "contexts.json"), nil
}

// readContexts reads the file. None is no error: there are no contexts then.
func readContexts(lookup config.Lookup) (contexts, error) {
	path, err := contextsPath(lookup)
	c := contexts{Contexts: map[string]installation{}, path: path}
	if err != nil {
		return c, err
	}
	content, err := os.ReadFile(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return c, nil
	case err != nil:
		return c, fmt.Errorf("reading contexts: %w", err)
	}
	if err := json.Unmarshal(content, &c); err != nil {
		return c, fmt.Errorf("%s cannot be read: %w; mend it, or delete it and begin anew", path, err)
	}
	return c, nil
}

// write replaces the file as a whole, so that an interruption leaves the former one.
func (c contexts) write() error {
	content, err := json.MarshalIndent(c, "", "  ")
	if err == nil {
		err = os.MkdirAll(filepath.Dir(c.path), 0o700)
	}
	if err == nil {
		err = os.WriteFile(c.path+".new", append(content, '\n'), 0o600)
	}
	if err == nil {
		err = os.Rename(c.path+".new", c.path)
	}
	if err != nil {
		return fmt.Errorf("keeping contexts: %w; another file can be named with ERPCONNECTOR_CONFIG", err)
	}
	return nil
}

// target is the installation of a name.
func (c contexts) target(name string) (target, error) {
	in, err := c.known(name)
	if err != nil {
		return target{}, err
	}
	token, err := config.ReadSecret(in.TokenFile, config.SecretToken)
	if err != nil {
		return target{}, fmt.Errorf("the token of the context %s: %w", domain.Printable(name), err)
	}
	return target{url: in.URL, token: token, from: in.TokenFile}, nil
}

func (c contexts) known(name string) (installation, error) {
	in, there := c.Contexts[name]
	if len(c.Contexts) == 0 {
		return in, fmt.Errorf("there is no context %q, and no other one yet: %s", name, makeContext)
	}
	if !there {
		return in, fmt.Errorf("there is no context %q: %s", name, spelling.Hint(name, slices.Sorted(maps.Keys(c.Contexts))))
	}
	return in, nil
}

// contextCommand names installations, so that nobody types their addresses and tokens.
//
//	$ erpconnector context set prod --url https://erp.example.com --token-file ~/.erp-token
//	$ erpconnector context use prod
//	$ erpconnector list --status failed
func contextCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "context", Short: "Name installations, and choose the one that commands over HTTP ask",
		Example: "  erpconnector context set prod --url https://erp.example.com --token-file ~/.erp-token\n" +
			"  erpconnector context use prod\n" +
			"  erpconnector list --status failed --context test",
	}
	cmd.AddCommand(contextListCommand(), contextSetCommand(), contextUseCommand(), contextRemoveCommand())
	return cmd
}

// makeContext is what to do where there is no context.
const makeContext = "`erpconnector context set NAME --url URL --token-file FILE` makes one"

func contextListCommand() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use: "list", Example: "  erpconnector context list\n  erpconnector context list -o json", Short: "List the contexts; * is the one in use", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := readContexts(environment(cmd.Context()))
			if err = errors.Join(err, checkOutput(output)); err != nil {
				return err
			}
			return printContexts(cmd, c, output)
		},
	}
	outputFlag(cmd, &output)
	return cmd
}

// contextRow is a context in a list.
type contextRow struct {
	Name string `json:"name"`
	installation
	InUse bool `json:"in_use"`
}

func printContexts(cmd *cobra.Command, c contexts, output string) error {
	p := &rowPrinter[contextRow]{
		w: cmd.OutOrStdout(), output: output, colour: coloured(cmd.Context(), cmd.OutOrStdout()), none: "there are no contexts yet: " + makeContext,
		members: []string{"name", "url", "token_file", "in_use"},
		columns: []column[contextRow]{
			{"", func(r contextRow) string {
				if r.InUse {
					return "*"
				}
				return ""
			}},
			{"name", func(r contextRow) string { return r.Name }},
			{"url", func(r contextRow) string { return r.URL }},
			{"token_file", func(r contextRow) string { return r.TokenFile }},
		},
	}
	for _, name := range slices.Sorted(maps.Keys(c.Contexts)) {
		row := contextRow{name, c.Contexts[name], name == c.Current}
		raw, err := json.Marshal(row)
		if err == nil {
			err = p.add(row, raw)
		}
		if err != nil {
			return err
		}
	}
	return p.end()
}

func contextSetCommand() *cobra.Command {
	var in installation
	cmd := &cobra.Command{
		Use: "set NAME --url URL --token-file FILE", Example: "  erpconnector context set prod --url https://erp.example.com --token-file ~/.erp-token", Short: "Make a context, or change it; the first one is in use at once", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			in.URL = withScheme(in.URL)
			if u, err := url.Parse(in.URL); err != nil || u.Host == "" {
				return errors.New("--url is required, like https://erp.example.com")
			}
			path, err := filepath.Abs(in.TokenFile)
			if err != nil || in.TokenFile == "" {
				return errors.New("--token-file is required: a file that holds the token and nobody else may read")
			}
			in.TokenFile = path
			if _, err := config.ReadSecret(path, config.SecretToken); err != nil {
				return fmt.Errorf("--token-file: %w", err)
			}
			return changeContexts(cmd, func(c *contexts) error {
				c.Contexts[args[0]] = in
				c.Current = cmp.Or(c.Current, args[0])
				return nil
			})
		},
	}
	cmd.Flags().StringVar(&in.URL, "url", "", "of the connector; required")
	cmd.Flags().StringVar(&in.TokenFile, "token-file", "", "the file that holds the token; required")
	return cmd
}

func contextUseCommand() *cobra.Command {
	return &cobra.Command{
		Use: "use NAME", ValidArgsFunction: contextNames, Example: "  erpconnector context use prod", Short: "Choose the context that commands ask from now on", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return changeContexts(cmd, func(c *contexts) error {
				_, err := c.known(args[0])
				c.Current = args[0]
				return err
			})
		},
	}
}

func contextRemoveCommand() *cobra.Command {
	return &cobra.Command{
		Use: "remove NAME", ValidArgsFunction: contextNames, Example: "  erpconnector context remove test", Short: "Forget a context; its token file stays", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return changeContexts(cmd, func(c *contexts) error {
				_, err := c.known(args[0])
				delete(c.Contexts, args[0])
				if c.Current == args[0] {
					c.Current = ""
				}
				return err
			})
		},
	}
}

// changeContexts changes the file, and says what is there then.
func changeContexts(cmd *cobra.Command, change func(*contexts) error) error {
	c, err := readContexts(environment(cmd.Context()))
	if err == nil {
		err = change(&c)
	}
	if err == nil {
		err = c.write()
	}
	if err != nil {
		return err
	}
	return printContexts(cmd, c, "table")
}
