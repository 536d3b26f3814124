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
	url, err := withDatabase(base, name)
	require.NoError(t, err)
	url = patient(url)
	if os.Getenv("DATABASE_URL") == "" {
		require.NoError(t, migrated())
		execute(t, base, "CREATE DATABASE "+name+" TEMPLATE "+template)
		execute(t, url, ownIDs)
	} else { // a template would stay on a server that is not ours
		execute(t, base, "CREATE DATABASE "+name)
		require.NoError(t, migrate(url))
	}
	t.Cleanup(func() { execute(t, base, "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)") })
	config, err := postgres.ParseConfig(url)
	require.NoError(t, err)
	config.MaxConns = 30
	pool, err := pgxpool.NewWithConfig(context.Background(), config)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return Database{URL: url, Pool: pool}
}

// template is the migrated database that the others of the process are copied from: a copy takes a fifth of what the
// migrations take.
const template = "migrated"

// ownIDs has a copy give the ids that the template would have given. Without it, it notices that it is another database and
// begins a new epoch, see migrations/0006.
const ownIDs = "SELECT setval('erp_server_seq', hashtextextended(s.system || '/' || s.timeline || '/' || s.database, 0)) FROM erp_server() s"

var migrated = sync.OnceValue(func() error {
	base, err := server()
	if err != nil {
		return err
	}
	if err := run(base, "CREATE DATABASE "+template); err != nil {
		return err
	}
	url, err := withDatabase(base, template)
	if err != nil {
		return err
	}
	return migrate(url)
})

// migrate brings a database's schema up to date.
func migrate(url string) (err error) {
	db, err := sql.Open("pgx", url)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	provider, err := goose.NewProvider(goose.DialectPostgres, db, migrations.FS)
	if err != nil {
		return err
	}
	_, err = provider.Up(context.Background())
	return err
}

// withDatabase returns the server's URL with another database.
func withDatabase(url, database string) (string, error) {
	c, err := pgx.ParseConfig(url)
	if err != nil {
		return "", err
	}
	return strings.Replace(url, "/"+c.Database+"?", "/"+database+"?", 1), nil
}

func execute(t testing.TB, url, statement string) {
	t.Helper()
	require.NoError(t, run(url, statement))
}

func run(url, statement string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	_, err = conn.Exec(ctx, statement)
	return err
}
