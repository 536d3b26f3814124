package orders

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/gate"
)

var callbackOrder = domain.OrderRef{Source: "default", IncrementID: "1"}

// said is one callback of the ERP.
type said struct {
	body      string
	status    domain.Request // accepted unless given
	reference string
	key       string
}

// hears is what a callback came to.
func (s *shelf) hears(t *testing.T, c said) domain.Settled {
	t.Helper()
	a := Command{
		Ref: callbackOrder, Request: domain.RequestAccepted, Who: "webhook", IdempotencyKey: c.key, Body: c.body, Digest: sha256.Sum256([]byte(c.body)),
	}
	if c.status != "" {
		a.Request = c.status
	}
	if c.reference != "" {
		a.Reference = &c.reference
	}
	answer, err := s.Do(t.Context(), a)
	require.NoError(t, err)
	return answer.Settled
}

func (s *shelf) gate(t *testing.T) domain.Gate {
	t.Helper()
	gates, err := gate.NewStore(s.pool).Read(t.Context(), []string{callbackOrder.Key()})
	require.NoError(t, err)
	return *gates[callbackOrder.Key()]
}

// sent is an order whose generation 1 the ERP has answered, or not.
func (s *shelf) sent(t *testing.T, reference string) {
	t.Helper()
	s.hold(t, domain.HeldByCron, callbackOrder.IncrementID)
	_, err := s.Release(t.Context(), Releasing{HeldBy: domain.HeldByCron, Limit: 1})
	require.NoError(t, err)
	if reference != "" {
		s.answered(t, reference)
	}
}

// answered closes the gate as the syncer does.
func (s *shelf) answered(t *testing.T, reference string) {
	t.Helper()
	g := s.gate(t)
	_, err := gate.Close(t.Context(), s.pool, []gate.GenerationEnd{{
		Key: g.Ref.Key(), Generation: g.Generation, Version: domain.AttemptVersion(g.Generation, 1, domain.PhaseTerminal), By: domain.ClosedByAnswer,
		IdempotencyKey: g.IdempotencyKey, Reference: &reference,
	}})
	require.NoError(t, err)
}

func (s *shelf) resync(t *testing.T, newKey bool) domain.Gate {
	t.Helper()
	request := domain.RequestResync
	if newKey {
		request = domain.RequestAnew
	}
	answer, err := s.Do(t.Context(), Command{Ref: callbackOrder, Request: request, Reason: "why"})
	require.NoError(t, err)
	require.Equal(t, domain.ActResync, answer.Action)
	return answer.Gate
}

// told is what stands in the outbox since the last look: callbacks by their status, notes by their cause.
func (s *shelf) told(t *testing.T) (out []string) {
	t.Helper()
	rows, err := s.pool.Query(t.Context(), `
		WITH gone AS (DELETE FROM erp_outbox WHERE topic = $1 RETURNING id, payload) SELECT payload FROM gone ORDER BY id`, event.TopicCallback)
	require.NoError(t, err)
	payloads, err := pgx.CollectRows(rows, pgx.RowTo[[]byte])
	require.NoError(t, err)
	for _, payload := range payloads {
		v, err := event.DecodeSync(payload)
		require.NoError(t, err)
		if v.Sync.Version.Class() == domain.ClassRequest {
			out = append(out, "note: "+v.Sync.Cause)
			continue
		}
		out = append(out, fmt.Sprintf("%s, generation %d", v.Sync.Status, v.Sync.Generation))
	}
	return out
}

// The order was sent again after the ERP had it: only what is about the new sending settles it.
func TestAfterAResyncOnlyItsOwnCallbackSettles(t *testing.T) {
	t.Parallel()
	first := domain.IdempotencyKey(callbackOrder, 1)
	second := domain.IdempotencyKey(callbackOrder, 2)
	for name, c := range map[string]struct {
		before []said // in generation 1
		said   said   // in generation 2
		want   domain.Settled
		told   []string
	}{
		"the_same_body": {
			[]said{{body: "b", reference: "ERP-1"}},
			said{body: "b", reference: "ERP-1"},
			domain.SettledRepeated,
			[]string{"note: webhook: the same callback came before the resync"},
		},
		"the_answers_reference": {
			nil, said{body: "b", reference: "ERP-1"}, domain.SettledEarlier, []string{"note: webhook: its reference is that of an earlier generation"},
		},
		"a_reference_of_a_callback": {
			[]said{{body: "b", reference: "ERP-1b"}},
			said{body: "c", reference: "ERP-1b"},
			domain.SettledEarlier,
			[]string{"note: webhook: its reference is that of an earlier generation"},
		},
		"rejects_the_old_reference": {
			nil,
			said{body: "b", status: domain.RequestRejected, reference: "ERP-1"},
			domain.SettledEarlier,
			[]string{"note: webhook: its reference is that of an earlier generation"},
		},
		"names_nothing": {
			nil,
			said{body: "b", status: domain.RequestRejected},
			domain.SettledUnnamed,
			[]string{"note: webhook: after a resync it carries neither the idempotency key nor a reference"},
		},
		"the_older_key": {
			nil,
			said{body: "b", key: first, reference: "ERP-2"},
			domain.SettledOtherKey,
			[]string{"note: webhook: it carries another idempotency key than the order's current one"},
		},
		"the_key":         {nil, said{body: "b", key: second}, domain.SettledNow, []string{"success, generation 2"}},
		"a_new_reference": {nil, said{body: "b", reference: "ERP-2"}, domain.SettledNow, []string{"success, generation 2"}},
		"rejects_by_key":  {nil, said{body: "b", key: second, status: domain.RequestRejected}, domain.SettledNow, []string{"failed, generation 2"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := setup(t)
			s.sent(t, "ERP-1")
			for _, before := range c.before {
				require.Equal(t, domain.SettledNow, s.hears(t, before))
			}
			require.Equal(t, second, s.resync(t, true).IdempotencyKey)
			s.told(t)
			require.Equal(t, c.want, s.hears(t, c.said))
			require.Equal(t, c.told, s.told(t))
			g := s.gate(t)
			require.Equal(t, c.want == domain.SettledNow, g.State == domain.GateClosed)
			require.Equal(t, c.want == domain.SettledNow && c.said.key != "" && c.said.status == "", g.KeyAnswered)

			require.Equal(t, domain.SettledRepeated, s.hears(t, c.said))
			require.Empty(t, s.told(t), "what was noted is not noted again: a captured body must not fill the log")
		})
	}
}

// A captured body works once, whatever happens in between: X-Signature has no time.
func TestABodyCountsOnce(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.sent(t, "")
	yes, no := said{body: "yes", reference: "ERP-1"}, said{body: "no", status: domain.RequestRejected}
	require.Equal(t, domain.SettledNow, s.hears(t, yes))
	require.Equal(t, domain.SettledNow, s.hears(t, no))
	require.Equal(t, domain.SettledRepeated, s.hears(t, yes))
	require.Equal(t, domain.StateFailed, domain.StateOf(true, new(s.gate(t)), domain.Projected{}, start))
	require.Equal(t, []string{"success, generation 1", "failed, generation 1"}, s.told(t))
	for generation := 2; generation < 5; generation++ {
		s.resync(t, true)
		require.Equal(t, domain.SettledRepeated, s.hears(t, yes))
		require.Equal(t, domain.SettledRepeated, s.hears(t, yes))
		require.Len(t, s.told(t), 1, "noted once in each generation")
		s.answered(t, fmt.Sprint("ERP-", generation))
	}
}

// A callback that carries an older key tells what that sending was called: without the key the reference does not count.
func TestAReferenceBesideAnOlderKeyIsTheOlderOnes(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.sent(t, "ERP-1")
	s.resync(t, true)
	first := domain.IdempotencyKey(callbackOrder, 1)
	require.Equal(t, domain.SettledOtherKey, s.hears(t, said{body: "b", key: first, reference: "also ERP-1"}))
	require.Equal(t, domain.SettledEarlier, s.hears(t, said{body: "c", reference: "also ERP-1"}))
	require.Equal(t, domain.SettledOtherKey, s.hears(t, said{body: "d", key: "ERP_nobodys", reference: "ERP-2"}))
	require.Equal(t, domain.SettledNow, s.hears(t, said{body: "e", reference: "ERP-2"}), "a key that was never ours says nothing of it")
}

// Seen: an accepting callback without a key counted as the key's answer, so that a resync took a new key and booked twice.
func TestACallbackWithoutTheKeyUsesUpNoKey(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		key    string
		usedUp bool
	}{"without": {"", false}, "with": {domain.IdempotencyKey(callbackOrder, 1), true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := setup(t)
			s.sent(t, "")
			require.Equal(t, domain.SettledNow, s.hears(t, said{body: "b", key: c.key, reference: "ERP-1"}))
			require.Equal(t, domain.SettledNow, s.hears(t, said{body: "c", status: domain.RequestRejected}), "only a failed order is sent again without a new key")
			before := s.gate(t).IdempotencyKey
			after := s.resync(t, false)
			require.Equal(t, c.usedUp, after.IdempotencyKey != before)
			requests := s.written(t)
			require.Equal(t, c.usedUp, requests[len(requests)-1].Sync.NewKey)
			require.Equal(t, !c.usedUp, requests[len(requests)-1].Sync.KeySentBefore())
		})
	}
}

// A status that settles nothing still tells what the ERP calls the order.
func TestANoteIsRememberedToo(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.sent(t, "")
	note := Command{Ref: callbackOrder, Reference: new("ERP-1"), Body: "n", Digest: sha256.Sum256([]byte("n"))}
	known, err := s.Annotate(t.Context(), note, "processing")
	require.NoError(t, err)
	require.True(t, known)
	require.Equal(t, []string{"note: webhook: processing"}, s.told(t))
	s.answered(t, "ERP-1b")
	s.resync(t, true)
	require.Equal(t, domain.SettledEarlier, s.hears(t, said{body: "b", reference: "ERP-1"}))
}

// A resync of an order that the ERP has booked sent it again without a question, and the ERP booked it twice.
func TestAnOrderThatReachedTheERPIsSentAgainOnlyUnderANewKey(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.sent(t, "ERP-1")
	answer, err := s.Do(t.Context(), Command{Ref: callbackOrder, Request: domain.RequestResync, Reason: "why"})
	require.NoError(t, err)
	require.Equal(t, domain.RefuseConflict, answer.Action)
	require.Equal(t, 1, s.gate(t).Generation)
	_, err = s.Do(t.Context(), Command{Ref: callbackOrder, Request: domain.RequestAnew})
	require.ErrorContains(t, err, "/reason is required")
	require.Equal(t, 1, s.gate(t).Generation)
	require.NotEqual(t, domain.IdempotencyKey(callbackOrder, 1), s.resync(t, true).IdempotencyKey)
}

// U+0000 in a reason became a dead letter, and from then on the table was never again what the log says.
func TestTextsThatNoReaderCanKeepAreRefused(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.sent(t, "")
	for name, a := range map[string]Command{
		"a_reason":    {Request: domain.RequestSettle, Reason: "a\x00b"},
		"a_reference": {Request: domain.RequestSettle, Reason: "why", Reference: new("a\x00b")},
		"too_long":    {Request: domain.RequestSettle, Reason: "why", Reference: new(strings.Repeat("x", domain.ReferenceText.MaxBytes+1))},
		"a_key":       {Request: domain.RequestAccepted, IdempotencyKey: "ERP_\x1b"},
	} {
		a.Ref = callbackOrder
		_, err := s.Do(t.Context(), a)
		require.Error(t, err, name)
		_, err = s.Annotate(t.Context(), a, "processing")
		require.Error(t, err, name)
	}
	require.Empty(t, s.told(t))
}
