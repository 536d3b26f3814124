// Package nemesis makes the plan of a run from a seed: which faults are injected and when, how the ERP behaves at each
// call, and which shop publishes what through which door. The same seed gives the same plan. So a run that found a
// violation can be repeated, as far as the machine's timing allows.
package nemesis

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"strings"
	"time"
)

// The targets that are no service of the product.
const (
	Broker   = "broker"
	Postgres = "postgres"
	Failover = "failover" // of Postgres, to a standby that received nothing for as long as the step's downtime
)

// Action is done to a target.
type Action string

// The actions. Jepsen calls Stop "pause".
const (
	Kill Action = "kill" // SIGKILL
	Term Action = "term" // SIGTERM
	Stop Action = "stop" // SIGSTOP, and SIGCONT some seconds later; every second time with the clock set back

	Starve Action = "starve" // kills the broker of a cluster without which one partition takes no records
)

// Step is one disturbance of the plan.
type Step struct {
	Action    Action
	Target    string        // syncer-1, broker, postgres
	Gap       time.Duration // after the step before it; it counts once the broker and Postgres are back
	Together  bool          // does not wait until the broker and Postgres are back
	Downtime  time.Duration // until the target is started again, or gets SIGCONT
	ClockStep time.Duration // of a Stop: how far the clock of the process is set back
}

// Profile is how often each kind of disturbance comes. Gaps and downtimes are ranges: from, to.
type Profile struct {
	Weights      map[string]int   // kills of each service, the broker and Postgres, in relation to each other
	Term         float64          // SIGTERMs per kill
	Stop         float64          // stops of a syncer per kill
	Starve       float64          // starvations of a partition per kill
	Together     float64          // the share of steps that come within a second of the one before
	Gap          [2]time.Duration // between steps
	Downtime     [2]time.Duration // how long a target stays down
	LongGapShare float64          // the share of long gaps after a step that makes a group rebalance; without them little work would be in progress
	LongGap      [2]time.Duration // how long these gaps are
}

// Everything is the profile that disturbs every target but failovers, which need a standby.
func Everything() Profile {
	return Profile{
		Weights: map[string]int{
			"ingest": 3, "relay": 3, "syncer": 4, "delayer": 2, "projector": 3, "api": 1, "scheduler": 1, "alerter": 2, Broker: 1, Postgres: 2, Failover: 0,
		},
		Term: 0.25, Stop: 0.05, Together: 0.2,
		Gap:          [2]time.Duration{400 * time.Millisecond, 1600 * time.Millisecond},
		Downtime:     [2]time.Duration{200 * time.Millisecond, 2 * time.Second},
		LongGapShare: 0.4, LongGap: [2]time.Duration{5 * time.Second, 8 * time.Second},
	}
}

// Plan is what a seed comes to. Steps are made at once, and everything else when it is asked for: a run decides how many
// orders there are.
type Plan struct {
	Seed  uint64
	Steps []Step
}

// Make plans a number of kills and the other disturbances between them. processes is the number of each service.
//
// The order of the draws is part of what a seed means: another order would make saved seeds give other plans.
func Make(seed uint64, kills int, p Profile, processes map[string]int) Plan {
	out := Plan{Seed: seed}
	m := planner{rng: out.rng("steps"), profile: p, processes: processes}
	terms, stops, starves := 0.0, 0.0, 0.0
	for range kills {
		m.addStep(Kill, m.draw())
		if terms += p.Term; terms >= 1 {
			terms--
			m.addStep(Term, m.service())
		}
		if stops += p.Stop; stops >= 1 && processes["syncer"] > 0 {
			stops--
			m.addStep(Stop, "syncer")
		}
		if starves += p.Starve; starves >= 1 {
			starves--
			m.addStep(Starve, Broker)
		}
	}
	out.Steps = m.steps
	return out
}

// A starvation needs longer times than a kill. What came before must be over, and the partition must be without records long
// enough that an order which wrongly waits for it can be seen.
var (
	starveGap      = [2]time.Duration{16 * time.Second, 18 * time.Second}
	starveDowntime = [2]time.Duration{20 * time.Second, 24 * time.Second}
)

// planner makes the steps one after the other.
type planner struct {
	rng       *rand.Rand
	profile   Profile
	processes map[string]int
	deck      []string
	steps     []Step
	longGap   bool // the next gap is a long one
	exclusive bool // the next step waits until this one is over
	stops     int
}

// draw takes a target from a shuffled deck, which holds each target as often as its weight says. Independent draws would
// leave out some targets in a short plan.
func (m *planner) draw() string {
	if len(m.deck) == 0 {
		for _, target := range sortedKeys(m.profile.Weights) {
			for range m.profile.Weights[target] {
				m.deck = append(m.deck, target)
			}
		}
		m.rng.Shuffle(len(m.deck), func(i, j int) { m.deck[i], m.deck[j] = m.deck[j], m.deck[i] })
	}
	target := m.deck[0]
	m.deck = m.deck[1:]
	return target
}

// service draws a service. Each has the same chance: SIGTERM is about how a process ends, not about how much it does.
func (m *planner) service() string {
	services := sortedKeys(m.processes)
	return services[m.rng.IntN(len(services))]
}

// addStep adds a step with this action on this target, and decides which of the processes it is.
func (m *planner) addStep(what Action, target string) {
	s := Step{Action: what, Target: target, Gap: between(m.rng, m.profile.Gap), Downtime: between(m.rng, m.profile.Downtime)}
	if n := m.processes[target]; n > 0 {
		s.Target = fmt.Sprintf("%s-%d", target, m.rng.IntN(n))
	}
	switch {
	case m.longGap:
		s.Gap = between(m.rng, m.profile.LongGap)
	case m.exclusive:
	case chance(m.rng, m.profile.Together):
		s.Together, s.Gap = true, between(m.rng, [2]time.Duration{0, time.Second})
	}
	m.longGap = what == Kill && (target == "syncer" || target == "delayer" || target == Broker) && chance(m.rng, m.profile.LongGapShare)
	if m.exclusive = what == Starve; m.exclusive {
		s.Together, s.Gap, s.Downtime = false, between(m.rng, starveGap), between(m.rng, starveDowntime)
	}
	if what == Stop {
		s.Downtime = between(m.rng, [2]time.Duration{8 * time.Second, 12 * time.Second})
		if m.stops++; m.stops%2 == 1 {
			s.ClockStep = s.Downtime + between(m.rng, [2]time.Duration{5 * time.Second, 15 * time.Second})
		}
	}
	m.steps = append(m.steps, s)
}

// String returns the plan in words, one line for each step.
func (p Plan) String() string {
	var b strings.Builder
	_, _ = fmt.Fprintf(&b, "seed %d\n", p.Seed)
	for i, s := range p.Steps {
		more := ""
		if s.Together {
			more = ", without waiting"
		}
		if s.ClockStep > 0 {
			more += fmt.Sprintf(", clock set back by %s", roundToMillisecond(s.ClockStep))
		}
		_, _ = fmt.Fprintf(&b, "%4d  after %5s  %s %s, down for %s%s\n", i+1, roundToMillisecond(s.Gap), s.Action, s.Target, roundToMillisecond(s.Downtime), more)
	}
	return b.String()
}

func roundToMillisecond(d time.Duration) time.Duration { return d.Round(time.Millisecond) }

// rng returns a random source of its own for each name. So what is planned for one thing does not depend on the order in
// which the parts of a run ask. A name is part of what a seed means, and stays as it is.
func (p Plan) rng(names ...any) *rand.Rand {
	h := fnv.New64a()
	_, _ = fmt.Fprint(h, names...)
	return rand.New(rand.NewPCG(p.Seed, h.Sum64())) //nolint:gosec // a plan, repeatable
}

// between draws a duration from a range.
func between(r *rand.Rand, d [2]time.Duration) time.Duration {
	return d[0] + time.Duration(r.Int64N(int64(max(d[1]-d[0], 1))))
}

// chance draws true in that share of cases.
func chance(r *rand.Rand, share float64) bool { return r.Float64() < share }
