package audit

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
)

// Report is what an audit found.
type Report struct {
	At            time.Time // of the snapshot
	Relayed       int64     // the relay's position
	KeptFrom      int64     // the outbox' first id that retention has left; 1: all
	Sources       []*Counts
	Broken        map[Kind]int // violations by kind; an order may have several
	Violations    []Violation  // as many as were to be listed, by source and order
	ViolationsAll int
	Redrives      []Redrive // of the orders counted, by time; of more than were to be listed the last ones
	RedrivesAll   int

	limit    int
	bySource map[string]*Counts
}

// Redrive is a fact of the log: an operator sent a record of the order back from the dead letters.
type Redrive struct {
	Source     string    `json:"source"`
	Order      string    `json:"order_increment_id"`
	Generation int       `json:"generation"`
	At         time.Time `json:"at"`
	What       string    `json:"redrive"` // which dead letter, by whom, and why
}

// Counts are orders of one source, each once. Accepted is what was relayed, is under way or is broken; and it is what has
// ended, is alive, was not requested or is broken.
type Counts struct {
	Source   string `json:"source"`
	Accepted int    `json:"accepted"`
	Relayed  int    `json:"relayed"`   // all that the outbox has of them is in Kafka
	UnderWay int    `json:"under_way"` // some of it is on its way there

	Success int `json:"ended_success"`
	Failed  int `json:"ended_failed"`

	Alive Alive `json:"alive"`

	NotRequested int `json:"not_requested"` // no invoice yet
	Broken       int `json:"broken"`
}

// Alive says where the orders are that have not ended: each in one place.
type Alive struct {
	Outbox    int `json:"outbox"`    // the request is on its way to Kafka
	Held      int `json:"held"`      // the gate holds the request
	Requested int `json:"requested"` // waits for its first call, or is called
	Parked    int `json:"parked"`    // a retry waits in its tier
	Due       int `json:"due"`       // a retry's time has come
	SetAside  int `json:"set_aside"` // its record is among the dead letters
}

// Sum adds them up.
func (a Alive) Sum() int {
	return a.Outbox + a.Held + a.Requested + a.Parked + a.Due + a.SetAside
}

func newReport(p Params) *Report {
	return &Report{Broken: map[Kind]int{}, limit: p.Limit, bySource: map[string]*Counts{}}
}

// Conserved reports whether nothing is broken. The word is that of a law of conservation: what goes in comes out, or is still there.
func (r *Report) Conserved() bool { return r.ViolationsAll == 0 }

// Total adds up all sources.
func (r *Report) Total() Counts {
	var t Counts
	for _, c := range r.Sources {
		t.Accepted, t.Relayed, t.UnderWay = t.Accepted+c.Accepted, t.Relayed+c.Relayed, t.UnderWay+c.UnderWay
		t.Success, t.Failed, t.NotRequested, t.Broken = t.Success+c.Success, t.Failed+c.Failed, t.NotRequested+c.NotRequested, t.Broken+c.Broken
		t.Alive = Alive{
			t.Alive.Outbox + c.Alive.Outbox, t.Alive.Held + c.Alive.Held, t.Alive.Requested + c.Alive.Requested,
			t.Alive.Parked + c.Alive.Parked, t.Alive.Due + c.Alive.Due, t.Alive.SetAside + c.Alive.SetAside,
		}
	}
	return t
}

// count takes an order whose judgement is final.
func (r *Report) count(j *judgement) {
	o := j.o
	if len(o.events) == 0 && len(j.violations) == 0 && (o.gate == nil || o.gate.generation == 0) {
		return // a gate that was made for an event that was refused then
	}
	source := domain.DefaultSource
	if ref, err := domain.ParseKey(o.key); err == nil {
		source = ref.Source
	}
	c := r.bySource[source]
	if c == nil {
		c = &Counts{Source: source}
		r.bySource[source] = c
	}
	c.Accepted++
	r.keepRedrives(o.redrives)
	switch {
	case j.missing > 0:
	case j.underWay > 0:
		c.UnderWay++
	default:
		c.Relayed++
	}
	if len(j.violations) > 0 {
		c.Broken++
		r.keep(j.violations)
		return
	}
	j.countState(c)
}

// keep counts violations, and lists the first of them up to the limit. A log that lost a topic breaks every order; a list of a million would
// help nobody. Orders come in any order: so two audits list the same ones.
func (r *Report) keep(violations []Violation) {
	for _, v := range violations {
		r.ViolationsAll++
		r.Broken[v.Kind]++
		if r.Violations = append(r.Violations, v); r.limit > 0 && len(r.Violations) >= 2*r.limit {
			r.cutViolations()
		}
	}
}

func (r *Report) cutViolations() {
	slices.SortStableFunc(r.Violations, compareViolations)
	if r.limit > 0 {
		r.Violations = r.Violations[:min(len(r.Violations), r.limit)]
	}
}

// keepRedrives counts an order's redrives, and lists the last of all up to the limit.
func (r *Report) keepRedrives(redrives []Redrive) {
	slices.SortFunc(redrives, compareRedrives)
	for _, d := range slices.Compact(redrives) { // a record may be in Kafka twice
		r.RedrivesAll++
		if r.Redrives = append(r.Redrives, d); r.limit > 0 && len(r.Redrives) >= 2*r.limit {
			r.cutRedrives()
		}
	}
}

func (r *Report) cutRedrives() {
	slices.SortFunc(r.Redrives, compareRedrives)
	if r.limit > 0 {
		r.Redrives = slices.Delete(r.Redrives, 0, max(0, len(r.Redrives)-r.limit))
	}
}

// countState counts an order that is not broken by its newest generation.
func (j *judgement) countState(c *Counts) {
	g := j.o.newest()
	requested := j.o.gate != nil && j.o.gate.generation > 0
	switch {
	case g == nil && !requested:
		c.NotRequested++
	case requested && j.o.gate.closedBy == domain.ClosedByDeadLetter:
		c.Alive.SetAside++
	case g == nil || (requested && g.number < j.o.gate.generation):
		c.Alive.Outbox++
	case len(g.ends) > 0 && g.ends[0].success:
		c.Success++
	case len(g.ends) > 0:
		c.Failed++
	case len(g.links) == 0 && j.underWay > 0:
		c.Alive.Outbox++
	case len(g.links) == 0:
		c.Alive.Held++
	default:
		j.countAlive(g, &c.Alive)
	}
}

// countAlive counts where the living record of a generation is.
func (j *judgement) countAlive(g *generation, a *Alive) {
	alive := g.alive(j.before)
	if len(alive) == 0 {
		a.SetAside++
		return
	}
	switch names[alive[0].topic] {
	case event.TopicRequested:
		a.Requested++
	case event.TopicDue:
		a.Due++
	default:
		a.Parked++
	}
}

func (r *Report) finish() {
	for _, source := range slices.Sorted(maps.Keys(r.bySource)) {
		r.Sources = append(r.Sources, r.bySource[source])
	}
	r.cutRedrives()
	r.cutViolations()
}

func compareRedrives(a, b Redrive) int {
	return cmp.Or(
		a.At.Compare(b.At), cmp.Compare(a.Source, b.Source), cmp.Compare(a.Order, b.Order), cmp.Compare(a.Generation, b.Generation), cmp.Compare(a.What, b.What),
	)
}

// compareViolations orders them by order and kind, those of one kind by where they are.
func compareViolations(a, b Violation) int {
	return cmp.Or(
		cmp.Compare(a.Source, b.Source), cmp.Compare(a.Order, b.Order), cmp.Compare(slices.Index(Kinds, a.Kind), slices.Index(Kinds, b.Kind)),
		cmp.Compare(a.OutboxID, b.OutboxID), cmp.Compare(indexes[a.Topic], indexes[b.Topic]), cmp.Compare(offsetOf(a), offsetOf(b)),
		cmp.Compare(a.Found, b.Found),
	)
}

func offsetOf(v Violation) int64 {
	if v.Offset == nil {
		return -1
	}
	return *v.Offset
}
