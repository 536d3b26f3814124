package nemesis

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var processes = map[string]int{"ingest": 2, "relay": 2, "syncer": 3, "delayer": 2, "projector": 2, "api": 2, "scheduler": 2, "alerter": 2}

func TestTheSameSeedGivesTheSamePlan(t *testing.T) {
	one, same, other := Make(7, 50, Everything(), processes), Make(7, 50, Everything(), processes), Make(8, 50, Everything(), processes)
	require.Equal(t, one.String(), same.String())
	require.NotEqual(t, one.Steps, other.Steps)
	for n := range 200 {
		require.Equal(t, one.Scenario(n), same.Scenario(n))
		require.Equal(t, one.Call("default", "000001000", n), same.Call("default", "000001000", n))
		require.Equal(t, one.Outage(n), same.Outage(n))
		require.Equal(t, one.Switch(n), same.Switch(n))
		require.Equal(t, one.Storm(n), same.Storm(n))
		require.Equal(t, one.Window(n), same.Window(n))
	}
}

// Twenty kills, the gate's number, meet the broker, Postgres and most services.
func TestAShortPlanMeetsAlmostEverything(t *testing.T) {
	for seed := range uint64(20) {
		kills, targets := 0, map[string]int{}
		for _, s := range Make(seed, 20, Everything(), processes).Steps {
			if s.Action == Kill {
				kills++
				service, _, _ := strings.Cut(s.Target, "-")
				targets[service]++
			}
		}
		require.Equal(t, 20, kills)
		require.GreaterOrEqual(t, targets[Broker]+targets[Postgres], 2, "seed %d: %v", seed, targets)
		require.GreaterOrEqual(t, len(targets), 7, "seed %d: %v", seed, targets)
	}
}

// Each behaviour, door, type and command comes up among a few hundred orders.
func TestEverythingComesUp(t *testing.T) {
	p, seen := Make(3, 1, Everything(), processes), map[string]bool{}
	for n := range 1500 {
		s := p.Scenario(n)
		for _, e := range s.Events {
			seen[e.Door], seen[e.Type] = true, true
			seen["again"] = seen["again"] || e.DuplicateDoor != ""
			seen["rolled back"] = seen["rolled back"] || e.RollBack
			seen["refused"] = seen["refused"] || e.Invalid
		}
		for _, a := range s.Commands {
			seen[a.Kind] = true
		}
		seen["changed"] = seen["changed"] || s.Changed
		c := p.Call(s.Source, s.Order, 0)
		seen[c.Behaviour], seen["callback "+c.Callback] = true, true
	}
	for _, b := range behaviours {
		require.True(t, seen[b.name], b.name)
	}
	for _, a := range commands {
		require.True(t, seen[a.what], a.what)
	}
	for _, door := range doors {
		require.True(t, seen[door], door)
	}
	for _, what := range []string{OrderPlaced, OrderUpdated, InvoiceCreated, "again", "rolled back", "refused", "changed", "callback accepted", "callback rejected"} {
		require.True(t, seen[what], what)
	}
}

func TestProfile(t *testing.T) {
	p, err := ParseProfile("syncer=3,broker=1,stop=0")
	require.NoError(t, err)
	require.Equal(t, map[string]int{"syncer": 3, Broker: 1}, p.Weights)
	require.Zero(t, p.Stop)
	require.InDelta(t, Everything().Term, p.Term, 0)
	for _, wrong := range []string{"sincer=3", "syncer", "syncer=-1"} {
		_, err := ParseProfile(wrong)
		require.Error(t, err, wrong)
	}
}
