package stage

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/infra/crash/history"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

func TestMain(m *testing.M) {
	RunEmbeddedIfAsked()
	if err := testkit.SweepTempDir(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// What Postgres has confirmed is there after kill -9 of all its processes, at the same address.
func TestPostgresComesBack(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "erpconnector-stage-") //nolint:usetesting // the database's user must be able to walk there
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	require.NoError(t, os.Chmod(dir, 0o711))
	p, err := StartPostgres(t.Context(), filepath.Join(dir, "postgres"))
	require.NoError(t, err)
	t.Cleanup(func() { p.Stop() })
	url := p.URL()
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	_, err = conn.Exec(t.Context(), `CREATE TABLE t AS SELECT 7 AS n`)
	require.NoError(t, err)
	p.Kill()
	require.Error(t, conn.Ping(t.Context()))
	require.NoError(t, p.Restart(t.Context()))
	require.Equal(t, url, p.URL())
	conn, err = pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	defer func() { _ = conn.Close(context.WithoutCancel(t.Context())) }()
	n := 0
	require.NoError(t, conn.QueryRow(t.Context(), `SELECT n FROM t`).Scan(&n))
	require.Equal(t, 7, n)
}

// The live reader goes on when the broker comes back with what it had.
func TestTheWatchOutlivesTheBroker(t *testing.T) {
	t.Parallel()
	b, err := StartEmbedded(t.TempDir(), t.Output())
	require.NoError(t, err)
	t.Cleanup(b.Kill)
	client, err := kgo.NewClient(kgo.SeedBrokers(b.Addrs()...))
	require.NoError(t, err)
	defer client.Close()
	_, err = kadm.NewClient(client).CreateTopic(t.Context(), 1, 1, nil, "x.t")
	require.NoError(t, err)
	w, err := StartWatch(t.Context(), b.Addrs(), "x.")
	require.NoError(t, err)
	defer w.Close()
	require.NoError(t, client.ProduceSync(t.Context(), &kgo.Record{Topic: "x.t"}).FirstErr())
	b.Kill()
	require.NoError(t, b.Restart())
	require.NoError(t, client.ProduceSync(t.Context(), &kgo.Record{Topic: "x.t"}).FirstErr())
	require.Eventually(t, func() bool { return len(w.Sightings()) == 2 }, testkit.Patience, 10*time.Millisecond)
	for offset, s := range w.Sightings() {
		s.At = time.Time{}
		require.Equal(t, history.Sighting{Topic: "t", Offset: int64(offset)}, s)
	}
	hidden, err := Hanging(t.Context(), b.Addrs(), "x.")
	require.NoError(t, err)
	require.Empty(t, hidden)
}

// A process of the fleet is started again after it was killed, and not after Close.
func TestTheFleetStartsWhatEnds(t *testing.T) {
	logs := t.TempDir()
	program := filepath.Join(logs, "program")
	require.NoError(t, os.WriteFile(program, []byte("#!/bin/sh\nexec cat /dev/zero >/dev/null\n"), 0o700)) //nolint:gosec // to be run
	f, err := NewFleet(FleetConfig{Binary: program, Processes: map[string]int{"a": 2}, Logs: logs})
	require.NoError(t, err)
	f.Start()
	ctx, cancel := context.WithTimeout(t.Context(), testkit.Patience)
	defer cancel()
	f.AwaitUp(ctx, "a-1")
	f.Kill("a-1", time.Millisecond)
	f.AwaitUp(ctx, "a-1")
	require.NoError(t, f.Halt(ctx, "a-0", time.Millisecond, 0))
	require.Empty(t, f.Close())
	require.NoError(t, ctx.Err())
	what := map[string]string{}
	for _, e := range f.Exits() {
		what[e.Target+" "+e.Requested] = e.Signal
	}
	require.Equal(t, map[string]string{
		"a-1 kill": syscall.SIGKILL.String(), "a-1 term": syscall.SIGTERM.String(), "a-0 term": syscall.SIGTERM.String(),
	}, what)
	require.Len(t, f.Disturbances(), 2)
}
