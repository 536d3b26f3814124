package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/config"
	"github.com/erpconnector/erpconnector/shared/postgres"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// What Postgres answers to somebody it does not take.
func TestPostgresErrors(t *testing.T) {
	t.Parallel()
	cfg, err := pgx.ParseConfig("postgres://me:secret@db:5433/erp")
	require.NoError(t, err)
	for code, want := range map[string]string{
		"28P01": `Postgres at db:5433 does not take the user "me": check user and password in DATABASE_URL (said)`,
		"28000": `Postgres at db:5433 does not take the user "me": check user and password in DATABASE_URL (said)`,
		"3D000": `Postgres at db:5433 has no database "erp": create it, or name another one in DATABASE_URL`,
		"53300": "Postgres at db:5433 takes no more connections: raise max_connections, docs/deploy.md says how many are needed",
		"57P03": "Postgres at db:5433 is starting or stopping: try again in a moment",
		"XX000": "Postgres at db:5433 cannot be reached: a: b: FATAL: said (SQLSTATE XX000); check DATABASE_URL",
	} {
		refused := &pgconn.PgError{Severity: "FATAL", Code: code, Message: "said"}
		require.EqualError(t, postgresError(cfg, fmt.Errorf("a:\n\tb: %w", refused)), want)
	}
	require.EqualError(t, postgresError(cfg, fmt.Errorf("a: %w", postgres.ErrStandby)),
		"Postgres at db:5433 is a standby, which takes no writes: name the server that does in DATABASE_URL, or all of them")
	require.EqualError(t, postgresError(cfg, fmt.Errorf("a: %w", os.ErrDeadlineExceeded)),
		"Postgres at db:5433 does not answer within 15s: check the address in DATABASE_URL, and what stands between")
	require.EqualError(t, unreachable("Kafka", "KAFKA_BROKERS", "a:1,b:2", errors.New("x509: unknown")), "Kafka at a:1,b:2 cannot be reached: x509: unknown; check KAFKA_BROKERS")
}

// A new database is brought up to date once; until then every command that works on it names the one that does.
func TestMigrate(t *testing.T) {
	t.Parallel()
	database := testkit.Postgres(t)
	at, err := pgx.ParseConfig(database.URL)
	require.NoError(t, err)
	fresh := at.Database + "_fresh"
	execute := func(statement string) {
		_, err := database.Pool.Exec(context.WithoutCancel(t.Context()), statement)
		require.NoError(t, err)
	}
	execute("CREATE DATABASE " + fresh)
	t.Cleanup(func() { execute("DROP DATABASE " + fresh + " WITH (FORCE)") })
	env := variables{"DATABASE_URL": strings.Replace(database.URL, "/"+at.Database, "/"+fresh, 1), "KAFKA_BROKERS": "127.0.0.1:1"}
	require.NotEqual(t, database.URL, env["DATABASE_URL"])

	const behind = "schema: the database's schema is behind this program: run `erpconnector migrate`"
	for _, args := range []string{"settings", "quarantine list", "deadletter list", "cron run", "replay --order 1", "rebuild", "repair", "audit", "verify", "run api"} {
		p := invoke(t, env.with(variables{"HTTP_ADDR": testkit.FreeAddr(t)}), strings.Fields(args)...)
		require.ErrorContains(t, p.err, behind, args)
		require.Empty(t, p.out, args)
	}
	require.Regexp(t, `^\d+ migrations applied; the schema is up to date\n$`, does(t, env, "migrate"))
	require.Equal(t, "0 migrations applied; the schema is up to date\n", does(t, env, "migrate"))
	require.NoError(t, RequireMigrated(t.Context(), config.Config{DatabaseURL: env["DATABASE_URL"]}))
	require.Equal(t, "nothing is in the quarantine\n", does(t, env, "quarantine", "list"))
}

// A user who may not read the schema is told whose work it is, without the words of the database's driver.
func TestAUserWithoutRights(t *testing.T) {
	t.Parallel()
	for refused, want := range map[error]string{
		&pgconn.PgError{Severity: "ERROR", Code: "42501", Message: "permission denied for table goose_db_version"}: "the schema cannot be read or changed by this user: " +
			"run `erpconnector migrate` as its owner, or grant what docs/deploy.md lists (permission denied for table goose_db_version)",
		errors.New("no"): "schema: no",
	} {
		require.EqualError(t, schemaError(fmt.Errorf("%w", refused)), want)
	}
	require.NoError(t, schemaError(nil))
}
