package outbox_test

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

	"github.com/erpconnector/erpconnector/shared/event"
)

// database makes a migrated database on the server of TEST_DATABASE_URL.
func database(t *testing.T) *pgxpool.Pool {
	t.Helper()
	server := os.Getenv("TEST_DATABASE_URL")
	if server == "" {
		t.Skip("TEST_DATABASE_URL names no server")
	}
	ctx := context.Background()
	name := fmt.Sprintf("outbox_%d", time.Now().UnixNano())
	admin, err := pgx.Connect(ctx, server)
	require.NoError(t, err)
	_, err = admin.Exec(ctx, "CREATE DATABASE "+name)
	require.NoError(t, err)
	address, err := url.Parse(server)
	require.NoError(t, err)
	address.Path, address.RawQuery = name, "pool_max_conns=30"
	pool, err := pgxpool.New(ctx, address.String())
	require.NoError(t, err)
	t.Cleanup(func() {
		pool.Close()
		_, _ = admin.Exec(ctx, "DROP DATABASE "+name+" WITH (FORCE)")
		_ = admin.Close(ctx)
	})
	script, err := os.ReadFile("../../migrations/0001_spine.sql")
	require.NoError(t, err)
	up, _, _ := strings.Cut(string(script), "-- +goose Down")
	_, err = pool.Exec(ctx, up)
	require.NoError(t, err)
	return pool
}

func record(topic, key, id string) event.Record {
	return event.Record{
		Topic: topic, Key: key, UUID: id, Value: []byte(`{"id":"` + id + `"}`),
		Headers: map[string]string{event.HeaderID: id, event.HeaderType: topic},
	}
}

func ctxOf(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	t.Cleanup(cancel)
	return ctx
}
