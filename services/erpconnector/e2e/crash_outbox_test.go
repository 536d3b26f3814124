package e2e

import (
	"encoding/json"
	"strings"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/commerce"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// The process dies while it takes events from the commerce outbox, before and after the commit that makes them its own.
// A shop's transaction that was open all the while commits after the restart.
func TestCrashWhileDraining(t *testing.T) {
	t.Parallel()
	binary := build(t)
	testkit.OnEmbeddedFirst(t, func(t *testing.T, brokers kafka.Config) {
		for _, point := range []string{"accept.before_commit", "drain.after_commit"} {
			t.Run(point, func(t *testing.T) {
				t.Parallel()
				brokers := brokers
				brokers.Prefix += "outbox." + point + "."
				crashWhileDraining(t, newCrashCase(t, binary, brokers), point)
			})
		}
	})
}

func crashWhileDraining(t *testing.T, c *crashCase, point string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), c.p.cfg.DatabaseURL)
	require.NoError(t, err)
	defer func() { _ = conn.Close(t.Context()) }()
	batch, orders := invoices(12)
	first := c.run(point)
	c.listening()
	slow, err := conn.Begin(t.Context())
	require.NoError(t, err)
	publishEvents(t, slow, batch[:2])
	byHand, err := pgx.Connect(t.Context(), c.p.cfg.DatabaseURL)
	require.NoError(t, err)
	defer func() { _ = byHand.Close(t.Context()) }()
	for _, e := range batch[2:6] {
		_, err := byHand.Exec(t.Context(), `SELECT erp_publish($1::text::jsonb)`, encoded(t, e))
		require.NoError(t, err)
	}
	require.NoError(t, pgx.BeginFunc(t.Context(), byHand, func(tx pgx.Tx) error {
		publishEvents(t, tx, batch[6:])
		return nil
	}))
	require.Equal(t, syscall.SIGKILL, first.ended(t), "the point %s was not passed", point)
	c.run("")
	c.listening()
	c.p.becomes(orders[11], ended("success"))
	require.NoError(t, slow.Commit(t.Context()))
	for _, order := range orders {
		c.p.becomes(order, ended("success"))
	}
	c.requireNothingLostOrDoubled(t, len(orders))
}

func publishEvents(t *testing.T, tx pgx.Tx, events []any) {
	t.Helper()
	var published []commerce.Event
	for _, e := range events {
		published = append(published, commerce.Event{JSON: json.RawMessage(encoded(t, e))})
	}
	require.NoError(t, commerce.Outbox{}.Publish(t.Context(), tx, published...))
}

func encoded(t *testing.T, event any) string {
	t.Helper()
	var b strings.Builder
	require.NoError(t, json.NewEncoder(&b).Encode(event))
	return b.String()
}
