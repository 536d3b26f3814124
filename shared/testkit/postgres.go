// Package testkit gives tests real servers: a migrated Postgres database each, and brokers that speak the real protocol.
package testkit

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"errors"
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
	migrated := os.Getenv("DATABASE_URL") == ""
	if migrated {
		require.NoError(t, template(), "making the database that all are copied from")
		execute(t, base, "CREATE DATABASE "+name+" TEMPLATE "+templateName)
	} else {
		execute(t, base, "CREATE DATABASE "+name)
	}
	t.Cleanup(func() { execute(t, base, "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)") })
	url := strings.Replace(base, "/"+databaseOf(t, base)+"?", "/"+name+"?", 1)
	if !migrated {
		migrate(t, url)
	}
	config, err := postgres.ParseConfig(url)
	require.NoError(t, err)
	config.MaxConns = 30
	pool, err := pgxpool.NewWithConfig(context.Background(), config)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return Database{URL: url, Pool: pool}
}

const templateName = "t_migrated"

// template makes the migrated database that each test's own is a copy of. A copy takes two thirds of the time that an empty database
// and the migrations take. It stands on the process's own server only: on the one that DATABASE_URL names it would be left behind.
var template = sync.OnceValue(func() error {
	base, err := server()
	if err != nil {
		return err
	}
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, base)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	if _, err := conn.Exec(ctx, "CREATE DATABASE "+templateName); err != nil {
		return err
	}
	return migrateTo(ctx, strings.Replace(base, "/"+conn.Config().Database+"?", "/"+templateName+"?", 1))
})

// migrate brings a database's schema up to date.
func migrate(t testing.TB, url string) {
	t.Helper()
	require.NoError(t, migrateTo(t.Context(), url))
}

func migrateTo(ctx context.Context, url string) error {
	db, err := sql.Open("pgx", url)
	if err != nil {
		return err
	}
	provider, err := goose.NewProvider(goose.DialectPostgres, db, migrations.FS)
	if err != nil {
		return err
	}
	_, err = provider.Up(ctx)
	return errors.Join(err, db.Close())
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
