package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib" // goose's driver
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
	"github.com/spf13/cobra"

	"github.com/erpconnector/erpconnector/migrations"
	"github.com/erpconnector/erpconnector/services/projector"
	"github.com/erpconnector/erpconnector/shared/access"
	"github.com/erpconnector/erpconnector/shared/config"
	"github.com/erpconnector/erpconnector/shared/gate"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/kafka/topics"
	"github.com/erpconnector/erpconnector/shared/logging"
	"github.com/erpconnector/erpconnector/shared/postgres"
)

// prepareTimeout bounds a look at schema or topics. Applying migrations has no bound: a large table takes as long as it takes.
const prepareTimeout = time.Minute

// migrateCommand runs before services of a new version start. Migrations only add, so those of the old version may go on meanwhile.
func migrateCommand() *cobra.Command {
	return &cobra.Command{
		Use: "migrate", Example: "  erpconnector migrate && erpconnector topics ensure && erpconnector run", Short: "Bring the database's schema up to date", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := config.FromEnv(environment(cmd.Context()))
			if err != nil {
				return err
			}
			applied, err := migrate(cmd.Context(), cfg.DatabaseURL)
			if err == nil {
				_, err = fmt.Fprintf(cmd.OutOrStdout(), "%d migrations applied; the schema is up to date\n", applied)
			}
			if err == nil && cfg.HTTP.Token == "" && cfg.HTTP.OIDC.Issuer == "" {
				err = hintAtFirstToken(cmd)
			}
			return err
		},
	}
}

// hintAtFirstToken says how to get in while nobody can. It makes no token: what migrate prints stands in the logs of many a deployment.
func hintAtFirstToken(cmd *cobra.Command) error {
	return withTokens(cmd.Context(), func(s *access.Store) error {
		there, err := s.Anybody(cmd.Context())
		if err == nil && !there {
			_, err = fmt.Fprintln(cmd.ErrOrStderr(), "nobody can use the API yet: `erpconnector token create --first` prints a token that may do everything")
		}
		return err
	})
}

// migrate says how many migrations it has applied; none is no error.
func migrate(ctx context.Context, url string) (int, error) {
	applied := 0
	err := withGoose(ctx, url, func(p *goose.Provider) error {
		results, err := p.Up(ctx)
		applied = len(results)
		return err
	})
	return applied, err
}

// RequireMigrated is nil when the database has the schema of this program.
func RequireMigrated(ctx context.Context, cfg config.Config) error {
	ctx, cancel := context.WithTimeout(ctx, prepareTimeout)
	defer cancel()
	return withGoose(ctx, cfg.DatabaseURL, func(p *goose.Provider) error {
		pending, err := p.HasPending(ctx)
		if err == nil && pending {
			err = errors.New("the database's schema is behind this program: run `erpconnector migrate`")
		}
		return err
	})
}

// withGoose reaches for the database first, since goose would tell of a wrong password as of a fault in a migration. It holds a lock of
// the session, so that two processes that start at once do not both migrate.
func withGoose(ctx context.Context, url string, use func(*goose.Provider) error) error {
	if err := reachPostgres(ctx, url); err != nil {
		return err
	}
	config, err := pgx.ParseConfig(url)
	if err != nil {
		return fmt.Errorf("DATABASE_URL: %w", err)
	}
	if err := postgres.RequireWritable(config); err != nil {
		return err
	}
	db := stdlib.OpenDB(*config)
	defer func() { _ = db.Close() }()
	locker, err := lock.NewPostgresSessionLocker() // two at once are safe
	if err != nil {
		return err
	}
	p, err := goose.NewProvider(goose.DialectPostgres, db, migrations.FS, goose.WithSessionLocker(locker))
	if err != nil {
		return err
	}
	return schemaError(use(p))
}

// schemaError says what to do about a schema that could not be read or changed.
func schemaError(err error) error {
	var refused *pgconn.PgError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &refused) && refused.Code == "42501":
		return fmt.Errorf("the schema cannot be read or changed by this user: run `erpconnector migrate` as its owner, or grant what docs/deploy.md lists (%s)", refused.Message)
	default:
		return fmt.Errorf("schema: %w", err)
	}
}

// topicsCommand keeps making and checking apart: `ensure` never changes what exists, and what it must not mend, as another number
// of partitions, `check` names.
func topicsCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "topics", Example: "  erpconnector topics ensure\n  erpconnector topics check", Short: "Create or check the Kafka topics"}
	reset := false
	ensure := &cobra.Command{
		Use: "ensure", Example: "  erpconnector topics ensure", Short: "Create missing topics and first offsets; never change what exists", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withAdmin(cmd.Context(), func(a *topics.Admin) error {
				created, err := a.Ensure(cmd.Context(), false)
				for _, t := range created {
					_, _ = fmt.Fprintln(cmd.OutOrStdout(), "created", t)
				}
				if err == nil && reset {
					err = resetOffsets(cmd, a)
				}
				if err != nil {
					return err
				}
				return warnOfTopics(cmd, a)
			})
		},
	}
	ensure.Flags().BoolVar(&reset, "reset-missing-offsets", false,
		"commit the start of the log for groups that lost their offsets: what they handled before is read again, and passed over;\n"+
			"it first lets the projection read the whole log, and so needs DATABASE_URL")
	check := &cobra.Command{
		Use: "check", Example: "  erpconnector topics check", Short: "Say what is wrong with the topics", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withAdmin(cmd.Context(), func(a *topics.Admin) error {
				if err := requireRight(cmd.Context(), a); err != nil {
					return err
				}
				_, _ = fmt.Fprintln(cmd.OutOrStdout(), "the topics are right")
				return warnOfTopics(cmd, a)
			})
		},
	}
	cmd.AddCommand(ensure, check)
	return cmd
}

// resetOffsets lets the groups that lost their offsets read the log again from its start. By the projection the syncer tells a
// record that was consumed from one that is alive, so that must know the whole log first. Where the log has lost records itself
// the projection is no judge: then all that has not ended is called again, under its idempotency key.
func resetOffsets(cmd *cobra.Command, a *topics.Admin) error {
	err := withLog(cmd.Context(), func(cfg config.Config, brokers kafka.Config, pool *pgxpool.Pool) error {
		if err := projector.CatchUp(cmd.Context(), brokers, pool, logging.Stderr(cfg.LogLevel)); err != nil {
			return err
		}
		return gate.MarkReread(cmd.Context(), pool)
	})
	if errors.Is(err, projector.ErrLogShorter) {
		_, _ = fmt.Fprintf(cmd.ErrOrStderr(), "warning: %s. What has not ended will be called again; see docs/deploy.md, Kafka was lost\n", err)
		err = nil
	}
	if err != nil {
		return fmt.Errorf("the projection must have read the whole log before offsets are reset, and no offset was changed: %w", err)
	}
	_, err = a.Ensure(cmd.Context(), true)
	return err
}

// withAdmin is for commands that work on the topics.
func withAdmin(ctx context.Context, use func(*topics.Admin) error) error {
	cfg, err := config.FromEnv(environment(ctx))
	if err != nil {
		return err
	}
	if err := reachKafka(ctx, cfg.Kafka()); err != nil {
		return err
	}
	a, err := topics.NewAdmin(cfg.Kafka(), cfg.Partitions)
	if err != nil {
		return err
	}
	defer a.Close()
	return use(a)
}

// warnOfTopics tells what should be mended though services can work with it.
func warnOfTopics(cmd *cobra.Command, a *topics.Admin) error {
	ctx, cancel := context.WithTimeout(cmd.Context(), prepareTimeout)
	defer cancel()
	warnings, err := a.Warnings(ctx)
	for _, w := range warnings {
		_, _ = fmt.Fprintln(cmd.ErrOrStderr(), "warning:", w)
	}
	return err
}

// requireTopics is nil when services can work with the topics as they are.
func requireTopics(ctx context.Context, cfg config.Config) error {
	if err := reachKafka(ctx, cfg.Kafka()); err != nil {
		return err
	}
	a, err := topics.NewAdmin(cfg.Kafka(), cfg.Partitions)
	if err != nil {
		return err
	}
	defer a.Close()
	return requireRight(ctx, a)
}

// requireRight tells of all problems, one a line.
func requireRight(ctx context.Context, a *topics.Admin) error {
	ctx, cancel := context.WithTimeout(ctx, prepareTimeout)
	defer cancel()
	problems, err := a.Check(ctx)
	if err == nil && len(problems) > 0 {
		err = errors.New("the topics are not right:\n  " + strings.Join(problems, "\n  "))
	}
	return err
}
