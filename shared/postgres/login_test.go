package postgres_test

import (
	"fmt"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/postgres"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// Symptom: a login that was changed in Postgres locked every process out until it was started again.
func TestNewSessionsLogInAsTheURLSaysNow(t *testing.T) {
	t.Parallel()
	db := testkit.Postgres(t)
	at, err := url.Parse(db.URL)
	require.NoError(t, err)
	role := "role_" + strings.TrimPrefix(at.Path, "/")
	_, err = db.Pool.Exec(t.Context(), fmt.Sprintf(`CREATE ROLE %s LOGIN; GRANT pg_read_all_data TO %s`, role, role))
	require.NoError(t, err)
	defer func() {
		_, err := db.Pool.Exec(t.Context(), "DROP ROLE "+role)
		require.NoError(t, err)
	}()
	var current atomic.Value
	current.Store(db.URL)
	c, err := postgres.ParseConfig(db.URL)
	require.NoError(t, err)
	postgres.FollowLogin(c, func() string { return current.Load().(string) }) //nolint:forcetypeassert // a test's own
	pool, err := pgxpool.NewWithConfig(t.Context(), c)
	require.NoError(t, err)
	defer pool.Close()
	who := func() (name string) {
		t.Helper()
		conn, err := postgres.Connect(t.Context(), pool)
		require.NoError(t, err)
		defer func() { _ = conn.Close(t.Context()) }()
		require.NoError(t, conn.QueryRow(t.Context(), `SELECT current_user`).Scan(&name))
		var pooled string
		require.NoError(t, pool.QueryRow(t.Context(), `SELECT current_user`).Scan(&pooled))
		require.Equal(t, name, pooled)
		return name
	}
	require.Equal(t, at.User.Username(), who())

	at.User, at.Host = url.UserPassword(role, "changed"), "nowhere.example"
	current.Store(at.String())
	pool.Reset() // its sessions end some day, as all do
	require.Equal(t, role, who(), "at the server of the start")
	session, err := postgres.SessionConfig(t.Context(), pool)
	require.NoError(t, err)
	require.Equal(t, "changed", session.Password)

	current.Store("postgres://%")
	_, err = postgres.Connect(t.Context(), pool)
	require.ErrorContains(t, err, "DATABASE_URL")
}
