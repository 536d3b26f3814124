package cli

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/erpconnector/erpconnector/shared/client"
	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/setting"
)

// settingsCommand without a subcommand shows them all.
//
//	$ erpconnector settings set cron_batch=9 --reason "a sale begins"
//	cron_batch is 9
//	in force in every process within a second
func settingsCommand() *cobra.Command {
	var r remote
	var output string
	list := func(cmd *cobra.Command, _ []string) error {
		if err := checkOutput(output); err != nil {
			return err
		}
		return r.ask(cmd.Context(), func(c connector) error { return settingListing.print(cmd, c, output, nil, 0, c.listSettings) })
	}
	cmd := &cobra.Command{
		Use: "settings", Short: "See and change what can be changed while the connector runs", Args: cobra.NoArgs,
		Long: "See and change what can be changed while the connector runs. A change is in force in every process within a second.\n" +
			"What nobody has changed is as each process' environment says; on the stores that of this command is shown.",
		Example: "  erpconnector settings\n  erpconnector settings set erp_timeout=10s --reason 'a slow ERP'\n  erpconnector settings -o csv > settings.csv",
		RunE:    list,
	}
	r.operator(cmd)
	outputFlag(cmd, &output)
	listCommand := &cobra.Command{
		Use: "list", Short: "List all settings, as settings alone does", Args: cobra.NoArgs, Example: "  erpconnector settings list -o json", RunE: list,
	}
	outputFlag(listCommand, &output)
	cmd.AddCommand(listCommand, settingsGetCommand(&r), settingsSetCommand(&r), settingsUnsetCommand(&r), settingsHistoryCommand(&r))
	return cmd
}

// settingListing says of a changed setting what the environment says too: that is what `unset` returns to. A value that is not in force
// is called so in its row, as the value beside it is another one.
var settingListing = listing[client.SettingEntry]{
	member: "settings", columns: []column[client.SettingEntry]{
		{"setting", func(e client.SettingEntry) string { return e.Name }},
		{"value", func(e client.SettingEntry) string { return cmp.Or(settingText(e.Name, e.Value), "-") }},
		{"changed", changedText},
	},
	members: []string{"name", "value", "default", "source", "changed_by", "changed_at", "type", "variable", "unused"},
}

func changedText(e client.SettingEntry) string {
	switch {
	case e.Unused != nil:
		return "NOT IN FORCE: " + *e.Unused
	case e.ChangedAt != nil:
		return fmt.Sprintf("%s by %s; %s says %s", e.ChangedAt.UTC().Format(time.DateTime), textOf(e.ChangedBy), e.Variable, cmp.Or(settingText(e.Name, e.Default), "-"))
	}
	return ""
}

// settingText is a setting's value as a command line takes it. One that this program does not know is shown as it came.
func settingText(name string, value any) string {
	raw, _ := json.Marshal(value) // it was JSON a moment ago
	if f, err := setting.Find(name); err == nil {
		s := setting.Defaults()
		if f.Decode(&s, raw) == nil {
			return f.Text(s)
		}
	}
	return memberText(raw)
}

func (c connector) listSettings(ctx context.Context, edit client.RequestEditorFn) (*http.Response, error) {
	return c.Settings(ctx, edit)
}

// shown is a value of which one sees that it is there.
func shown(text string) string { return domain.Printable(cmp.Or(text, "-")) }

// settingsGetCommand prints the bare value with --value, for scripts.
func settingsGetCommand(r *remote) *cobra.Command {
	var value bool
	var output string
	cmd := &cobra.Command{
		Use: "get NAME", Short: "Show one setting: its value, what it takes and who changed it", Args: cobra.ExactArgs(1), ValidArgsFunction: settingNames,
		Example: "  erpconnector settings get erp_timeout\n  erpconnector settings get erp_timeout --value",
		RunE: func(cmd *cobra.Command, args []string) error {
			_, err := setting.Find(args[0])
			if err = errors.Join(err, checkTextOrJSON(output)); err != nil {
				return err
			}
			return r.ask(cmd.Context(), func(c connector) error {
				_, err := settingListing.pages(cmd.Context(), c, nil, 0, c.listSettings, func(e client.SettingEntry, raw json.RawMessage) error {
					switch {
					case e.Name != args[0]:
						return nil
					case output == "json":
						_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s\n", raw)
						return err
					case value:
						_, err := fmt.Fprintln(cmd.OutOrStdout(), settingText(e.Name, e.Value))
						return err
					default:
						return printSetting(cmd.OutOrStdout(), e)
					}
				})
				return err
			})
		},
	}
	cmd.Flags().BoolVar(&value, "value", false, "print the value alone")
	textOrJSON(cmd, &output)
	cmd.MarkFlagsMutuallyExclusive("value", "output")
	return cmd
}

// settingNames completes the name of a setting.
func settingNames(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return setting.Names(), cobra.ShellCompDirectiveNoFileComp
}

// printSetting tells what values a setting takes, so that the next command can be `set`.
func printSetting(w io.Writer, e client.SettingEntry) error {
	var b strings.Builder
	fmt.Fprintf(&b, "setting   %s\nvalue     %s\ndefault   %s (%s)\ntakes     %s\n", e.Name, shown(settingText(e.Name, e.Value)), shown(settingText(e.Name, e.Default)),
		e.Variable, e.Allowed)
	if e.ChangedAt != nil {
		fmt.Fprintf(&b, "changed   %s by %s\n", e.ChangedAt.UTC().Format(time.RFC3339), domain.Printable(textOf(e.ChangedBy)))
	}
	if e.Unused != nil {
		fmt.Fprintf(&b, "NOT IN FORCE: %s\n", domain.Printable(*e.Unused))
	}
	fmt.Fprintf(&b, "\n%s\n", e.Meaning)
	_, err := io.WriteString(w, b.String())
	return err
}

// settingsSetCommand changes all or none: settings that belong together are never seen half changed.
func settingsSetCommand(r *remote) *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use: "set NAME=VALUE…", Short: "Change settings, all that are named or none", Args: cobra.MinimumNArgs(1),
		ValidArgsFunction: func(_ *cobra.Command, _ []string, typed string) (found []string, _ cobra.ShellCompDirective) {
			for _, name := range setting.Names() {
				if strings.HasPrefix(name, typed) {
					found = append(found, name+"=")
				}
			}
			return found, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
		},
		Example: "  erpconnector settings set erp_timeout=10s retryable_codes=409,423 --reason 'a slow ERP'",
		RunE: func(cmd *cobra.Command, args []string) error {
			values, err := parseSettings(args)
			if err != nil {
				return err
			}
			return changeSettings(cmd, r, values, reason)
		},
	}
	reasonFlag(cmd, &reason)
	return cmd
}

// settingsUnsetCommand is not the same as setting the environment's value: that value would stay when the environment changes.
func settingsUnsetCommand(r *remote) *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use: "unset NAME…", Short: "Return settings to what the environment says", Args: cobra.MinimumNArgs(1), ValidArgsFunction: settingNames,
		Example: "  erpconnector settings unset erp_timeout",
		RunE: func(cmd *cobra.Command, names []string) error {
			values := map[string]json.RawMessage{}
			for _, name := range names {
				values[name] = json.RawMessage("null")
			}
			return changeSettings(cmd, r, values, reason)
		},
	}
	reasonFlag(cmd, &reason)
	return cmd
}

// reasonFlag is optional here, as a setting can be changed back; a decision about a dead letter cannot, and demands one.
func reasonFlag(cmd *cobra.Command, reason *string) {
	cmd.Flags().StringVar(reason, "reason", "", "why, for the history")
}

// parseSettings reads NAME=VALUE…, and tells of all that is wrong at once.
func parseSettings(args []string) (map[string]json.RawMessage, error) {
	values, problems := map[string]json.RawMessage{}, []error(nil)
	for _, arg := range args {
		name, text, ok := strings.Cut(arg, "=")
		if !ok {
			problems = append(problems, fmt.Errorf("%q is not NAME=VALUE", arg))
			continue
		}
		f, err := setting.Find(name)
		if err == nil && values[name] != nil {
			err = fmt.Errorf("%s stands there twice; give it once", name)
		}
		if err != nil {
			problems = append(problems, err)
			continue
		}
		s := setting.Defaults()
		if err := f.Parse(&s, text); err != nil {
			problems = append(problems, err)
			continue
		}
		values[name] = f.JSON(s)
	}
	return values, errors.Join(problems...)
}

// changeSettings changes whatever was there before: who types a value has seen the one of now, or does not care.
func changeSettings(cmd *cobra.Command, r *remote, values map[string]json.RawMessage, reason string) error {
	if reason != "" {
		raw, err := json.Marshal(reason)
		if err != nil {
			return err
		}
		values = maps.Clone(values)
		values["reason"] = raw
	}
	body, err := json.Marshal(values)
	if err != nil {
		return err
	}
	return r.ask(cmd.Context(), func(c connector) error {
		var now client.Settings
		err := c.change(cmd.Context(), func(ctx context.Context, edit client.RequestEditorFn) (*http.Response, error) {
			return c.ChangeSettingsWithBody(ctx, &client.ChangeSettingsParams{IfMatch: "*"}, "application/json", bytes.NewReader(body), edit)
		}, &now)
		if err != nil {
			return err
		}
		return printChanged(cmd.OutOrStdout(), now, values)
	})
}

// printChanged says where a value comes from that was returned to the environment's.
func printChanged(w io.Writer, now client.Settings, values map[string]json.RawMessage) error {
	for _, e := range now.Settings {
		if value, named := values[e.Name]; named {
			from := ""
			if string(value) == "null" {
				from = " (" + e.Variable + ")"
			}
			_, _ = fmt.Fprintf(w, "%s is %s%s\n", e.Name, shown(settingText(e.Name, e.Value)), from)
		}
	}
	_, err := fmt.Fprintln(w, "in force in every process within a second")
	return err
}
