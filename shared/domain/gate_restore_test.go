package domain

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// history is what became of a gate: its facts, how its generations ended by the chain, and the gate after each step.
type history struct {
	facts []Sync
	ends  []Sync // terminal facts; the projection tells the gate of them
	gates []Gate
}

func (h *history) now() Gate { return h.gates[len(h.gates)-1] }

func (h *history) step(g Gate, facts ...Sync) {
	h.facts, h.gates = append(h.facts, facts...), append(h.gates, g)
}

// tell closes a gate as the projection does.
func tell(g Gate, end Sync) Gate {
	answered := end.Status == Success && end.ClosedBy == ""
	if g.Generation == end.Generation && g.State == GateOpen {
		g.State, g.ClosedBy = GateClosed, end.EndedBy()
	}
	g.KeyAnswered = g.KeyAnswered || (answered && g.IdempotencyKey == end.IdempotencyKey)
	return g
}

func drawHistory(t *rapid.T) *history {
	at := time.Date(2024, 1, 15, 10, 0, 0, 0, time.UTC)
	ref := OrderRef{Source: "default", IncrementID: "1"}
	h := &history{gates: []Gate{{Ref: ref, State: GateNone, UpdatedAt: at}}}
	intake := RequestPolicy{Enabled: rapid.Bool().Draw(t, "enabled"), ImmediateSync: rapid.Bool().Draw(t, "immediate"), MaxAttempts: 5}
	g, _ := h.now().Request(7, intake, at)
	h.step(g, g.RequestedSync(nil, ""))
	for range rapid.IntRange(0, 8).Draw(t, "steps") {
		at = at.Add(time.Second)
		g := h.now()
		switch rapid.IntRange(0, 3).Draw(t, "step") {
		case 0:
			if next, ok := g.Release(at); ok {
				h.step(next, next.RequestedSync(nil, ""))
			}
		case 1:
			h.settle(t, at)
		case 2:
			if g.State != GateHeld {
				next := g.Resync(3, rapid.Bool().Draw(t, "new key"), at)
				h.step(next, next.RequestedSync(nil, ""))
			}
		case 3:
			if g.State == GateOpen {
				end := g.RequestedSync(nil, "")
				end.Status = rapid.SampledFrom([]Status{Success, Failed}).Draw(t, "end")
				end.Version = AttemptVersion(g.Generation, 1, PhaseTerminal)
				h.ends = append(h.ends, end)
				h.step(tell(g, end))
			}
		}
	}
	return h
}

func (h *history) settle(t *rapid.T, at time.Time) {
	by := rapid.SampledFrom([]ClosedBy{ClosedByWebhook, ClosedByHand, ClosedByRejected, ClosedByCancelled}).Draw(t, "by")
	var reference *string
	if rapid.Bool().Draw(t, "named") {
		reference = new(fmt.Sprint("ERP-", rapid.IntRange(1, 2).Draw(t, "reference")))
	}
	key := rapid.SampledFrom([]string{"", h.now().IdempotencyKey}).Draw(t, "key")
	next, released, what := h.now().Settle(Settlement{By: by, Reference: reference, IdempotencyKey: key}, at)
	if what != SettledNow {
		return
	}
	var facts []Sync
	if released {
		facts = append(facts, next.RequestedSync(nil, ""))
	}
	h.step(next, append(facts, next.SettledSync(nil, reference, ""))...)
}

// A gate that was set back to any step of its history, or lost, comes to be what it was by the facts, in any order and some of
// them twice, and by what the projection tells.
func TestAGateIsRestoredFromItsFacts(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		h := drawHistory(t)
		g := rapid.SampledFrom(h.gates).Draw(t, "set back to")
		facts := rapid.Permutation(h.facts).Draw(t, "facts")
		if len(facts) > 0 {
			facts = append(facts, rapid.SliceOf(rapid.SampledFrom(facts)).Draw(t, "again")...)
		}
		for _, f := range facts {
			g = g.Restored(f)
		}
		for _, end := range h.ends {
			g = tell(g, end)
		}
		want := h.now()
		if want.HeldBy != "" {
			want.HeldBy = HeldByDisabled
		}
		want.UpdatedAt, g.UpdatedAt = time.Time{}, time.Time{} // an end has a time of its own
		require.Equal(t, want, g)
	})
}

func TestRestoredKeepsWhatTheLogDoesNotHaveYet(t *testing.T) {
	t.Parallel()
	at := time.Date(2024, 1, 15, 10, 0, 0, 0, time.UTC)
	ref := OrderRef{Source: "default", IncrementID: "1"}
	lost, _ := Gate{Ref: ref, State: GateNone}.Request(7, RequestPolicy{Enabled: true, ImmediateSync: true, MaxAttempts: 5}, at)
	anew, _ := Gate{Ref: ref, State: GateNone}.Request(1<<40, RequestPolicy{Enabled: true, ImmediateSync: true, MaxAttempts: 5}, at.Add(time.Minute))

	t.Run("the_logs_sync_id_is_the_orders", func(t *testing.T) {
		t.Parallel()
		got := anew.Restored(lost.RequestedSync(nil, ""))
		require.Equal(t, int64(7), got.SyncID)
		require.Equal(t, lost.RequestedAt, got.RequestedAt)
		require.Equal(t, GateOpen, got.State)
	})
	t.Run("a_settlement_since_then_stays", func(t *testing.T) {
		t.Parallel()
		settled, _, _ := anew.Settle(Settlement{By: ClosedByWebhook, IdempotencyKey: anew.IdempotencyKey}, at.Add(2*time.Minute))
		got := settled.Restored(lost.RequestedSync(nil, ""))
		require.Equal(t, ClosedByWebhook, got.ClosedBy)
		require.Equal(t, CallbackVersion(1, 1), got.Version)
		require.True(t, got.KeyAnswered)
	})
	t.Run("a_generation_since_then_stays", func(t *testing.T) {
		t.Parallel()
		again := anew.Resync(5, false, at.Add(2*time.Minute))
		got := again.Restored(lost.RequestedSync(nil, ""))
		require.Equal(t, 2, got.Generation)
		require.Equal(t, int64(7), got.SyncID)
	})
	t.Run("a_note_is_no_fact_of_the_gate", func(t *testing.T) {
		t.Parallel()
		note := lost.RequestedSync(nil, "")
		note.Released = nil
		require.Equal(t, Gate{Ref: ref, State: GateNone}, Gate{Ref: ref, State: GateNone}.Restored(note))
	})
}
