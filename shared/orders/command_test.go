package orders

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/gate"
	"github.com/erpconnector/erpconnector/shared/setting"
)

// in brings the order of the callbacks into a state, by the gate and by what the projection shows.
func (s *shelf) in(t *testing.T, state domain.OrderState) {
	t.Helper()
	project := func(status domain.Status, next *time.Time) {
		_, err := s.pool.Exec(t.Context(), `INSERT INTO vendor_erp_sync (sync_id, order_increment_id, source, status, attempts, max_attempts, next_attempt_at,
			idempotency_key, created_at, updated_at, generation, attempt_version, attempt_version_at, version, version_at, reference_version)
			VALUES (1, '1', 'default', $1, 1, 3, $2, 'k', now(), now(), 1, $3, $4, $3, $4, 0)`,
			string(status), next, int64(domain.AttemptVersion(1, 1, domain.PhaseAfter)), start)
		require.NoError(t, err)
	}
	if state == domain.StateUnknown {
		return
	}
	if state == domain.StateKnown {
		require.NoError(t, pgx.BeginFunc(t.Context(), s.pool, func(tx pgx.Tx) error {
			if _, err := gate.Lock(t.Context(), tx, []domain.OrderRef{callbackOrder}, start); err != nil {
				return err
			}
			_, err := tx.Exec(t.Context(), `INSERT INTO sales_order (order_key, source, increment_id, order_id, snapshot, created_at, updated_at)
				VALUES ('1', 'default', '1', 7, $1, $2, $2)`, snapshotOf("1", "an item"), start)
			return err
		}))
		return
	}
	s.hold(t, domain.HeldByCron, callbackOrder.IncrementID)
	if state == domain.StatePending {
		return
	}
	_, err := s.Release(t.Context(), Releasing{HeldBy: domain.HeldByCron, Limit: 1})
	require.NoError(t, err)
	switch state {
	case domain.StateWaiting:
		project(domain.Queued, new(s.now().Add(time.Minute)))
	case domain.StateInFlight:
		project(domain.InProgress, nil)
	case domain.StateSuccess:
		s.answered(t, "ERP-1")
	case domain.StateFailed:
		_, err := gate.Close(t.Context(), s.pool, []gate.GenerationEnd{{Key: "1", Generation: 1, By: domain.ClosedByFailure}})
		require.NoError(t, err)
	default: // queued
	}
}

// facts are what the outbox has got since the last look, each with the status, the generation and the cause.
func (s *shelf) facts(t *testing.T) (out []string) {
	t.Helper()
	rows, err := s.pool.Query(t.Context(), `WITH gone AS (DELETE FROM erp_outbox RETURNING id, topic, payload) SELECT topic, payload FROM gone ORDER BY id`)
	require.NoError(t, err)
	var topic string
	var payload []byte
	_, err = pgx.ForEachRow(rows, []any{&topic, &payload}, func() error {
		v, err := event.DecodeSync(payload)
		if err != nil {
			return err
		}
		fact := fmt.Sprintf("%s %s, generation %d", strings.TrimPrefix(topic, "vendor_erp_sync_"), v.Sync.Status, v.Sync.Generation)
		if v.Sync.NewKey {
			fact += ", new key"
		}
		require.Equal(t, topic == event.TopicRequested, v.Order != nil, "a request carries its order, and nothing else does")
		out = append(out, fact)
		return nil
	})
	require.NoError(t, err)
	return out
}

// What each command does to the gate, and which facts it writes. docs/states.md has the whole table, through the API.
func TestWhatACommandDoes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		state   domain.OrderState
		request domain.Request
		action  domain.Action
		gate    string // state, who closed it, generation
		facts   []string
	}{
		{domain.StateUnknown, domain.RequestSync, domain.RefuseNotFound, "none  0", nil},
		{domain.StateUnknown, domain.RequestSettle, domain.RefuseNotFound, "none  0", nil},
		{domain.StateKnown, domain.RequestSync, domain.ActCreate, "open  1", []string{"requested queued, generation 1"}},
		{domain.StateKnown, domain.RequestAnew, domain.ActCreate, "open  1", []string{"requested queued, generation 1"}},
		{domain.StateKnown, domain.RequestAccepted, domain.RefuseNotFound, "none  0", nil},
		{domain.StatePending, domain.RequestResync, domain.ActRelease, "open  1", []string{"requested queued, generation 1"}},
		{domain.StatePending, domain.RequestCancel, domain.ActSettle, "closed cancelled 1", []string{"requested queued, generation 1", "callback failed, generation 1"}},
		{domain.StatePending, domain.RequestAccepted, domain.ActSettle, "closed webhook 1", []string{"requested queued, generation 1", "callback success, generation 1"}},
		{domain.StateQueued, domain.RequestSync, domain.ActNothing, "open  1", nil},
		{domain.StateQueued, domain.RequestCancel, domain.RefuseConflict, "open  1", nil},
		{domain.StateQueued, domain.RequestSettle, domain.ActSettle, "closed hand 1", []string{"callback success, generation 1"}},
		{domain.StateWaiting, domain.RequestSendNow, domain.ActResync, "open  2", []string{"requested queued, generation 2"}},
		{domain.StateWaiting, domain.RequestAnew, domain.ActResync, "open  2", []string{"requested queued, generation 2, new key"}},
		{domain.StateWaiting, domain.RequestCancel, domain.ActSettle, "closed cancelled 1", []string{"callback failed, generation 1"}},
		{domain.StateInFlight, domain.RequestResync, domain.ActNothing, "open  1", nil},
		{domain.StateInFlight, domain.RequestRejected, domain.ActSettle, "closed rejected 1", []string{"callback failed, generation 1"}},
		{domain.StateSuccess, domain.RequestResync, domain.RefuseConflict, "closed answer 1", nil},
		{domain.StateSuccess, domain.RequestAnew, domain.ActResync, "open  2", []string{"requested queued, generation 2, new key"}},
		{domain.StateFailed, domain.RequestSync, domain.ActNothing, "closed failure 1", nil},
		{domain.StateFailed, domain.RequestResync, domain.ActResync, "open  2", []string{"requested queued, generation 2"}},
		{domain.StateFailed, domain.RequestSendNow, domain.RefuseConflict, "closed failure 1", nil},
	} {
		t.Run(fmt.Sprintf("%s_%s", c.request, c.state), func(t *testing.T) {
			t.Parallel()
			s := setup(t)
			s.in(t, c.state)
			s.facts(t)
			result, err := s.Do(t.Context(), Command{Ref: callbackOrder, Request: c.request, Who: "me", Reason: "why"})
			require.NoError(t, err)
			require.Equal(t, c.state, result.State)
			require.Equal(t, c.action, result.Action)
			require.Equal(t, c.facts, s.facts(t))
			g := result.Gate
			require.Equal(t, c.gate, fmt.Sprintf("%s %s %d", g.State, g.ClosedBy, g.Generation))
			if c.state != domain.StateUnknown {
				require.Equal(t, g, s.gate(t), "the gate that is told is the one that is kept")
			}
		})
	}
}

func TestWhatTheConnectorMustBeOnFor(t *testing.T) {
	t.Parallel()
	off := setting.Defaults()
	off.Enabled = false
	for _, request := range domain.Requests {
		t.Run(string(request), func(t *testing.T) {
			t.Parallel()
			s := setup(t)
			s.in(t, domain.StateWaiting)
			s.facts(t)
			s.settings = setting.Fixed(off)
			cmd := Command{Ref: callbackOrder, Request: request, Reason: "why"}
			_, err := s.Do(t.Context(), cmd)
			if request == domain.RequestCancel || request == domain.RequestSettle {
				require.NoError(t, err, "an operator can end an order at any time")
				require.Len(t, s.facts(t), 1)
				return
			}
			require.ErrorIs(t, err, ErrDisabled)
			_, err = s.Annotate(t.Context(), cmd, "processing")
			require.ErrorIs(t, err, ErrDisabled)
			require.Empty(t, s.facts(t))
		})
	}
}

func TestCauseNamesWhoDidWhatAndWhy(t *testing.T) {
	t.Parallel()
	for want, c := range map[string][3]string{
		"resync by me: the ERP lost it": {"resync", "me", " the ERP lost it\t"},
		"resync by me":                  {"resync", "me", "  "},
		"resync: why":                   {"resync", "", "why"},
		"resync":                        {"resync", "", ""},
	} {
		require.Equal(t, want, Cause(c[0], c[1], c[2]))
	}
}

// Two commands at the same moment make one generation: the second finds what the first has made.
func TestTwoResyncsAtOnceMakeOneGeneration(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.in(t, domain.StateFailed)
	s.facts(t)
	actions := make(chan domain.Action, 2)
	for range 2 {
		go func() {
			result, err := s.Do(context.WithoutCancel(t.Context()), Command{Ref: callbackOrder, Request: domain.RequestResync})
			if err != nil {
				result.Action = domain.Action(err.Error())
			}
			actions <- result.Action
		}()
	}
	require.ElementsMatch(t, []domain.Action{domain.ActResync, domain.ActNothing}, []domain.Action{<-actions, <-actions})
	require.Equal(t, []string{"requested queued, generation 2"}, s.facts(t))
}

func TestHeldAndOldestUnfinishedTellWhatWaits(t *testing.T) {
	t.Parallel()
	s := setup(t)
	since, err := s.OldestUnfinished(t.Context())
	require.NoError(t, err)
	require.Equal(t, map[domain.GateState]time.Time{domain.GateOpen: {}, domain.GateHeld: {}}, since)
	s.hold(t, domain.HeldByCron, "1", "2", "3")
	s.hold(t, domain.HeldByDisabled, "4")
	held, err := s.Held(t.Context())
	require.NoError(t, err)
	require.Equal(t, map[domain.HeldBy]int{domain.HeldByCron: 3, domain.HeldByDisabled: 1}, held)
	_, err = s.Release(t.Context(), Releasing{HeldBy: domain.HeldByCron, Limit: 1})
	require.NoError(t, err)
	since, err = s.OldestUnfinished(t.Context())
	require.NoError(t, err)
	require.Equal(t, map[domain.GateState]time.Time{domain.GateOpen: s.now(), domain.GateHeld: start.Add(2 * time.Second)}, since)
	_, err = s.Do(t.Context(), Command{Ref: callbackOrder, Request: domain.RequestSettle, Reason: "why"})
	require.NoError(t, err)
	since, err = s.OldestUnfinished(t.Context())
	require.NoError(t, err)
	require.Zero(t, since[domain.GateOpen], "what has ended waits no more")
}
