package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/user"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"

	"github.com/erpconnector/erpconnector/shared/config"
	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/postgres"
	"github.com/erpconnector/erpconnector/shared/setting"
)

// settingsCommand without a subcommand shows them all.
//
//	$ erpconnector settings set cron_batch=9 --reason "a sale begins"
//	cron_batch is 9
//	in force in every process within a second
func settingsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "settings", Short: "See and change what can be changed while the connector runs", Args: cobra.NoArgs,
		Long: "See and change what can be changed while the connector runs. A change is in force in every process within a second.\n" +
			"What nobody has changed is as each process' environment says; shown here is the environment of this command.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withSettings(cmd.Context(), func(s *setting.Store) error {
				v, err := s.View(cmd.Context())
				if err != nil {
					return err
				}
				return printSettings(cmd.OutOrStdout(), v)
			})
		},
	}
	cmd.AddCommand(settingsGetCommand(), settingsSetCommand(), settingsUnsetCommand(), settingsHistoryCommand())
	return cmd
}

// printSettings says of a changed setting what the environment says too: that is what `unset` returns to. A value that is not in force
// is called so in its row, as the value beside it is another one.
func printSettings(w io.Writer, v setting.View) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(t, "SETTING\tVALUE\tCHANGED")
	for _, f := range setting.Fields() {
		changed := ""
		if row, ok := v.Row(f.Name); ok {
			changed = fmt.Sprintf("%s by %s; %s says %s", row.At.Format(time.DateTime), domain.Printable(row.By), f.Variable, shown(f.Text(v.Environment)))
		}
		if why := v.Unusable(f.Name); why != "" {
			changed = "NOT IN FORCE: " + domain.Printable(why)
		}
		_, _ = fmt.Fprintf(t, "%s\t%s\t%s\n", f.Name, shown(f.Text(v.Settings)), changed)
	}
	return t.Flush()
}

// shown is a value of which one sees that it is there.
func shown(text string) string { return domain.Printable(cmp.Or(text, "-")) }

// settingsGetCommand prints the bare value with --value, for scripts.
func settingsGetCommand() *cobra.Command {
	var value bool
	cmd := &cobra.Command{
		Use: "get NAME", Short: "Show one setting: its value, what it takes and who changed it", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			f, err := setting.Find(args[0])
			if err != nil {
				return err
			}
			return withSettings(cmd.Context(), func(s *setting.Store) error {
				v, err := s.View(cmd.Context())
				if err != nil {
					return err
				}
				if value {
					_, err = fmt.Fprintln(cmd.OutOrStdout(), f.Text(v.Settings))
					return err
				}
				return printSetting(cmd.OutOrStdout(), v, f)
			})
		},
	}
	cmd.Flags().BoolVar(&value, "value", false, "print the value alone")
	return cmd
}

// printSetting tells what values a setting takes, so that the next command can be `set`.
func printSetting(w io.Writer, v setting.View, f setting.Field) error {
	var b strings.Builder
	fmt.Fprintf(&b, "setting   %s\nvalue     %s\ndefault   %s (%s)\ntakes     %s\n", f.Name, shown(f.Text(v.Settings)), shown(f.Text(v.Environment)), f.Variable, f.Allowed)
	if row, ok := v.Row(f.Name); ok {
		fmt.Fprintf(&b, "changed   %s by %s\n", row.At.Format(time.RFC3339), domain.Printable(row.By))
	}
	if why := v.Unusable(f.Name); why != "" {
		fmt.Fprintf(&b, "NOT IN FORCE: %s\n", domain.Printable(why))
	}
	fmt.Fprintf(&b, "\n%s\n", f.Meaning)
	_, err := io.WriteString(w, b.String())
	return err
}

// settingsSetCommand changes all or none: settings that belong together are never seen half changed.
func settingsSetCommand() *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use: "set NAME=VALUE…", Short: "Change settings, all that are named or none", Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			values, err := parseSettings(args)
			if err != nil {
				return err
			}
			return changeSettings(cmd, values, reason)
		},
	}
	reasonFlag(cmd, &reason)
	return cmd
}

// settingsUnsetCommand is not the same as setting the environment's value: that value would stay when the environment changes.
func settingsUnsetCommand() *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use: "unset NAME…", Short: "Return settings to what the environment says", Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, names []string) error {
			values := map[string]json.RawMessage{}
			for _, name := range names {
				values[name] = json.RawMessage("null")
			}
			return changeSettings(cmd, values, reason)
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

// changeSettings notes the user of the operating system: the command has no other proof of who it is.
func changeSettings(cmd *cobra.Command, values map[string]json.RawMessage, reason string) error {
	return withSettings(cmd.Context(), func(s *setting.Store) error {
		v, err := s.Change(cmd.Context(), setting.Change{Values: values, By: osUser(), Reason: reason})
		if err != nil {
			return err
		}
		return printChanged(cmd.OutOrStdout(), v, values)
	})
}

// printChanged says where a value comes from that was returned to the environment's.
func printChanged(w io.Writer, v setting.View, values map[string]json.RawMessage) error {
	for _, f := range setting.Fields() {
		if value, named := values[f.Name]; named {
			from := ""
			if string(value) == "null" {
				from = " (" + f.Variable + ")"
			}
			_, _ = fmt.Fprintf(w, "%s is %s%s\n", f.Name, shown(f.Text(v.Settings)), from)
		}
	}
	_, err := fmt.Fprintln(w, "in force in every process within a second")
	return err
}

// osUser is who runs the command; a container may have no names for its users.
func osUser() string {
	if u, err := user.Current(); err == nil && u.Username != "" {
		return domain.WhoText.Fit(u.Username)
	}
	return fmt.Sprintf("uid %d", os.Getuid())
}

// settingsHistoryCommand shows the newest first: the last change is the first suspect.
func settingsHistoryCommand() *cobra.Command {
	var f setting.Filter
	var after string
	cmd := &cobra.Command{
		Use: "history [NAME]", Short: "Show who changed what, the newest first", Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if len(args) > 0 {
				if _, err := setting.Find(args[0]); err != nil {
					return err
				}
				f.Name = args[0]
			}
			if f.Limit < 1 {
				return fmt.Errorf("--limit is %d; it must be 1 or more", f.Limit)
			}
			if after != "" {
				if f.After, err = setting.ParseCursor(after); err != nil {
					return fmt.Errorf("--after %s %w", after, err)
				}
			}
			return withSettings(cmd.Context(), func(s *setting.Store) error {
				past, next, err := s.History(cmd.Context(), f)
				if err != nil {
					return err
				}
				if next == nil {
					return printHistory(cmd.OutOrStdout(), past, "")
				}
				return printHistory(cmd.OutOrStdout(), past, nextPage(cmd, args, next.String()))
			})
		},
	}
	cmd.Flags().IntVar(&f.Limit, "limit", 50, "changes at most")
	cmd.Flags().StringVar(&after, "after", "", "start after this one, as an earlier page says")
	return cmd
}

// printHistory says "(environment)" where there was no value of anybody: empty would look like an empty text.
func printHistory(w io.Writer, past []setting.Past, next string) error {
	if len(past) == 0 {
		_, err := fmt.Fprintln(w, "nobody has changed it")
		return err
	}
	value := func(raw json.RawMessage) string {
		if raw == nil {
			return "(environment)"
		}
		return domain.Printable(string(raw))
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(t, "VERSION\tAT\tBY\tSETTING\tBEFORE\tAFTER\tREASON")
	for _, p := range past {
		_, _ = fmt.Fprintf(t, "%d\t%s\t%s\t%s\t%s\t%s\t%s\n", p.Version, p.At.Format(time.DateTime), domain.Printable(p.By), domain.Printable(p.Name),
			value(p.Before), value(p.After), domain.Printable(p.Reason))
	}
	if next != "" {
		_, _ = fmt.Fprintf(t, "there is more: %s\n", next)
	}
	return t.Flush()
}

// withSettings reads the environment's values from this command's environment; each process has its own.
func withSettings(ctx context.Context, use func(*setting.Store) error) error {
	return withDatabase(ctx, func(cfg config.Config, pool *pgxpool.Pool) error {
		return use(setting.NewStore(pool, cfg.Settings, nil))
	})
}

// withDatabase is for commands that work on DATABASE_URL directly.
func withDatabase(ctx context.Context, use func(cfg config.Config, pool *pgxpool.Pool) error) error {
	cfg, err := config.FromEnv(environment(ctx))
	if err != nil {
		return err
	}
	if err := RequireMigrated(ctx, cfg); err != nil {
		return err
	}
	pool, err := openPool(ctx, cfg.DatabaseURL)
	if err != nil {
		return err
	}
	defer pool.Close()
	return use(cfg, pool)
}

func openPool(ctx context.Context, url string) (*pgxpool.Pool, error) {
	poolConfig, err := postgres.ParseConfig(url)
	if err != nil {
		return nil, err
	}
	pool, err := pgxpool.NewWithConfig(ctx, poolConfig)
	if err != nil {
		return nil, fmt.Errorf("DATABASE_URL: %w", err)
	}
	return pool, nil
}
