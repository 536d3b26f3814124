package gate

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/postgres"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

var (
	now   = time.Date(2024, 1, 15, 10, 30, 0, 123e6, time.UTC)
	later = now.Add(time.Minute)
	never = time.Unix(0, 0).UTC() // requested_at of a gate that was never requested
)

var (
	plain   = domain.OrderRef{Source: "default", IncrementID: "000000123"}
	slashed = domain.OrderRef{Source: "shop-b", IncrementID: "a/b%"}
	closed  = domain.OrderRef{Source: "default", IncrementID: "Größe"}
)

// inTx commits what work did.
func inTx(t *testing.T, pool *pgxpool.Pool, work func(tx pgx.Tx)) {
	t.Helper()
	require.NoError(t, pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
		work(tx)
		return nil
	}))
}

func lock(t *testing.T, tx pgx.Tx, refs ...domain.OrderRef) map[string]domain.Gate {
	t.Helper()
	gates, err := Lock(t.Context(), tx, refs, now)
	require.NoError(t, err)
	return gates
}

func read(t *testing.T, pool *pgxpool.Pool, ref domain.OrderRef) domain.Gate {
	t.Helper()
	gates, err := NewStore(pool).Read(t.Context(), []string{ref.Key()})
	require.NoError(t, err)
	require.Contains(t, gates, ref.Key())
	return *gates[ref.Key()]
}

func save(t *testing.T, pool *pgxpool.Pool, gates ...domain.Gate) {
	t.Helper()
	inTx(t, pool, func(tx pgx.Tx) {
		for _, g := range gates {
			lock(t, tx, g.Ref)
		}
		require.NoError(t, Save(t.Context(), tx, gates))
	})
}

// open is a gate whose chain is alive.
func open(ref domain.OrderRef, syncID int64, generation int) domain.Gate {
	return domain.Gate{
		Ref: ref, SyncID: syncID, Generation: generation, State: domain.GateOpen, IdempotencyKey: domain.IdempotencyKey(ref, 1),
		KeyNumber: 1, MaxAttempts: 5, Version: domain.RequestVersion(generation, 0), RequestedAt: now, UpdatedAt: now,
	}
}

func end(t *testing.T, q postgres.Querier, endings ...GenerationEnd) (skipped []string) {
	t.Helper()
	skipped, err := Close(t.Context(), q, endings)
	require.NoError(t, err)
	return skipped
}

func ending(g domain.Gate, by domain.ClosedBy) GenerationEnd {
	return GenerationEnd{
		IdempotencyKey: g.IdempotencyKey,
		Key:            g.Ref.Key(), Generation: g.Generation, By: by, Version: domain.AttemptVersion(g.Generation, 1, domain.PhaseTerminal),
	}
}

func TestAnOrderSeenForTheFirstTimeHasAnEmptyGate(t *testing.T) {
	t.Parallel()
	pool := testkit.Postgres(t).Pool
	want := map[string]domain.Gate{}
	for _, ref := range []domain.OrderRef{plain, slashed} {
		want[ref.Key()] = domain.Gate{Ref: ref, State: domain.GateNone, RequestedAt: never, UpdatedAt: now}
	}
	inTx(t, pool, func(tx pgx.Tx) {
		require.Equal(t, want, lock(t, tx, slashed, plain, slashed))
	})
	gates, err := NewStore(pool).Read(t.Context(), []string{plain.Key(), closed.Key()})
	require.NoError(t, err)
	empty := want[plain.Key()]
	require.Equal(t, map[string]*domain.Gate{plain.Key(): &empty}, gates, "an order without a gate is missing")
}

func TestGatesAreReadAsTheyWereSaved(t *testing.T) {
	t.Parallel()
	pool := testkit.Postgres(t).Pool
	held := open(plain, 1, 1)
	held.State, held.HeldBy = domain.GateHeld, domain.HeldByCron
	ended := domain.Gate{
		Ref: closed, SyncID: 3, Generation: 4, State: domain.GateClosed, ClosedBy: domain.ClosedByWebhook,
		IdempotencyKey: "ERP_chosen by an operator", KeyNumber: 5, KeyAnswered: true, MaxAttempts: 6, RequestNumber: 7, CallbackNumber: 8,
		Version: domain.CallbackVersion(4, 8), RequestedAt: now, UpdatedAt: later,
	}
	untouched := open(domain.OrderRef{Source: "default", IncrementID: "9"}, 9, 1)
	save(t, pool, untouched)
	for _, g := range []domain.Gate{held, open(slashed, 2, 1), ended} { // in turn into the same table, and then at once
		save(t, pool, g)
	}
	save(t, pool, ended, held, open(slashed, 2, 3))
	require.Equal(t, held, read(t, pool, plain))
	require.Equal(t, open(slashed, 2, 3), read(t, pool, slashed))
	require.Equal(t, ended, read(t, pool, closed))
	require.Equal(t, untouched, read(t, pool, untouched.Ref))
	inTx(t, pool, func(tx pgx.Tx) { require.Equal(t, ended, lock(t, tx, closed)[closed.Key()]) })
}

func TestAnEmptyGateIsSavedAsItWasRead(t *testing.T) {
	t.Parallel()
	pool := testkit.Postgres(t).Pool
	inTx(t, pool, func(tx pgx.Tx) {
		require.NoError(t, Save(t.Context(), tx, []domain.Gate{lock(t, tx, plain)[plain.Key()]}))
		require.NoError(t, Save(t.Context(), tx, nil))
	})
	require.Equal(t, domain.Gate{Ref: plain, State: domain.GateNone, RequestedAt: never, UpdatedAt: now}, read(t, pool, plain))
}

func TestSavingAGateThatWasNeverLockedFails(t *testing.T) {
	t.Parallel()
	inTx(t, testkit.Postgres(t).Pool, func(tx pgx.Tx) {
		require.ErrorContains(t, Save(t.Context(), tx, []domain.Gate{open(plain, 1, 1)}), "lock gates before saving them")
	})
}

type closer func(ctx context.Context, q postgres.Querier, ends []GenerationEnd) (skipped []string, err error)

func TestClose(t *testing.T) {
	t.Parallel()
	second := open(plain, 1, 2)
	second.KeyNumber = 2
	cancelled := second
	cancelled.State, cancelled.ClosedBy = domain.GateClosed, domain.ClosedByCancelled
	lettered := second
	lettered.State, lettered.ClosedBy = domain.GateClosed, domain.ClosedByDeadLetter
	tests := map[string]struct {
		gate    domain.Gate
		endings []GenerationEnd
		want    func(g *domain.Gate)
	}{
		"an_answer_closes_the_gate_and_uses_up_the_key": {
			gate: second, endings: []GenerationEnd{ending(second, domain.ClosedByAnswer)},
			want: func(g *domain.Gate) {
				g.State, g.ClosedBy, g.KeyAnswered = domain.GateClosed, domain.ClosedByAnswer, true
			},
		},
		"a_failure_closes_the_gate_and_leaves_the_key": {
			gate: second, endings: []GenerationEnd{ending(second, domain.ClosedByFailure)},
			want: func(g *domain.Gate) { g.State, g.ClosedBy = domain.GateClosed, domain.ClosedByFailure },
		},
		"an_answer_to_an_older_generation_uses_up_the_key_that_the_newer_one_carries": {
			gate: second, endings: []GenerationEnd{ending(open(plain, 1, 1), domain.ClosedByAnswer)},
			want: func(g *domain.Gate) { g.KeyAnswered = true },
		},
		"an_answer_to_another_key_leaves_the_gate_as_it_is": {
			gate: second, endings: []GenerationEnd{{Key: plain.Key(), Generation: 1, By: domain.ClosedByAnswer, IdempotencyKey: "ERP_another"}},
		},
		"so_does_a_failure_which_leaves_the_key": {
			gate: lettered, endings: []GenerationEnd{ending(lettered, domain.ClosedByFailure)},
			want: func(g *domain.Gate) { g.ClosedBy = domain.ClosedByFailure },
		},
		"a_terminal_event_says_more_than_a_dead_letter": {
			gate: lettered, endings: []GenerationEnd{ending(lettered, domain.ClosedByAnswer)},
			want: func(g *domain.Gate) { g.ClosedBy, g.KeyAnswered = domain.ClosedByAnswer, true },
		},
		"a_terminal_event_of_the_generation_before_does_not": {
			gate: lettered, endings: []GenerationEnd{ending(open(plain, 1, 1), domain.ClosedByFailure)},
		},
		"an_answer_alone_closes_nothing": {
			gate: second, endings: []GenerationEnd{{Key: plain.Key(), IdempotencyKey: second.IdempotencyKey, Answered: true}},
			want: func(g *domain.Gate) { g.KeyAnswered = true },
		},
		"the_failure_of_an_older_generation_leaves_the_gate_open": {
			gate: second, endings: []GenerationEnd{ending(open(plain, 1, 1), domain.ClosedByFailure)},
		},
		"the_end_of_a_newer_generation_leaves_the_gate_open": {
			gate: second, endings: []GenerationEnd{ending(open(plain, 1, 3), domain.ClosedByFailure)},
		},
		"a_gate_closed_before_keeps_its_reason": {
			gate: cancelled, endings: []GenerationEnd{ending(cancelled, domain.ClosedByFailure)},
		},
		"a_gate_closed_before_still_learns_of_the_answer": {
			gate: cancelled, endings: []GenerationEnd{{Key: plain.Key(), Generation: 2, By: domain.ClosedByCancelled, IdempotencyKey: cancelled.IdempotencyKey, Answered: true}},
			want: func(g *domain.Gate) { g.KeyAnswered = true },
		},
		"endings_of_several_generations_close_the_current_one": {
			gate: second, endings: []GenerationEnd{ending(open(plain, 1, 1), domain.ClosedBySuperseded), ending(second, domain.ClosedByAnswer)},
			want: func(g *domain.Gate) {
				g.State, g.ClosedBy, g.KeyAnswered = domain.GateClosed, domain.ClosedByAnswer, true
			},
		},
		"an_ending_told_twice_counts_once": {
			gate: second, endings: []GenerationEnd{ending(second, domain.ClosedByFailure), ending(second, domain.ClosedByFailure)},
			want: func(g *domain.Gate) { g.State, g.ClosedBy = domain.GateClosed, domain.ClosedByFailure },
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want := test.gate
			if test.want != nil {
				test.want(&want)
			}
			for name, closes := range map[string]closer{"close": Close, "close_rest": CloseRest} {
				pool := testkit.Postgres(t).Pool
				save(t, pool, test.gate)
				for range 2 { // the second time it changes nothing
					skipped, err := closes(t.Context(), pool, test.endings)
					require.NoError(t, err, name)
					require.Empty(t, skipped, name)
					require.Equal(t, want, read(t, pool, plain), name)
				}
			}
		})
	}
}

func TestCloseDoesNotWaitForALockedGate(t *testing.T) {
	t.Parallel()
	pool := testkit.Postgres(t).Pool
	busy, free := open(plain, 1, 1), open(slashed, 2, 1)
	save(t, pool, busy, free)
	both := []GenerationEnd{ending(busy, domain.ClosedByFailure), ending(free, domain.ClosedByFailure)}
	inTx(t, pool, func(tx pgx.Tx) {
		lock(t, tx, plain)
		require.Equal(t, []string{plain.Key()}, end(t, pool, both...))
		require.Equal(t, busy, read(t, pool, plain))
		require.Equal(t, domain.GateClosed, read(t, pool, slashed).State)
	})
	require.Empty(t, end(t, pool, both...), "once the lock is gone")
	require.Equal(t, domain.GateClosed, read(t, pool, plain).State)
}

// A lock is a write, and the syncer has closed most gates by the time the projector comes.
func TestCloseRestLocksNoGateThatKnows(t *testing.T) {
	t.Parallel()
	pool := testkit.Postgres(t).Pool
	knows, next := open(plain, 1, 1), open(slashed, 2, 1)
	save(t, pool, knows, next)
	told, untold := ending(knows, domain.ClosedByAnswer), ending(next, domain.ClosedByAnswer)
	told.Reference = new("ERP-1")
	require.Empty(t, end(t, pool, told))
	rest := func(ends ...GenerationEnd) []string {
		skipped, err := CloseRest(t.Context(), pool, ends)
		require.NoError(t, err)
		return skipped
	}
	inTx(t, pool, func(tx pgx.Tx) {
		lock(t, tx, plain, slashed)
		require.Equal(t, []string{slashed.Key()}, rest(told, untold))
		told.Reference = new("ERP-2")
		require.Equal(t, []string{plain.Key(), slashed.Key()}, rest(told, untold), "the reference is new")
	})
	var references int
	require.NoError(t, pool.QueryRow(t.Context(), `SELECT count(*) FROM erp_reference`).Scan(&references))
	require.Equal(t, 2, references)
	require.Empty(t, rest(told, untold))
	require.Equal(t, domain.GateClosed, read(t, pool, slashed).State)
	missing := ending(open(domain.OrderRef{Source: "default", IncrementID: "none"}, 3, 1), domain.ClosedByAnswer)
	require.Equal(t, []string{"none"}, rest(told, missing), "a gate that is missing")
}

func TestCloseNamesAGateThatIsMissing(t *testing.T) {
	t.Parallel()
	require.Equal(t, []string{plain.Key()}, end(t, testkit.Postgres(t).Pool, ending(open(plain, 1, 1), domain.ClosedByFailure)))
}

// By the time the gate is free its generation may have moved on, with the same key or with another.
func TestAnAnswerThatMetALockedGateIsNotedLater(t *testing.T) {
	t.Parallel()
	pool := testkit.Postgres(t).Pool
	resent, renewed, failed := open(plain, 1, 1), open(slashed, 2, 1), open(closed, 3, 1)
	save(t, pool, resent, renewed, failed)
	endings := []GenerationEnd{ending(resent, domain.ClosedByAnswer), ending(renewed, domain.ClosedByAnswer), ending(failed, domain.ClosedByFailure)}
	missing := open(domain.OrderRef{Source: "default", IncrementID: "missing"}, 4, 1)
	recall := func() (left bool) {
		left, err := Recall(t.Context(), pool)
		require.NoError(t, err)
		return left
	}
	after := func(g domain.Gate, newKey bool) domain.Gate { return g.Resync(5, newKey, later) }
	inTx(t, pool, func(holder pgx.Tx) {
		lock(t, holder, plain, slashed, closed)
		inTx(t, pool, func(tx pgx.Tx) {
			skipped := end(t, tx, append(endings, ending(missing, domain.ClosedByAnswer))...)
			require.Len(t, skipped, 4)
			require.NoError(t, Remember(t.Context(), tx, endings, skipped))
			require.NoError(t, Remember(t.Context(), tx, endings, skipped), "told twice")
		})
		require.True(t, recall(), "it does not wait")
		require.NoError(t, Save(t.Context(), holder, []domain.Gate{after(resent, false), after(renewed, true), after(failed, false)}))
	})
	require.False(t, recall())
	want := after(resent, false)
	want.KeyAnswered = true
	require.Equal(t, want, read(t, pool, plain))
	require.Equal(t, after(renewed, true), read(t, pool, slashed))
	require.Equal(t, after(failed, false), read(t, pool, closed))
	require.False(t, recall())
	save(t, pool, after(failed, true)) // what was noted once is not noted again
	require.False(t, recall())
	require.False(t, read(t, pool, closed).KeyAnswered)
}

// Two batches with the same orders in opposite order would deadlock if they were locked as given.
func TestLockTakesGatesInTheOrderOfTheirKeys(t *testing.T) {
	t.Parallel()
	pool := testkit.Postgres(t).Pool
	refs := []domain.OrderRef{plain, slashed, closed}
	backwards := slices.Clone(refs)
	slices.Reverse(backwards)
	done := make(chan error)
	for _, order := range [][]domain.OrderRef{refs, backwards} {
		go func() {
			var err error
			for range 50 {
				err = pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
					_, err := Lock(t.Context(), tx, order, now)
					return err
				})
				if err != nil {
					break
				}
			}
			done <- err
		}()
	}
	require.NoError(t, <-done)
	require.NoError(t, <-done)
}
