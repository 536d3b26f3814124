package domain

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var one = OrderRef{Source: DefaultSource, IncrementID: "1"}

// openGate is the gate of an order in this generation, which is on its way under its n-th key.
func openGate(generation, key int) Gate {
	return Gate{
		Ref: one, SyncID: 7, Generation: generation, State: GateOpen, MaxAttempts: 5, KeyNumber: key, IdempotencyKey: IdempotencyKey(one, key),
		Version: RequestVersion(generation, 0), RequestedAt: noon, UpdatedAt: noon,
	}
}

func TestTheFirstRequestOfAnOrder(t *testing.T) {
	t.Parallel()
	later := noon.Add(time.Hour + 1)
	for name, c := range map[string]struct {
		policy RequestPolicy
		state  GateState
		heldBy HeldBy
		status Status
	}{
		"goes out":                            {RequestPolicy{Enabled: true, ImmediateSync: true, MaxAttempts: 5}, GateOpen, "", Queued},
		"waits for the cron":                  {RequestPolicy{Enabled: true, MaxAttempts: 5}, GateHeld, HeldByCron, Pending},
		"is held while the connector is off":  {RequestPolicy{ImmediateSync: true, MaxAttempts: 5}, GateHeld, HeldByDisabled, Pending},
		"off counts more than that of a cron": {RequestPolicy{MaxAttempts: 5}, GateHeld, HeldByDisabled, Pending},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g, ok := Gate{Ref: one, State: GateNone}.Request(7, c.policy, later)
			require.True(t, ok)
			require.Equal(t, Gate{
				Ref: one, SyncID: 7, Generation: 1, State: c.state, HeldBy: c.heldBy, MaxAttempts: 5, KeyNumber: 1, IdempotencyKey: IdempotencyKey(one, 1),
				Version: RequestVersion(1, 0), RequestedAt: NormalizeTime(later), UpdatedAt: NormalizeTime(later),
			}, g)
			require.Equal(t, c.status, g.Status())
			s := g.RequestedSync(nil, "evt")
			require.Equal(t, []any{c.status, c.state == GateOpen, "evt"}, []any{s.Status, *s.Released, s.Cause})
			again, ok := g.Request(8, c.policy, later)
			require.False(t, ok, "an order is sent once")
			require.Equal(t, g, again)
		})
	}
}

func TestAReleaseKeepsGenerationAndKey(t *testing.T) {
	t.Parallel()
	held, _ := Gate{Ref: one, State: GateNone}.Request(7, RequestPolicy{MaxAttempts: 5}, noon)
	cron, ok := held.Hold(HeldByCron)
	require.True(t, ok)
	require.Equal(t, held.Version, cron.Version, "it is no fact")
	_, ok = cron.Hold(HeldByCron)
	require.False(t, ok)
	open, ok := cron.Release(noon.Add(time.Minute))
	require.True(t, ok)
	require.Equal(t, []any{GateOpen, HeldBy(""), 1, held.IdempotencyKey, RequestVersion(1, 1)}, []any{open.State, open.HeldBy, open.Generation, open.IdempotencyKey, open.Version})
	require.True(t, *open.RequestedSync(nil, "").Released)
	_, ok = open.Release(noon)
	require.False(t, ok)
	_, ok = open.Hold(HeldByCron)
	require.False(t, ok, "what is on its way is not held")
}

func TestWhichKeyAResyncCarries(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		answered, newKey bool
		key              int
	}{
		"nobody answered it":    {false, false, 1},
		"the ERP has booked it": {true, false, 2},
		"an operator asks":      {false, true, 2},
		"both":                  {true, true, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := openGate(1, 1)
			g.State, g.ClosedBy, g.KeyAnswered, g.RequestNumber, g.CallbackNumber, g.Callback = GateClosed, ClosedByFailure, c.answered, 2, 1, "webhook"
			next := g.Resync(3, c.newKey, noon.Add(time.Hour))
			want := openGate(2, c.key)
			want.MaxAttempts, want.UpdatedAt, want.KeyAnswered = 3, noon.Add(time.Hour), false
			require.Equal(t, want, next)
		})
	}
}

func TestASettlementByHandIsAboutTheCurrentGeneration(t *testing.T) {
	t.Parallel()
	for by, c := range map[ClosedBy]struct {
		status Status
		code   ErrorCode
	}{ClosedByHand: {Success, ""}, ClosedByCancelled: {Failed, ErrorClosed}} {
		g := openGate(3, 2)
		next, released, what := g.Settle(Settlement{By: by, Reference: new("ERP-1")}, noon.Add(time.Minute))
		require.Equal(t, []any{SettledNow, false, GateClosed, by, CallbackVersion(3, 1)}, []any{what, released, next.State, next.ClosedBy, next.Version})
		require.False(t, next.KeyAnswered, "nobody but the ERP answers a key")
		require.Equal(t, c.status, next.Status())
		require.Equal(t, "ERP-1", *next.CallbackReference())
		s := next.SettledSync(nil, new("ERP-1"), "me")
		require.Equal(t, []any{c.status, c.code, by, next.Version}, []any{s.Status, s.ErrorCode, s.ClosedBy, s.Version})
		require.Nil(t, s.Released)
		_, _, what = next.Settle(Settlement{By: by, Reference: new("ERP-1")}, noon)
		require.Equal(t, SettledBefore, what)
		other, _, what := next.Settle(Settlement{By: by, Reference: new("ERP-2")}, noon)
		require.Equal(t, SettledNow, what, "another reference is news")
		require.Equal(t, CallbackVersion(3, 2), other.Version)
	}
}

func TestASettlementReleasesWhatIsHeld(t *testing.T) {
	t.Parallel()
	held, _ := Gate{Ref: one, State: GateNone}.Request(7, RequestPolicy{MaxAttempts: 5}, noon)
	next, released, what := held.Settle(Settlement{By: ClosedByRejected, Heard: &Heard{}}, noon)
	require.Equal(t, SettledNow, what)
	require.True(t, released, "only a record of the chain writes the terminal event")
	require.Equal(t, []any{GateClosed, HeldBy(""), 1}, []any{next.State, next.HeldBy, next.RequestNumber})
	require.Nil(t, next.CallbackReference())
}

func TestWhichGenerationAReferenceBelongsTo(t *testing.T) {
	t.Parallel()
	g := openGate(3, 2)
	reference := new("ERP-1")
	for name, c := range map[string]struct {
		settlement Settlement
		want       int
	}{
		"none":                         {Settlement{Heard: &Heard{}}, 0},
		"one by hand":                  {Settlement{Reference: reference}, 0},
		"with the current key":         {Settlement{Reference: reference, IdempotencyKey: IdempotencyKey(one, 2), Heard: &Heard{References: 1}}, 3},
		"with an earlier key":          {Settlement{Reference: reference, IdempotencyKey: IdempotencyKey(one, 1), Heard: &Heard{}}, 2},
		"with a key that nobody knows": {Settlement{Reference: reference, IdempotencyKey: "x", Heard: &Heard{References: 1}}, 0},
		"without a key, never named":   {Settlement{Reference: reference, Heard: &Heard{}}, 3},
		"without a key, named before":  {Settlement{Reference: reference, Heard: &Heard{References: 2}}, 2},
	} {
		require.Equal(t, c.want, g.ReferenceOf(c.settlement), name)
	}
}

func TestTheStatusThatAGateKnows(t *testing.T) {
	t.Parallel()
	require.Equal(t, NotSynced, Gate{State: GateNone}.Status())
	require.Equal(t, NotSynced, Gate{}.Status())
	for by, want := range map[ClosedBy]Status{
		ClosedByAnswer: Success, ClosedByWebhook: Success, ClosedByHand: Success, ClosedByFailure: Failed, ClosedByRejected: Failed,
		ClosedByCancelled: Failed, ClosedBySuperseded: Failed, ClosedByDeadLetter: Failed,
	} {
		require.Equal(t, want, Gate{State: GateClosed, ClosedBy: by}.Status(), "%s", by)
		require.Equal(t, want == Success, by.Settles(), "%s", by)
	}
}

func TestWhatARequestNeeds(t *testing.T) {
	t.Parallel()
	reason := map[Request]bool{RequestAnew: true, RequestCancel: true, RequestSettle: true, RequestSendNow: true}
	off := map[Request]bool{RequestCancel: true, RequestSettle: true}
	for _, r := range Requests {
		require.Equal(t, reason[r], r.NeedsReason(), "%s", r)
		require.Equal(t, !off[r], r.NeedsConnector(), "%s", r)
		require.Equal(t, RefuseConflict, ActionFor(r, "nonsense"), "a state that nobody knows allows nothing")
	}
}
