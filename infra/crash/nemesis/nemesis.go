// Package nemesis makes the plan of a run from a seed: what is done to the product and when, what the ERP shows to each
// call, and which shop hands over what through which door. The same seed gives the same plan.
package nemesis

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"strings"
	"time"
)

// The targets that are no service.
const (
	Broker   = "broker"
	Postgres = "postgres"
	Failover = "failover" // of Postgres, to a standby that has lagged for as long as a target stays away
)

// Action is done to a target.
type Action string

// The disturbances.
const (
	Kill Action = "kill" // SIGKILL
	Term Action = "term" // SIGTERM
	Stop Action = "stop" // SIGSTOP, and SIGCONT some seconds later; each second time with the clock put back meanwhile

	Starve Action = "starve" // of a cluster: the broker is killed without which one partition takes no records
)

// Step is one disturbance.
type Step struct {
	Action     Action
	Target   string        // syncer-1, broker, postgres
	Gap      time.Duration // after the step before it, once the broker and Postgres are back
	Together bool          // comes after the gap whatever the step before it has brought down
	Downtime     time.Duration // until the target is started again; of a Stop, until SIGCONT
	ClockStep     time.Duration // of a Stop: so far the process's clock is put back while it is stopped
}

// Profile says what is disturbed, and how often.
type Profile struct {
	Weights  map[string]int   // how often each service, the broker and Postgres are killed, in relation to each other
	Term     float64          // SIGTERMs per kill
	Stop     float64          // stops of a syncer per kill
	Starve   float64          // starvations of a partition per kill
	Together float64          // the share of steps that come within a second of the one before
	Gap      [2]time.Duration // between steps, from and to
	Downtime     [2]time.Duration // how long a target stays away
	LongGapShare     float64          // the share of longer gaps after what costs a group its members: else little work is under way
	LongGap  [2]time.Duration // how long those are
}

// Everything disturbs all of it.
func Everything() Profile {
	return Profile{
		Weights: map[string]int{
			"ingest": 3, "relay": 3, "syncer": 4, "delayer": 2, "projector": 3, "api": 1, "scheduler": 1, Broker: 1, Postgres: 2, Failover: 0,
		},
		Term: 0.25, Stop: 0.05, Together: 0.2,
		Gap:  [2]time.Duration{400 * time.Millisecond, 1600 * time.Millisecond},
		Downtime: [2]time.Duration{200 * time.Millisecond, 2 * time.Second},
		LongGapShare: 0.4, LongGap: [2]time.Duration{5 * time.Second, 8 * time.Second},
	}
}

// Plan is what a seed comes to.
type Plan struct {
	Seed  uint64
	Steps []Step
}

// Make plans a number of kills, and what comes between them. processes says how many of each service there are.
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

var (
	starveGap  = [2]time.Duration{16 * time.Second, 18 * time.Second}
	starveDowntime = [2]time.Duration{20 * time.Second, 24 * time.Second}
)

type planner struct {
	rng    *rand.Rand
	profile   Profile
	processes map[string]int
	deck      []string
	steps     []Step
	longGap      bool // the next gap is a long one
	exclusive     bool // the next step waits until this one is over
	stops     int
}

// draw takes from a shuffled deck, in which each target stands by its weight: a short plan meets all of them too.
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

func (m *planner) service() string {
	services := sortedKeys(m.processes)
	return services[m.rng.IntN(len(services))]
}

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
	if m.exclusive = what == Starve; m.exclusive { // what came before must be over, and it must last: who waits for it must be seen
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

// String is the plan in words, a line for each step.
func (p Plan) String() string {
	var b strings.Builder
	_, _ = fmt.Fprintf(&b, "seed %d\n", p.Seed)
	for i, s := range p.Steps {
		more := ""
		if s.Together {
			more = ", whatever is away"
		}
		if s.ClockStep > 0 {
			more += fmt.Sprintf(", clock put back by %s", roundToMillisecond(s.ClockStep))
		}
		_, _ = fmt.Fprintf(&b, "%4d  after %5s  %s %s, away %s%s\n", i+1, roundToMillisecond(s.Gap), s.Action, s.Target, roundToMillisecond(s.Downtime), more)
	}
	return b.String()
}

func roundToMillisecond(d time.Duration) time.Duration { return d.Round(time.Millisecond) }

// rng is a source of its own for each name, so that what is planned for one thing does not depend on when others ask.
func (p Plan) rng(names ...any) *rand.Rand {
	h := fnv.New64a()
	_, _ = fmt.Fprint(h, names...)
	return rand.New(rand.NewPCG(p.Seed, h.Sum64())) //nolint:gosec // a plan, repeatable
}

// between is a duration from and to.
func between(r *rand.Rand, d [2]time.Duration) time.Duration {
	return d[0] + time.Duration(r.Int64N(int64(max(d[1]-d[0], 1))))
}

// chance is true in that share of cases.
func chance(r *rand.Rand, share float64) bool { return r.Float64() < share }
