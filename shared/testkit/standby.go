package testkit

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/devpg"
	"github.com/erpconnector/erpconnector/shared/postgres"
)

// Server is a Postgres server of the test's own, which others can follow and take the place of.
type Server struct {
	URL string // of its database postgres

	server *devpg.Server
}

// OwnPostgres starts a server with a migrated database, which keeps over a Kill what it has confirmed. It ends with the test.
func OwnPostgres(t testing.TB) *Server {
	t.Helper()
	server, err := devpg.Start(context.Background(), devpg.Config{Dir: ownDir(t), Durable: true})
	s := started(t, server, err)
	require.NoError(t, migrate(s.URL))
	return s
}

func ownDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "erpconnector-test-") //nolint:usetesting // a socket's path must be short
	require.NoError(t, err)
	require.NoError(t, os.Chmod(dir, 0o711)) //nolint:gosec // the database's user walks through
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func started(t testing.TB, s *devpg.Server, err error) *Server {
	t.Helper()
	require.NoError(t, err)
	t.Cleanup(s.Stop)
	return &Server{URL: patient(s.URL()), server: s}
}

// patient is the URL with a session's begin that may take long: the machine may be busy, also for a program that a test starts.
func patient(url string) string {
	return strings.Replace(url, "?", fmt.Sprintf("?connect_timeout=%.0f&", Patience.Seconds()), 1)
}

// Standby starts a hot standby that follows s by streaming.
func (s *Server) Standby(t testing.TB) *Server {
	t.Helper()
	server, err := s.server.Standby(context.Background(), devpg.Config{Dir: ownDir(t)})
	return started(t, server, err)
}

// Pool is a pool as the product makes it.
func (s *Server) Pool(t testing.TB) *pgxpool.Pool {
	t.Helper()
	return PoolOf(t, s.URL)
}

// PoolOf is a pool on the URL as the product makes it.
func PoolOf(t testing.TB, url string) *pgxpool.Pool {
	t.Helper()
	config, err := postgres.ParseConfig(url)
	require.NoError(t, err)
	pool, err := pgxpool.NewWithConfig(context.Background(), config)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return pool
}

// Both is the URL that names both servers, s first.
func (s *Server) Both(t testing.TB, other *Server) string {
	t.Helper()
	one, err := url.Parse(s.URL)
	require.NoError(t, err)
	two, err := url.Parse(other.URL)
	require.NoError(t, err)
	one.Host += "," + two.Host
	return one.String()
}

// Kill ends the server as kill -9 does, with all its sessions.
func (s *Server) Kill(t testing.TB) {
	t.Helper()
	s.server.Kill()
}

// Restart kills the server and starts it again, at the same place with the data it had.
func (s *Server) Restart(t testing.TB) {
	t.Helper()
	s.Kill(t)
	require.Eventually(t, func() bool {
		server, err := s.server.StartAgain(context.Background())
		if err != nil {
			return false
		}
		s.server, s.URL = server, patient(server.URL())
		t.Cleanup(server.Stop)
		return true
	}, Patience, 200*time.Millisecond)
}

// Copy makes a database that is a copy of another one, which nobody may use meanwhile, and gives its URL.
func (s *Server) Copy(t testing.TB, from, to string) string {
	t.Helper()
	at, err := url.Parse(s.URL)
	require.NoError(t, err)
	at.Path = "/template1"
	execute(t, at.String(), "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '"+from+"'")
	execute(t, at.String(), "CREATE DATABASE "+to+" TEMPLATE "+from)
	at.Path = "/" + to
	return at.String()
}

// Promote makes a primary of a standby, and waits until it takes writes.
func (s *Server) Promote(t testing.TB) {
	t.Helper()
	execute(t, s.URL, `SELECT pg_promote(true, 30)`)
}

// Follows waits until the standby has replayed all that the primary has written so far.
func (s *Server) Follows(t testing.TB, primary *Server) {
	t.Helper()
	at := scalar(t, primary.URL, `SELECT pg_logical_emit_message(true, 'testkit', '')::text`)
	s.await(t, fmt.Sprintf(`SELECT pg_last_wal_replay_lsn() >= '%s'::pg_lsn`, at))
}

// StopReceiving cuts a standby off from its primary: what is written from then on is lost with the primary. (Replay alone
// may be paused with pg_wal_replay_pause; what was received is replayed before a promotion all the same.)
func (s *Server) StopReceiving(t testing.TB) {
	t.Helper()
	execute(t, s.URL, `ALTER SYSTEM SET primary_conninfo = ''`)
	execute(t, s.URL, `SELECT pg_reload_conf()`)
	s.await(t, `SELECT NOT EXISTS (SELECT FROM pg_stat_wal_receiver)`)
}

func (s *Server) await(t testing.TB, condition string) {
	t.Helper()
	require.Eventually(t, func() bool { return scalar(t, s.URL, `SELECT (`+condition+`)::text`) == "true" },
		Patience, 10*time.Millisecond, condition)
}

func scalar(t testing.TB, url, query string) (value string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	conn, err := pgx.Connect(ctx, url)
	require.NoError(t, err)
	defer func() { _ = conn.Close(ctx) }()
	require.NoError(t, conn.QueryRow(ctx, query).Scan(&value))
	return value
}
