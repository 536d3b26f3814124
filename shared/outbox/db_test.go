package outbox_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

func database(t *testing.T) *pgxpool.Pool {
	t.Helper()
	return testkit.Postgres(t).Pool
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
