package domain

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// sent is the gate of an order that is on its way in its second generation.
func sent() Gate {
	g, _ := Gate{Ref: OrderRef{"default", "1"}, State: GateNone}.Request(7, RequestPolicy{Enabled: true, ImmediateSync: true, MaxAttempts: 5}, noon)
	return g.Resync(5, false, noon)
}

func TestADeadLetterStopsTheGenerationThatItsRecordKeptAlive(t *testing.T) {
	request, retry := RequestVersion(2, 0), AttemptVersion(2, 3, PhaseAfter)
	released := sent()
	released.RequestNumber, released.Version = 1, RequestVersion(2, 1)
	held := sent()
	held.State, held.HeldBy = GateHeld, HeldByCron
	closed := sent()
	closed.State, closed.ClosedBy = GateClosed, ClosedByWebhook
	for name, c := range map[string]struct {
		gate    *Gate // nil: sent
		version Version
		seen    Version
		stops   bool
	}{
		"the_request": {version: request, stops: true},
		"the_request_and_the_projection_shows_it": {version: request, seen: request, stops: true},
		"the_release": {gate: &released, version: RequestVersion(2, 1), seen: request, stops: true},
		"a_retry":     {version: retry, seen: retry, stops: true},
		"a_retry_that_the_projection_has_not_heard_of":          {version: retry, seen: request, stops: true},
		"a_retry_whose_next_call_was_announced":                 {version: retry, seen: AttemptVersion(2, 4, PhaseBefore), stops: true},
		"the_same_record_once_more_after_a_redrive":             {version: request, seen: AttemptVersion(2, 0, PhaseAfter), stops: true},
		"the_request_that_was_held_before_the_release":          {gate: &released, version: request},
		"a_request_that_is_held":                                {gate: &held, version: request},
		"of_a_generation_that_was_settled":                      {gate: &closed, version: retry, seen: retry},
		"of_the_generation_before":                              {version: RequestVersion(1, 0)},
		"of_a_generation_that_the_gate_does_not_know":           {version: RequestVersion(3, 0)},
		"a_request_whose_first_call_was_answered":               {version: request, seen: AttemptVersion(2, 1, PhaseAfter)},
		"a_retry_whose_next_call_was_answered":                  {version: retry, seen: AttemptVersion(2, 4, PhaseAfter)},
		"a_retry_of_a_generation_that_has_its_terminal_event":   {version: retry, seen: AttemptVersion(2, 3, PhaseTerminal)},
		"a_request_of_a_generation_that_ended_without_any_call": {version: request, seen: AttemptVersion(2, 0, PhaseTerminal)},
		"no_record_of_the_connector":                            {version: 0},
		"a_fact_that_is_no_chain_record":                        {version: AttemptVersion(2, 3, PhaseBefore)},
		"a_callback":                                            {version: CallbackVersion(2, 1)},
	} {
		t.Run(name, func(t *testing.T) {
			g := sent()
			if c.gate != nil {
				g = *c.gate
			}
			next, ok := g.SetAside(DeadLetter{Version: c.version, At: noon}, c.seen, noon)
			require.Equal(t, c.stops, ok)
			if !ok {
				require.Equal(t, g, next)
				return
			}
			require.Equal(t, Failed, next.Status())
			require.Equal(t, StateFailed, StateOf(true, &next, Projected{}, noon), "every request works as for a failed order")
			require.True(t, Advise(&next, Sync{Generation: 2}).Stop)
		})
	}
}

// The order's row says what became of it, whichever of the facts the projection hears of first and last, and though all clocks
// stand still.
func TestTheRowFollowsADeadLetterAndItsRedrive(t *testing.T) {
	g := sent()
	requested := g.RequestedSync(nil, "resync")
	busy := Decide(requested, Outcome{Kind: OutcomeRetryable, Code: ErrorUnavailable, Error: "busy"}, RetryPolicy{BaseDelay: time.Minute}, noon, 0)
	for name, c := range map[string]struct {
		letter DeadLetter
		before []Fact
	}{
		"of_a_request": {DeadLetter{Version: requested.Version, At: noon}, []Fact{{Sync: requested, Time: noon}}},
		"of_a_retry": {
			DeadLetter{Version: busy.After.Version, At: noon, NextAttemptAt: busy.Retry},
			[]Fact{{Sync: requested, Time: noon}, {Sync: Sending(requested, noon), Time: noon}, {Sync: busy.After, Time: noon, Error: ptr("busy")}},
		},
		"of_a_request_that_nobody_can_read": {DeadLetter{Version: requested.Version, At: noon}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			facts := c.before
			say := func(g Gate, text *string) Row {
				s := g.DeadLetterSync(c.letter, nil, "a test")
				facts = append(facts, Fact{Sync: s, Time: s.UpdatedAt, Error: text})
				row := apply(facts)
				require.Equal(t, row, apply(reversed(facts)))
				require.Equal(t, g.Version, row.Version.Version)
				require.False(t, g.Newer(row.Version), "the projection shows what the gate says")
				require.Equal(t, c.letter.calls(), row.Attempts)
				require.Equal(t, g.IdempotencyKey, row.IdempotencyKey)
				require.Equal(t, 2, row.Generation)
				return row
			}
			g, at := sent(), noon.Add(-time.Second) // a clock that is behind
			for range 2 {
				aside, ok := g.SetAside(c.letter, requested.Version, at)
				require.True(t, ok)
				row := say(aside, ptr(DeadLetterText(g.Ref)))
				require.Equal(t, Failed, row.Status)
				require.Contains(t, *row.LastError, "resync-order")
				require.Nil(t, row.NextAttemptAt)

				again, ok := aside.Redrive(c.letter, at)
				require.True(t, ok)
				require.Equal(t, GateOpen, again.State)
				require.True(t, again.Newer(row.Version))
				require.Equal(t, StateQueued, StateOf(true, &again, Projected{Status: Failed, Generation: 2, Stamp: row.Version}, noon), "the projection is behind")
				_, twice := again.Redrive(c.letter, at)
				require.False(t, twice)
				row = say(again, nil)
				require.Equal(t, Queued, row.Status)
				require.Nil(t, row.LastError)
				require.Equal(t, c.letter.NextAttemptAt, row.NextAttemptAt)
				g = again
			}
			end := g.DeadLetterSync(c.letter, nil, "")
			done := Decide(end, Outcome{Kind: OutcomeSuccess, Reference: ptr("ERP-1")}, RetryPolicy{}, noon, 0)
			facts = append(facts, Fact{Sync: *done.Terminal, Time: noon})
			require.Equal(t, Success, apply(facts).Status, "the redriven record's outcome")
			require.Equal(t, Success, apply(reversed(facts)).Status)
		})
	}
}

// What nobody can read may say any time.
func TestATimeThatCannotBeIsNotTaken(t *testing.T) {
	for _, at := range []time.Time{{}, noon.AddDate(1000, 0, 0)} {
		letter := DeadLetter{Version: AttemptVersion(2, 3, PhaseAfter), At: at}
		g, ok := sent().SetAside(letter, 0, noon.Add(time.Hour))
		require.True(t, ok)
		require.Equal(t, noon.Add(time.Hour), g.UpdatedAt)
		s := g.DeadLetterSync(letter, nil, "")
		require.Nil(t, s.LastAttemptAt)
		require.Equal(t, 3, s.Attempts)
	}
}

func reversed(facts []Fact) []Fact {
	out := make([]Fact, 0, len(facts))
	for i := range facts {
		out = append(out, facts[len(facts)-1-i])
	}
	return out
}

func TestNothingIsRedrivenOnceTheGateHasGoneOn(t *testing.T) {
	letter := DeadLetter{Version: RequestVersion(2, 0), At: noon}
	aside, ok := sent().SetAside(letter, 0, noon)
	require.True(t, ok)
	settled, _, what := aside.Settle(Settlement{By: ClosedByHand}, noon)
	require.Equal(t, SettledNow, what)
	failed := sent()
	failed.State, failed.ClosedBy = GateClosed, ClosedByFailure
	for name, g := range map[string]Gate{
		"resynced": aside.Resync(5, false, noon), "settled": settled, "ended_by_its_answer": failed, "on_its_way": sent(),
	} {
		t.Run(name, func(t *testing.T) {
			_, ok := g.Redrive(letter, noon)
			require.False(t, ok)
		})
	}
	_, ok = aside.Redrive(DeadLetter{Version: AttemptVersion(2, 1, PhaseAfter), At: noon}, noon)
	require.False(t, ok, "another letter of the order")
}
