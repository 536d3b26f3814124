package checkpoint

import (
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/outbox"
	"github.com/erpconnector/erpconnector/shared/postgres"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// CheckAt compares the position with the rows of a real server.
func TestCheckAtReadsTheServerAndItsRow(t *testing.T) {
	t.Parallel()
	pool := testkit.Postgres(t).Pool
	require.NoError(t, postgres.InTx(t.Context(), pool, func(tx pgx.Tx) error {
		return outbox.Publish(t.Context(), tx, []event.Record{{Topic: "t", Key: "k", UUID: "u1", Value: []byte("{}")}})
	}))
	last, err := outbox.LastID(t.Context(), pool)
	require.NoError(t, err)
	here, err := outbox.ServerOf(t.Context(), pool)
	require.NoError(t, err)
	position := Position{LastID: last, UUID: "u1", System: here.System, Timeline: here.Timeline}

	for name, c := range map[string]struct {
		change func(*Position)
		says   string // empty: it fits
	}{
		"the server that was relayed": {func(*Position) {}, ""},
		"a row that is not there":     {func(p *Position) { p.LastID++ }, "is not here"},
		"another message":             {func(p *Position) { p.UUID = "u2" }, "is another message here (u1)"},
		"another cluster":             {func(p *Position) { p.System = "1" }, "another Postgres cluster"},
		"a newer timeline":            {func(p *Position) { p.Timeline++ }, "another server has taken this one's place"},
	} {
		p := position
		c.change(&p)
		server, err := p.CheckAt(t.Context(), pool)
		require.Equal(t, here, server, name)
		if c.says == "" {
			require.NoError(t, err, name)
			continue
		}
		require.ErrorIs(t, err, ErrMismatch, name)
		require.ErrorContains(t, err, c.says, name)
		require.ErrorContains(t, err, here.String(), name)
	}
}

func TestLostCountsTheMessages(t *testing.T) {
	t.Parallel()
	p, server := Position{LastID: 50, System: "S", Timeline: 1}, outbox.Server{System: "S", Timeline: 2}
	for n, says := range map[int]string{
		1: "1 message of those that Kafka has is not here",
		2: "2 messages of those that Kafka has are not here",
	} {
		err := p.Lost(server, n)
		require.ErrorIs(t, err, ErrMismatch)
		require.ErrorContains(t, err, says)
		require.ErrorContains(t, err, "of Postgres system S, timeline 1")
	}
}
