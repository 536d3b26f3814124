package outbox_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/outbox"
)

// While a relay leads in the writer's process, a wake-up is a call, and nothing goes to Postgres.
func TestAWakeUpInTheSameProcessIsACall(t *testing.T) {
	t.Parallel()
	pool, ctx := database(t), ctxOf(t)
	conn, err := pool.Acquire(ctx)
	require.NoError(t, err)
	defer conn.Release()
	_, err = conn.Exec(ctx, "LISTEN "+outbox.Channel)
	require.NoError(t, err)

	calls := 0
	stop := outbox.OnWake(pool, func() { calls++ })
	outbox.Wake(ctx, pool)
	require.Equal(t, 1, calls)
	former := stop
	stop = outbox.OnWake(pool, func() { calls += 10 })
	former() // a former leader's stop leaves its successor's call
	outbox.Wake(ctx, pool)
	require.Equal(t, 11, calls)
	stop()

	_, err = pool.Exec(ctx, "SELECT pg_notify($1, 'before')", outbox.Channel)
	require.NoError(t, err)
	outbox.Wake(ctx, pool)
	require.Equal(t, 11, calls)
	for _, payload := range []string{"before", ""} { // none of the wake-ups that were calls
		n, err := conn.Conn().WaitForNotification(ctx)
		require.NoError(t, err)
		require.Equal(t, payload, n.Payload)
	}
}
