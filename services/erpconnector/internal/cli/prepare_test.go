package cli

import (
	"errors"
	"fmt"
	"os"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/postgres"
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
