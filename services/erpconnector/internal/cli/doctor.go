package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/services/erpconnector/internal/doctor"
	"github.com/erpconnector/erpconnector/shared/config"
	"github.com/erpconnector/erpconnector/shared/domain"
)

// doctorCommand is the first thing to run when something is wrong.
//
//	$ erpconnector doctor
//	ok    postgres  Postgres 17.2, a round trip takes 0.3 ms
//	FAIL  relay     rows of the outbox wait for Kafka since 2024-01-15T10:30:00Z
//	                → see whether a relay runs (`erpconnector run relay`), and what its log says
func doctorCommand() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use: "doctor", Short: "Look at all that an installation needs, and say what is wrong and what to do", Args: cobra.NoArgs,
		Long: "Look at all that an installation needs, and say what is wrong and what to do: the environment, Postgres (release, clock, durability,\n" +
			"rights, connections, disk), Kafka (brokers, topics, groups), relay, ERP, and what waits for a person. It changes nothing.\n" +
			"The exit code is 1 when something fails, and 0 when all is well or only to be looked at soon.",
		Example: "  erpconnector doctor\n  erpconnector doctor -o json | jq '.[] | select(.level != \"ok\")'",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkTextOrJSON(output); err != nil {
				return err
			}
			findings := examine(cmd.Context())
			if err := cmd.Context().Err(); err != nil {
				return err
			}
			if err := printDoctor(cmd, findings, output); err != nil {
				return err
			}
			if doctor.Worst(findings) == doctor.Fail {
				return errors.New("something is wrong: see above")
			}
			return nil
		},
	}
	textOrJSON(cmd, &output)
	return cmd
}

func printDoctor(cmd *cobra.Command, findings []doctor.Finding, output string) error {
	if output == "json" {
		return json.NewEncoder(cmd.OutOrStdout()).Encode(findings)
	}
	text := findingsText(findings)
	if coloured(cmd.Context(), cmd.OutOrStdout()) {
		text = colourLevels(text)
	}
	_, err := io.WriteString(cmd.OutOrStdout(), text)
	return err
}

// examine reaches for both servers first, and has examined what can be reached.
func examine(ctx context.Context) []doctor.Finding {
	cfg, err := CompleteConfig(environment(ctx))
	findings := []doctor.Finding{finding("environment", err, "the variables can be used", "set what is missing (`up` prints the line to paste), and see `erpconnector config check` and docs/config.md")}
	in := doctor.Installation{Config: cfg}
	if cfg.DatabaseURL != "" {
		err := RequireMigrated(ctx, cfg)
		if err == nil {
			if in.Pool, err = openPool(ctx, cfg.DatabaseURL); err == nil {
				defer in.Pool.Close()
			}
		}
		findings = append(findings, finding("schema", err, "Postgres answers, and its schema is this program's", ""))
	}
	if len(cfg.KafkaBrokers) > 0 {
		if err := reachKafka(ctx, cfg.Kafka()); err != nil {
			findings = append(findings, finding("kafka", err, "", ""))
		} else if in.Kafka, err = kgo.NewClient(cfg.Kafka().Options()...); err == nil {
			defer in.Kafka.Close()
		}
	}
	return append(findings, doctor.Examine(ctx, in)...)
}

// finding is a check whose error says itself what to do.
func finding(check string, err error, well, do string) doctor.Finding {
	if err != nil {
		return doctor.Finding{Check: check, Level: doctor.Fail, Said: strings.ReplaceAll(err.Error(), "\n", "; "), Do: do}
	}
	return doctor.Finding{Check: check, Level: doctor.OK, Said: well}
}

// findingsText has a line for each, and below it what to do.
func findingsText(findings []doctor.Finding) string {
	var text strings.Builder
	t := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	for _, f := range findings {
		level := string(f.Level)
		if f.Level == doctor.Fail {
			level = strings.ToUpper(level)
		}
		_, _ = fmt.Fprintf(t, "%s\t%s\t%s\n", level, f.Check, domain.Printable(f.Said))
		if f.Do != "" {
			_, _ = fmt.Fprintf(t, "\t\t→ %s\n", domain.Printable(f.Do))
		}
	}
	_ = t.Flush() // into the text
	return text.String()
}

// configCommand is about what the environment says.
func configCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "config", Example: "  erpconnector config check", Short: "See whether the environment's variables can be used"}
	cmd.AddCommand(configCheckCommand())
	return cmd
}

// configCheckCommand asks no server, so that it can run before a deployment.
//
//	$ erpconnector config check
//	DATABASE_URL   (secret)
//	ERP_BASE_URL   https://erp.example.com/api
//	erpconnector: ERP_TIMEOUT is "fast"; it must be a duration from 1s to 10m, like 30s, or a number of seconds
func configCheckCommand() *cobra.Command {
	return &cobra.Command{
		Use: "check", Example: "  erpconnector config check && erpconnector run", Short: "Print the variables that are set, and say which cannot be used", Args: cobra.NoArgs,
		Long: "Print the variables that are set, and say which cannot be used, and which name is nearly one of ours. No server is asked.\n" +
			"Secrets are not printed. The exit code is 1 when a variable cannot be used.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			lookup := environment(cmd.Context())
			_, wrong := config.FromEnv(lookup)
			if err := printVariables(cmd.OutOrStdout(), lookup); err != nil {
				return err
			}
			for _, told := range config.Misspelt(environmentNames(cmd.Context())) {
				_, _ = fmt.Fprintln(cmd.ErrOrStderr(), "warning:", domain.Printable(told))
			}
			return wrong
		},
	}
}

// printVariables prints those that are set.
func printVariables(w io.Writer, lookup config.Lookup) error {
	t := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	for _, v := range config.Variables() {
		if value, set := lookup(v.Name); set && value != "" {
			if v.Secret {
				value = "(secret)"
			}
			_, _ = fmt.Fprintf(t, "%s\t%s\n", v.Name, domain.Printable(value))
		}
		if file, set := lookup(v.Name + "_FILE"); v.Secret && set && file != "" {
			_, _ = fmt.Fprintf(t, "%s_FILE\t%s\n", v.Name, domain.Printable(file))
		}
	}
	return t.Flush()
}
