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
		seen      domain.Projected
		want      domain.OrderState
	}{
		"nobody_published_it":               {want: domain.StateUnknown},
		"published_without_a_gate":          {published: true, want: domain.StateKnown},
		"a_gate_that_guards_nothing_yet":    {published: true, gate: &domain.Gate{State: domain.GateNone}, want: domain.StateKnown},
		"held":                              {gate: &domain.Gate{State: domain.GateHeld}, want: domain.StatePending},
		"no_row_yet":                        {gate: &open, want: domain.StateQueued},
		"the_row_is_of_an_older_generation": {gate: &open, seen: domain.Projected{Status: domain.Failed, Generation: 1}, want: domain.StateQueued},
		"requested":                         {gate: &open, seen: domain.Projected{Status: domain.Queued, Generation: 2}, want: domain.StateQueued},
		"called":                            {gate: &open, seen: domain.Projected{Status: domain.InProgress, Generation: 2}, want: domain.StateInFlight},
		"parked":                            {gate: &open, seen: domain.Projected{Status: domain.Queued, Generation: 2, NextAttemptAt: &soon}, want: domain.StateWaiting},
		"due":                               {gate: &open, seen: domain.Projected{Status: domain.Queued, Generation: 2, NextAttemptAt: &past}, want: domain.StateInFlight},
		"ended_and_the_gate_not_told":       {gate: &open, seen: domain.Projected{Status: domain.Failed, Generation: 2}, want: domain.StateFailed},
		"settled_by_a_callback":             {gate: &domain.Gate{State: domain.GateClosed, ClosedBy: domain.ClosedByWebhook}, want: domain.StateSuccess},
		"cancelled":                         {gate: &domain.Gate{State: domain.GateClosed, ClosedBy: domain.ClosedByCancelled}, want: domain.StateFailed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, test.want, domain.StateOf(test.published, test.gate, test.seen, asked))
		})
	}
}

// A success that only the row knows uses up the key: a resync must not send under it again.
func TestAKeyThatTheRowKnowsToBeAnsweredIsUsedUp(t *testing.T) {
	t.Parallel()
	g, _ := domain.Gate{Ref: domain.OrderRef{Source: "default", IncrementID: "1"}, State: domain.GateNone}.
		Request(1, domain.RequestPolicy{Enabled: true, ImmediateSync: true, MaxAttempts: 5}, asked)
	known := g.CaughtUp(domain.Projected{Status: domain.Success, Generation: 1})
	require.NotEqual(t, g.IdempotencyKey, known.Resync(5, false, asked).IdempotencyKey)
	require.Equal(t, g.IdempotencyKey, g.CaughtUp(domain.Projected{Status: domain.Failed, Generation: 1}).Resync(5, false, asked).IdempotencyKey)
	require.Equal(t, g, g.CaughtUp(domain.Projected{Status: domain.Success, Generation: 2}), "of another generation")
}

// TestGateUnderAnyRequests: each fact has a higher version than the one before of its kind, a generation keeps its key,
// and a new key follows an answer or an operator's wish only.
func TestGateUnderAnyRequests(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		g, _ := domain.Gate{Ref: domain.OrderRef{Source: "default", IncrementID: "1"}, State: domain.GateNone}.
			Request(1, domain.RequestPolicy{Enabled: rapid.Bool().Draw(t, "enabled"), ImmediateSync: true, MaxAttempts: 5}, asked)
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
			"settle by hand": func(t *rapid.T) {
				s := domain.Settlement{By: rapid.SampledFrom([]domain.ClosedBy{domain.ClosedByHand, domain.ClosedByCancelled}).Draw(t, "by")}
				next, released, what := g.Settle(s, asked)
				requireSettled(t, g, next, released, what)
				require.Equal(t, g.KeyAnswered, next.KeyAnswered)
				_, _, again := next.Settle(s, asked)
				require.Equal(t, domain.SettledBefore, again)
				g = next
			},
			"callback": func(t *rapid.T) {
				heard := domain.Heard{Before: rapid.Bool().Draw(t, "came before"), References: rapid.IntRange(0, g.Generation).Draw(t, "reference of")}
				s := domain.Settlement{
					By:             rapid.SampledFrom([]domain.ClosedBy{domain.ClosedByWebhook, domain.ClosedByRejected}).Draw(t, "by"),
					IdempotencyKey: rapid.SampledFrom([]string{"", g.IdempotencyKey, "ERP_other"}).Draw(t, "key"),
					Heard:          &heard,
				}
				if rapid.Bool().Draw(t, "names a reference") {
					s.Reference = new("ERP-1")
				}
				next, released, what := g.Settle(s, asked)
				requireSettled(t, g, next, released, what)
				carries := s.IdempotencyKey == g.IdempotencyKey
				require.Equal(t, g.KeyAnswered || (carries && what == domain.SettledNow && s.By == domain.ClosedByWebhook), next.KeyAnswered)
				if what == domain.SettledNow && g.Generation > 1 {
					require.True(t, carries || (s.Reference != nil && (heard.References == 0 || heard.References == g.Generation)))
				}
				require.True(t, what != domain.SettledNow || !heard.Before)
				heard.Before = true
				_, _, again := next.Settle(s, asked)
				require.Equal(t, domain.SettledRepeated, again)
				g = next
			},
		})
	})
}

func requireSettled(t *rapid.T, g, next domain.Gate, released bool, what domain.Settled) {
	if what != domain.SettledNow {
		require.Equal(t, g, next)
	}
	require.Equal(t, g.State == domain.GateHeld && what == domain.SettledNow, released)
	require.Equal(t, what == domain.SettledNow, next.Version > g.Version)
	require.Equal(t, g.IdempotencyKey, next.IdempotencyKey)
}

// What a callback is about: in generation 1 all but what came before, later only what carries the key or a new reference.
func TestWhatACallbackIsAbout(t *testing.T) {
	t.Parallel()
	first, _ := domain.Gate{Ref: domain.OrderRef{Source: "default", IncrementID: "1"}, State: domain.GateNone}.
		Request(1, domain.RequestPolicy{Enabled: true, ImmediateSync: true, MaxAttempts: 5}, asked)
	answered := first
	answered.KeyAnswered = true
	second, sameKey := answered.Resync(5, false, asked), first.Resync(5, false, asked)
	for name, c := range map[string]struct {
		gate        domain.Gate
		key         string
		reference   *string
		heard       domain.Heard
		want        domain.Settled
		referenceOf int
	}{
		"names_nothing":                        {gate: first, want: domain.SettledNow},
		"names_a_reference":                    {gate: first, reference: new("ERP-1"), want: domain.SettledNow, referenceOf: 1},
		"names_the_answers_reference":          {gate: first, reference: new("ERP-1"), heard: domain.Heard{References: 1}, want: domain.SettledNow, referenceOf: 1},
		"carries_the_key":                      {gate: first, key: first.IdempotencyKey, want: domain.SettledNow},
		"came_before":                          {gate: first, key: first.IdempotencyKey, heard: domain.Heard{Before: true}, want: domain.SettledRepeated},
		"carries_a_key_that_is_none_of_ours":   {gate: first, key: "ERP_other", reference: new("ERP-1"), want: domain.SettledOtherKey},
		"after_a_resync_names_nothing":         {gate: second, want: domain.SettledUnnamed},
		"after_a_resync_a_new_reference":       {gate: second, reference: new("ERP-2"), want: domain.SettledNow, referenceOf: 2},
		"after_a_resync_the_old_reference":     {gate: second, reference: new("ERP-1"), heard: domain.Heard{References: 1}, want: domain.SettledEarlier, referenceOf: 1},
		"after_a_resync_its_answers_reference": {gate: second, reference: new("ERP-2"), heard: domain.Heard{References: 2}, want: domain.SettledNow, referenceOf: 2},
		"after_a_resync_the_key":               {gate: second, key: second.IdempotencyKey, want: domain.SettledNow},
		"the_key_and_an_old_reference":         {gate: second, key: second.IdempotencyKey, reference: new("ERP-1"), heard: domain.Heard{References: 1}, want: domain.SettledNow, referenceOf: 2},
		"after_a_resync_the_older_key":         {gate: second, key: first.IdempotencyKey, reference: new("ERP-1"), want: domain.SettledOtherKey, referenceOf: 1},
		"after_a_resync_the_key_came_before":   {gate: second, key: second.IdempotencyKey, heard: domain.Heard{Before: true}, want: domain.SettledRepeated},
		"after_a_resync_under_the_same_key":    {gate: sameKey, key: first.IdempotencyKey, reference: new("ERP-1"), want: domain.SettledNow, referenceOf: 2},
		"under_the_same_key_names_nothing":     {gate: sameKey, want: domain.SettledUnnamed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := domain.Settlement{By: domain.ClosedByWebhook, IdempotencyKey: c.key, Reference: c.reference, Heard: &c.heard}
			next, _, got := c.gate.Settle(s, asked)
			require.Equal(t, c.want, got)
			require.Equal(t, c.referenceOf, c.gate.ReferenceOf(s))
			require.Equal(t, got == domain.SettledNow && c.key != "", next.KeyAnswered, "only the key says which booking is meant")
		})
	}
}

// A callback that says the same as the last one and carries the key besides tells something new: the key is used up.
func TestAKeyThatIsEchoedLaterIsUsedUp(t *testing.T) {
	t.Parallel()
	g, _ := domain.Gate{Ref: domain.OrderRef{Source: "default", IncrementID: "1"}, State: domain.GateNone}.
		Request(1, domain.RequestPolicy{Enabled: true, ImmediateSync: true, MaxAttempts: 5}, asked)
	s := domain.Settlement{By: domain.ClosedByWebhook, Reference: new("ERP-1"), Heard: &domain.Heard{}}
	g, _, _ = g.Settle(s, asked)
	_, _, again := g.Settle(s, asked)
	require.Equal(t, domain.SettledBefore, again)
	s.IdempotencyKey = g.IdempotencyKey
	g, _, what := g.Settle(s, asked)
	require.Equal(t, domain.SettledNow, what)
	require.True(t, g.KeyAnswered)
	_, _, again = g.Settle(s, asked)
	require.Equal(t, domain.SettledBefore, again)
}

// Every request has an answer in every standing.
func TestActionsAreComplete(t *testing.T) {
	t.Parallel()
	for _, r := range domain.Requests {
		for _, s := range domain.OrderStates {
			require.NotEmpty(t, domain.ActionFor(r, s), "%s of an order that is %s", r, s)
		}
	}
}
