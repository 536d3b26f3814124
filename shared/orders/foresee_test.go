package orders

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/domain"
)

// What is foreseen is what Do does, in every state, for every request that an operator makes.
func TestForeseeSaysWhatDoDoes(t *testing.T) {
	t.Parallel()
	for _, state := range domain.OrderStates {
		for _, request := range []domain.Request{domain.RequestResync, domain.RequestAnew, domain.RequestCancel, domain.RequestSettle, domain.RequestSendNow} {
			t.Run(fmt.Sprintf("%s_%s", request, state), func(t *testing.T) {
				t.Parallel()
				s := setup(t)
				s.in(t, state)
				nobody := domain.OrderRef{Source: "outlet", IncrementID: "9"}
				foreseen, err := s.Foresee(t.Context(), request, []domain.OrderRef{nobody, callbackOrder})
				require.NoError(t, err)
				require.Equal(t, Foreseen{domain.StateUnknown, domain.RefuseNotFound}, foreseen[0])
				done, err := s.Do(t.Context(), Command{Ref: callbackOrder, Request: request, Reason: "why"})
				require.NoError(t, err)
				require.Equal(t, Foreseen{done.State, done.Action}, foreseen[1])
			})
		}
	}
}

// What the caller adds to a command's transaction is committed with it, and undoes it by an error, also where the command is refused.
func TestACallersPartOfACommand(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.in(t, domain.StateFailed)
	s.facts(t)
	no := errors.New("no")
	cmd := Command{Ref: callbackOrder, Request: domain.RequestResync, InTx: func(_ context.Context, _ pgx.Tx, r Result) error {
		require.Equal(t, domain.ActResync, r.Action)
		require.Equal(t, 2, r.Gate.Generation)
		return no
	}}
	_, err := s.Do(t.Context(), cmd)
	require.ErrorIs(t, err, no)
	require.Empty(t, s.facts(t))
	require.Equal(t, 1, s.gate(t).Generation)

	cmd.Request, cmd.Reason = domain.RequestCancel, "why"
	cmd.InTx = func(ctx context.Context, tx pgx.Tx, r Result) error {
		require.True(t, r.Action.Refuses())
		_, err := tx.Exec(ctx, `INSERT INTO bulk_preview VALUES ('', '{}', 'me', now())`)
		return err
	}
	_, err = s.Do(t.Context(), cmd)
	require.NoError(t, err)
	var kept int
	require.NoError(t, s.pool.QueryRow(t.Context(), `SELECT count(*) FROM bulk_preview`).Scan(&kept))
	require.Equal(t, 1, kept)
}
