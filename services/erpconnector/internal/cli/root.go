package cli

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/erpconnector/erpconnector/services/app"
	"github.com/erpconnector/erpconnector/shared/config"
	"github.com/erpconnector/erpconnector/shared/spelling"
)

// Main carries out the process's command line and returns its exit code.
func Main() int {
	return runProgram(Root(), os.Stderr)
}

// Root is the command with all its subcommands. They take their variables from the process's environment, or from
// WithEnvironment.
func Root() *cobra.Command {
	cmd := &cobra.Command{
		Use: "erpconnector", Short: "Brings each paid order into the ERP exactly once", SilenceUsage: true, SilenceErrors: true,
		Example: "  erpconnector up\n  erpconnector list --status failed\n  erpconnector resync 000000123",
	}
	for _, g := range []struct {
		id, title string
		commands  []*cobra.Command
	}{
		{"start", "Start on this machine:", []*cobra.Command{upCommand(), demoCommand()}},
		{"orders", "Orders (over HTTP: API_TOKEN, or a context):", append([]*cobra.Command{
			statusCommand(), watchCommand(), tailCommand(), listCommand(), failuresCommand(), contextCommand(),
		}, orderCommands()...)},
		{"operate", "Operate (on the stores: DATABASE_URL; else over HTTP):", []*cobra.Command{
			erpCommand(), settingsCommand(), tokenCommand(), userCommand(), alertCommand(), quarantineCommand(), deadletterCommand(), bulkCommand(),
		}},
		{"examine", "Examine and mend (on the stores: DATABASE_URL, KAFKA_BROKERS):", []*cobra.Command{
			doctorCommand(), cronCommand(), replayCommand(), auditCommand(), verifyCommand(), rebuildCommand(), repairCommand(),
		}},
		{"run", "Install and run:", []*cobra.Command{
			migrateCommand(), topicsCommand(), runCommand(), healthCommand(), configCommand(), versionCommand(), manCommand(),
		}},
	} {
		cmd.AddGroup(&cobra.Group{ID: g.id, Title: g.title})
		for _, c := range g.commands {
			c.GroupID = g.id
			cmd.AddCommand(c)
		}
	}
	cmd.SetFlagErrorFunc(flagHint)
	for _, c := range slices.Concat(cmd.Commands(), []*cobra.Command{cmd}) {
		if !c.HasSubCommands() {
			continue
		}
		c.Args = knownCommand
		if !c.Runnable() { // it only has commands; cobra would show its help for a misspelt one, and end well
			c.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
		}
	}
	return cmd
}

// flagHint says which flag was probably meant.
func flagHint(cmd *cobra.Command, err error) error {
	name, unknown := strings.CutPrefix(err.Error(), "unknown flag: --")
	if !unknown {
		return err
	}
	var known []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) { known = append(known, "--"+f.Name) })
	if nearest := spelling.Nearest("--"+name, known); nearest != "" {
		return fmt.Errorf("%w: did you mean %s?", err, nearest)
	}
	return fmt.Errorf("%w: `%s --help` lists them", err, cmd.CommandPath())
}

// knownCommand refuses what is no command of a group, and says which was probably meant.
func knownCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	var known []string
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			known = append(known, c.Name())
		}
	}
	return fmt.Errorf("unknown command %q for %q: %s", args[0], cmd.CommandPath(), spelling.Hint(args[0], known))
}

// runCommand looks before it leaps: address, schema and topics are checked, each with what to do, before any service starts. A
// service that met them by itself would tell of it in the words of a library.
func runCommand() *cobra.Command {
	return &cobra.Command{
		Example: "  erpconnector run\n  erpconnector run api projector",
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return app.Names(), cobra.ShellCompDirectiveNoFileComp
		},
		Use:   "run [SERVICE…]",
		Short: "Run services against DATABASE_URL and KAFKA_BROKERS (default: all but mockerp)",
		Args:  knownServices,
		RunE: func(cmd *cobra.Command, names []string) error {
			if len(names) == 0 {
				names = app.DefaultNames()
			}
			cfg, err := CompleteConfig(environment(cmd.Context()))
			if err != nil {
				return err
			}
			if err := reachAddress(cmd.Context(), cfg.HTTP.Addr); err != nil {
				return err
			}
			if err := errors.Join(RequireMigrated(cmd.Context(), cfg), requireTopics(cmd.Context(), cfg)); err != nil {
				return err
			}
			return runServices(cmd.Context(), cfg, names, func() {})
		},
	}
}

// knownServices refuses a name that stands there twice: another one was meant, and would not run.
func knownServices(_ *cobra.Command, names []string) error {
	known := app.Names()
	for i, n := range names {
		switch {
		case !slices.Contains(known, n):
			return fmt.Errorf("there is no service %q: %s", n, spelling.Hint(n, known))
		case slices.Contains(names[:i], n):
			return fmt.Errorf("the service %s is named twice", n)
		}
	}
	return nil
}

// CompleteConfig is the environment's configuration, complete enough to reach real servers.
func CompleteConfig(lookup config.Lookup) (config.Config, error) {
	cfg, err := config.FromEnv(lookup)
	if cfg.DatabaseURL == "" {
		err = errors.Join(err, errNoDatabase)
	}
	if len(cfg.KafkaBrokers) == 0 {
		err = errors.Join(err, errors.New("KAFKA_BROKERS is not set: name the brokers (`erpconnector up` needs none)"))
	}
	return cfg, err
}
