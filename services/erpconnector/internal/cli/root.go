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
	"github.com/erpconnector/erpconnector/services/erpconnector/internal/timerslack"
	"github.com/erpconnector/erpconnector/shared/config"
	"github.com/erpconnector/erpconnector/shared/spelling"
)

// longRunning are the commands that run services.
var longRunning = []string{"up", "run"}

// Main carries out the process's command line and returns its exit code.
func Main() int {
	if len(os.Args) > 1 && slices.Contains(longRunning, os.Args[1]) {
		timerslack.Widen()
	}
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
			migrateCommand(), topicsCommand(), runCommand(), healthCommand(), configCommand(), versionCommand(), completionCommand(), manCommand(),
		}},
	} {
		cmd.AddGroup(&cobra.Group{ID: g.id, Title: g.title})
		for _, c := range g.commands {
			c.GroupID = g.id
			cmd.AddCommand(c)
		}
	}
	cmd.SetFlagErrorFunc(flagHint)
	cmd.InitDefaultHelpCmd()
	cmd.SetHelpCommandGroupID("run")
	explainMisuse(cmd)
	return cmd
}

// explainMisuse lets a command and those below it say what was wrong with how they were called, and what is right.
func explainMisuse(cmd *cobra.Command) {
	if cmd.HasSubCommands() {
		cmd.Args = knownCommand
		if !cmd.Runnable() { // it only has commands; cobra would show its help for a misspelt one, and end well
			cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
		}
	} else if check := cmd.Args; check != nil {
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			return argumentHint(cmd, args, check(cmd, args))
		}
	}
	for _, c := range cmd.Commands() {
		if c.Name() == "help" {
			c.Args, c.Run, c.RunE = nil, nil, helpOf
			continue
		}
		explainMisuse(c)
	}
}

// helpOf prints the help of the command that the arguments name.
func helpOf(cmd *cobra.Command, args []string) error {
	named, rest, err := cmd.Root().Find(args)
	if err == nil && len(rest) > 0 {
		err = knownCommand(named, rest)
	}
	if err != nil {
		return err
	}
	return named.Help()
}

// argumentHint says in other words than cobra's that a command takes more arguments, fewer or none. The command's own exit code stays.
func argumentHint(cmd *cobra.Command, args []string, err error) error {
	if err == nil {
		return nil
	}
	said := err
	switch {
	case strings.HasPrefix(err.Error(), "unknown command"): // of NoArgs
		said = fmt.Errorf("%s takes no argument, and got %q: `%s --help` lists its flags", cmd.CommandPath(), args[0], cmd.CommandPath())
	case strings.HasPrefix(err.Error(), "accepts "):
		said = fmt.Errorf("%s got %s: it is called as %s", cmd.CommandPath(), counted(len(args), "argument"), strings.TrimSuffix(cmd.UseLine(), " [flags]"))
	}
	if own := (coded{}); errors.As(err, &own) {
		return coded{said, own.code}
	}
	return said
}

// flagHint says which flag was probably meant.
func flagHint(cmd *cobra.Command, err error) error {
	if strings.HasPrefix(err.Error(), "unknown shorthand flag") {
		return fmt.Errorf("%w: `%s --help` lists them", err, cmd.CommandPath())
	}
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
