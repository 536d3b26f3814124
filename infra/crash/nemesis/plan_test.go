package nemesis

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A violation is looked into by its seed, perhaps days later. So a seed must give the same plan in every version of the
// harness: another order of draws, or another name of a random source, fails here.
func TestASeedMeansTheSameInEveryVersion(t *testing.T) {
	p := Make(7, 4, Everything(), processes)
	require.Equal(t, strings.TrimPrefix(`
seed 7
   1  after 1.541s  kill ingest-0, down for 1.938s
   2  after 322ms  kill alerter-0, down for 1.704s, without waiting
   3  after 872ms  kill syncer-2, down for 892ms
   4  after 5.564s  kill postgres, down for 1.61s
   5  after 1.05s  term syncer-0, down for 590ms
`, "\n"), p.String())
	require.Equal(t, Scenario{Source: "shop-b", Order: "000001002", Events: []Event{
		{ID: "000001002-0", Type: InvoiceCreated, Door: HTTPBatch, DuplicateDoor: HTTPBatch, Hold: 7022971, GiveUp: true},
		{ID: "000001002-1", Type: OrderUpdated, Door: HTTPBatch, Pause: 393505739, Hold: 18020776},
	}}, p.Scenario(7))
	require.Equal(t, Call{Behaviour: Busy, Delay: 239138997, RetryAfter: 5, CallbackDelay: 1245253390, EchoKey: true}, p.Call("shop-b", "000001002", 1))
	require.Equal(t, Outage{Gap: 12803677865, Duration: 3010450548}, p.Outage(0))
	require.Equal(t, Switch{Setting: ImmediateSync, Gap: 10060761273, Duration: 2937676902}, p.Switch(2))
	require.Equal(t, Storm{Gap: 36188046057, Duration: 3071042973, Status: 429, RetryAfter: 4}, p.Storm(0))
	require.Equal(t, Window{Gap: 2308208649, Begins: true, Before: 4463542470, After: 5087514568}, p.Window(0))
}

// Calls arrive in another order in each run, as the machine's timing differs. What is planned for one must not depend on it.
func TestThePlanDoesNotDependOnTheOrderOfAsking(t *testing.T) {
	p := Plan{Seed: 11}
	ask := func(order []int) map[int]any {
		got := map[int]any{}
		for _, n := range order {
			got[n] = []any{p.Scenario(n), p.Call("default", "000001000", n), p.Outage(n), p.Switch(n), p.Storm(n), p.Window(n)}
		}
		return got
	}
	forward := []int{0, 1, 2, 3, 4, 5, 6, 7}
	backward := slices.Clone(forward)
	slices.Reverse(backward)
	require.Equal(t, ask(forward), ask(backward))
	require.NotEqual(t, p.Call("default", "000001000", 0), p.Call("shop-b", "000001000", 0), "sources share a plan")
}

// What a profile leaves out is not disturbed, and the shares come to the numbers that they say.
func TestThePlanKeepsToItsProfile(t *testing.T) {
	profile, err := ParseProfile("syncer=3,broker=1,term=0.5,stop=0.25,starve=0.125,together=0.3")
	require.NoError(t, err)
	actions, killed := map[Action]int{}, map[string]int{}
	for _, s := range Make(5, 40, profile, processes).Steps {
		actions[s.Action]++
		if s.Action == Kill {
			target, _, _ := strings.Cut(s.Target, "-")
			killed[target]++
		}
	}
	require.Equal(t, map[Action]int{Kill: 40, Term: 20, Stop: 10, Starve: 5}, actions)
	require.Equal(t, map[string]int{"syncer": 30, Broker: 10}, killed)
}

// Every process of a service is meant at times: one that is never killed hides what its death would show.
func TestEachProcessIsKilled(t *testing.T) {
	killed := map[string]bool{}
	for _, s := range Make(1, 200, Everything(), processes).Steps {
		killed[s.Target] = killed[s.Target] || s.Action == Kill
	}
	for _, name := range []string{"syncer-0", "syncer-1", "syncer-2", "relay-0", "relay-1", "ingest-1", "api-0", "scheduler-1", Broker, Postgres} {
		require.True(t, killed[name], name)
	}
	require.False(t, killed[Failover])
}

// A stopped process is away for longer than a group session of 6 s, and every second time with an older clock. A starved
// partition is alone with its fault: the checker excuses a silence that something else explains.
func TestStopsAndStarvationsLastLongEnough(t *testing.T) {
	profile := Everything()
	profile.Stop, profile.Starve, profile.Together = 1, 0.2, 1
	stops, steps := 0, Make(9, 30, profile, processes).Steps
	for i, s := range steps {
		require.False(t, s.Together && s.Gap > time.Second)
		switch s.Action {
		case Stop:
			require.GreaterOrEqual(t, s.Downtime, 8*time.Second)
			require.Equal(t, stops%2 == 0, s.ClockStep > s.Downtime, "stop %d", stops)
			stops++
		case Starve:
			require.False(t, s.Together)
			require.GreaterOrEqual(t, s.Gap, 15*time.Second)
			require.GreaterOrEqual(t, s.Downtime, 20*time.Second)
			require.False(t, i+1 < len(steps) && steps[i+1].Together, "the step after a starvation does not wait")
			require.Zero(t, s.ClockStep)
		default:
			require.Zero(t, s.ClockStep)
			require.LessOrEqual(t, s.Downtime, 2*time.Second)
		}
	}
	require.Equal(t, 30, stops)
}

// Without syncers there is nothing to stop.
func TestNoStopsWithoutSyncers(t *testing.T) {
	profile := Everything()
	profile.Stop = 1
	for _, s := range Make(9, 10, profile, map[string]int{"relay": 1}).Steps {
		require.NotEqual(t, Stop, s.Action)
	}
}
