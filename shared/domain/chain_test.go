package domain

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestPassed(t *testing.T) {
	const generation, attempts = 2, 3 // of the record: parked after its third call
	for name, c := range map[string]struct {
		known Version
		want  bool
	}{
		"nothing_is_known":                         {0, false},
		"its_request":                              {RequestVersion(generation, 0), false},
		"its_release":                              {RequestVersion(generation, 7), false},
		"the_outcome_that_parked_it":               {AttemptVersion(generation, attempts, PhaseAfter), false},
		"an_intent_of_its_call":                    {AttemptVersion(generation, attempts+1, PhaseBefore), false},
		"the_outcome_of_its_call":                  {AttemptVersion(generation, attempts+1, PhaseAfter), true},
		"the_end_that_its_call_brought":            {AttemptVersion(generation, attempts+1, PhaseTerminal), true},
		"its_end_without_a_call":                   {AttemptVersion(generation, attempts, PhaseTerminal), true},
		"an_end_by_a_record_before_it":             {AttemptVersion(generation, 0, PhaseTerminal), true},
		"an_intent_of_a_later_call":                {AttemptVersion(generation, attempts+2, PhaseBefore), true},
		"a_callback":                               {CallbackVersion(generation, 1), false},
		"the_end_of_the_generation_before":         {AttemptVersion(generation-1, 9, PhaseTerminal), false},
		"the_end_of_the_generation_after":          {AttemptVersion(generation+1, 9, PhaseTerminal), false},
		"the_highest_version_of_the_one_before_it": {AttemptVersion(generation, MaxAttempts, PhaseAfter) - 1<<28, false},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, c.want, Passed(Sync{Generation: generation, Attempts: attempts}, c.known))
		})
	}
}

// A chain from its request to its end: whatever of it stands in the log, the one record that was not consumed is never taken for
// an old one, and of the consumed ones each is once an outcome that followed it is known.
func TestTheLivingRecordOfAChainIsNeverPassed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := time.Unix(0, 0)
		alive := Sync{Generation: rapid.IntRange(1, 3).Draw(t, "generation"), MaxAttempts: 5}
		var consumed []Sync
		known := []Version{RequestVersion(alive.Generation, 0)}
		if rapid.Bool().Draw(t, "newer") {
			known = append(known, AttemptVersion(alive.Generation+1, 1, PhaseTerminal))
		}
		for ended := false; !ended; {
			for range rapid.IntRange(0, 2).Draw(t, "intents") {
				known = append(known, Sending(alive, now).Version)
			}
			for _, v := range known {
				require.False(t, Passed(alive, v), "%s of %v", v, known)
			}
			var outcome []Version
			record := alive
			switch rapid.IntRange(0, 3).Draw(t, "what_comes") {
			case 0:
				outcome, ended = []Version{Closed(alive, ClosedByWebhook, now).Version}, true
			case 1:
				outcome, ended = []Version{Unsendable(alive, now).Version}, true
			default:
				kind := OutcomeKind(rapid.IntRange(1, 3).Draw(t, "outcome"))
				d := Decide(alive, Outcome{Kind: kind}, RetryPolicy{BaseDelay: time.Second}, now, 0)
				outcome, alive, ended = []Version{d.After.Version}, d.After, d.Terminal != nil
				if ended {
					outcome = append(outcome, d.Terminal.Version)
				}
			}
			known, consumed = append(known, outcome...), append(consumed, record)
			for _, s := range consumed {
				require.True(t, Passed(s, outcome[len(outcome)-1]))
			}
		}
	})
}

// However the gate stands: an old record writes nothing, as a later one of its chain does or did.
func TestAdviseToAnOldRecord(t *testing.T) {
	s := Sync{Generation: 2, Attempts: 1}
	old, young := AttemptVersion(2, 2, PhaseAfter), AttemptVersion(2, 2, PhaseBefore)
	for name, gate := range map[string]*Gate{
		"open":       {Generation: 2, State: GateOpen},
		"missing":    nil,
		"older":      {Generation: 1, State: GateOpen},
		"superseded": {Generation: 3, State: GateOpen},
		"settled":    {Generation: 2, State: GateClosed, ClosedBy: ClosedByWebhook},
		"ended":      {Generation: 2, State: GateClosed, ClosedBy: ClosedByAnswer},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, Advice{Stop: true, Ended: true}, Advise(gate, s, young, old))
			require.Equal(t, Advise(gate, s), Advise(gate, s, young))
		})
	}
}
