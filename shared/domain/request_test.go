package domain_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/erpconnector/erpconnector/shared/domain"
)

var asked = time.Date(2024, 1, 15, 10, 30, 0, 0, time.UTC)

func TestStands(t *testing.T) {
	t.Parallel()
	open := domain.Gate{State: domain.GateOpen, Generation: 2}
	soon, past := asked.Add(time.Second), asked.Add(-time.Second)
	for name, test := range map[string]struct {
		published bool
		gate      *domain.Gate
		seen      domain.Seen
		want      domain.Standing
	}{
		"nobody_published_it":               {want: domain.Unknown},
		"published_without_a_gate":          {published: true, want: domain.Known},
		"a_gate_that_guards_nothing_yet":    {published: true, gate: &domain.Gate{State: domain.GateNone}, want: domain.Known},
		"held":                              {gate: &domain.Gate{State: domain.GateHeld}, want: domain.StandsPending},
		"no_row_yet":                        {gate: &open, want: domain.StandsQueued},
		"the_row_is_of_an_older_generation": {gate: &open, seen: domain.Seen{Status: domain.Failed, Generation: 1}, want: domain.StandsQueued},
		"requested":                         {gate: &open, seen: domain.Seen{Status: domain.Queued, Generation: 2}, want: domain.StandsQueued},
		"called":                            {gate: &open, seen: domain.Seen{Status: domain.InProgress, Generation: 2}, want: domain.StandsInFlight},
		"parked":                            {gate: &open, seen: domain.Seen{Status: domain.Queued, Generation: 2, NextAttemptAt: &soon}, want: domain.StandsWaiting},
		"due":                               {gate: &open, seen: domain.Seen{Status: domain.Queued, Generation: 2, NextAttemptAt: &past}, want: domain.StandsInFlight},
		"ended_and_the_gate_not_told":       {gate: &open, seen: domain.Seen{Status: domain.Failed, Generation: 2}, want: domain.StandsFailed},
		"settled_by_a_callback":             {gate: &domain.Gate{State: domain.GateClosed, ClosedBy: domain.ClosedByWebhook}, want: domain.StandsSuccess},
		"cancelled":                         {gate: &domain.Gate{State: domain.GateClosed, ClosedBy: domain.ClosedByCancelled}, want: domain.StandsFailed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, test.want, domain.Stands(test.published, test.gate, test.seen, asked))
		})
	}
}

// A success that only the row knows uses up the key: a resync must not send under it again.
func TestAKeyThatTheRowKnowsToBeAnsweredIsUsedUp(t *testing.T) {
	t.Parallel()
	g, _ := domain.Gate{Ref: domain.OrderRef{Source: "default", IncrementID: "1"}, State: domain.GateNone}.
		Request(1, domain.Intake{Enabled: true, ImmediateSync: true, MaxAttempts: 5}, asked)
	known := g.CaughtUp(domain.Seen{Status: domain.Success, Generation: 1})
	require.NotEqual(t, g.IdempotencyKey, known.Resync(5, false, asked).IdempotencyKey)
	require.Equal(t, g.IdempotencyKey, g.CaughtUp(domain.Seen{Status: domain.Failed, Generation: 1}).Resync(5, false, asked).IdempotencyKey)
	require.Equal(t, g, g.CaughtUp(domain.Seen{Status: domain.Success, Generation: 2}), "of another generation")
}

// TestGateUnderAnyRequests: each fact has a higher version than the one before of its kind, a generation keeps its key,
// and a new key follows an answer or an operator's wish only.
func TestGateUnderAnyRequests(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		g, _ := domain.Gate{Ref: domain.OrderRef{Source: "default", IncrementID: "1"}, State: domain.GateNone}.
			Request(1, domain.Intake{Enabled: rapid.Bool().Draw(t, "enabled"), ImmediateSync: true, MaxAttempts: 5}, asked)
		t.Repeat(map[string]func(*rapid.T){
			"release": func(t *rapid.T) {
				next, ok := g.Release(asked)
				require.Equal(t, g.State == domain.GateHeld, ok)
				require.True(t, !ok || next.Version > g.Version)
				g = next
			},
			"resync": func(t *rapid.T) {
				wish := rapid.Bool().Draw(t, "new key")
				next := g.Resync(5, wish, asked)
				require.Greater(t, next.Version, g.Version)
				require.Equal(t, wish || g.KeyAnswered, next.IdempotencyKey != g.IdempotencyKey)
				require.Equal(t, domain.IdempotencyKey(next.Ref, next.KeyNumber), next.IdempotencyKey)
				g = next
			},
			"settle": func(t *rapid.T) {
				s := domain.Settlement{By: rapid.SampledFrom([]domain.ClosedBy{
					domain.ClosedByWebhook, domain.ClosedByRejected, domain.ClosedByHand, domain.ClosedByCancelled,
				}).Draw(t, "by")}
				if rapid.Bool().Draw(t, "echoes another key") {
					s.IdempotencyKey = "ERP_other"
				}
				next, released, what := g.Settle(s, asked)
				if s.IdempotencyKey != "" {
					require.Equal(t, domain.SettledOther, what)
					require.Equal(t, g, next)
					return
				}
				require.Equal(t, g.State == domain.GateHeld && what == domain.SettledNow, released)
				require.Equal(t, what == domain.SettledNow, next.Version > g.Version)
				require.Equal(t, g.IdempotencyKey, next.IdempotencyKey)
				_, _, again := next.Settle(s, asked)
				require.Equal(t, domain.SettledBefore, again)
				g = next
			},
		})
	})
}

// Every request has an answer in every standing.
func TestActionsAreComplete(t *testing.T) {
	t.Parallel()
	for _, r := range domain.Requests {
		for _, s := range domain.Standings {
			require.NotEmpty(t, domain.ActionFor(r, s), "%s of an order that is %s", r, s)
		}
	}
}
