// Package testkit gives tests real servers: a migrated Postgres database each, and brokers that speak the real protocol.
package testkit

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	_ "github.com/jackc/pgx/v5/stdlib" // goose's driver
	"github.com/pressly/goose/v3"
	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/migrations"
	"github.com/erpconnector/erpconnector/shared/devpg"
	"github.com/erpconnector/erpconnector/shared/postgres"
)

// Database is a test's own database, migrated and empty.
type Database struct {
	URL  string
	Pool *pgxpool.Pool
}

// server is one per test process; it dies with it.
var server = sync.OnceValues(func() (string, error) {
	if url := os.Getenv("DATABASE_URL"); url != "" {
		return url, nil
	}
	dir, err := tempDir("erpconnector-test-")
	if err != nil {
		return "", err
	}
	if err := os.Chmod(dir, 0o711); err != nil { //nolint:gosec // the database's user walks through
		return "", err
	}
	s, err := devpg.Start(context.Background(), devpg.Config{Dir: dir, Mirror: os.Getenv("POSTGRES_MIRROR")})
	if err != nil {
		return "", err
	}
	return s.URL(), nil
})

// Postgres makes a database of the test's own on a server shared by the process; a test that finds no server fails.
func Postgres(t testing.TB) Database {
	t.Helper()
	base, err := server()
	require.NoError(t, err)
	random := make([]byte, 6)
	_, _ = rand.Read(random)
	name := "t_" + hex.EncodeToString(random)
	execute(t, base, "CREATE DATABASE "+name)
	t.Cleanup(func() { execute(t, base, "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)") })
	url := patient(strings.Replace(base, "/"+databaseOf(t, base)+"?", "/"+name+"?", 1))
	migrate(t, url)
	config, err := postgres.ParseConfig(url)
	require.NoError(t, err)
	config.MaxConns = 30
	pool, err := pgxpool.NewWithConfig(context.Background(), config)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return Database{URL: url, Pool: pool}
}

// migrate brings a database's schema up to date.
func migrate(t testing.TB, url string) {
	t.Helper()
	db, err := sql.Open("pgx", url)
	require.NoError(t, err)
	provider, err := goose.NewProvider(goose.DialectPostgres, db, migrations.FS)
	require.NoError(t, err)
	_, err = provider.Up(t.Context())
	require.NoError(t, err)
	require.NoError(t, db.Close())
}

func databaseOf(t testing.TB, url string) string {
	t.Helper()
	c, err := pgx.ParseConfig(url)
	require.NoError(t, err)
	return c.Database
}

func execute(t testing.TB, url, statement string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, url)
	require.NoError(t, err)
	defer func() { _ = conn.Close(ctx) }()
	_, err = conn.Exec(ctx, statement)
	require.NoError(t, err)
}
