package audit

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
)

// judgement is one look at one order. The first takes everything as the cut and the topics have it; what it finds is a
// suspicion. The second has read once more what may have moved on since, and its word is final.
type judgement struct {
	o           *order
	partition   int32
	relayed     int64                     // R
	before      func(place) bool          // consumed by P
	gate        *gateRow                  // as it is at this look
	after       func(place) bool          // consumed by positions read after the topics; nil at the first look
	applied     func(place) bool          // by the projection; nil at the first look
	deadLetters func(generation int) bool // a chain record of it is among the dead letters; nil at the first look

	violations []Violation
	underWay   int // rows on their way to Kafka
	missing    int // rows that should be there, and are not
	known      map[fact]bool
}

func (j *judgement) run() {
	j.known = map[fact]bool{}
	j.rowsAndRecords()
	j.events()
	if j.o.gate == nil && j.gate == nil {
		j.withoutGate()
	}
	for _, g := range j.o.generations {
		j.chain(g)
		j.attempts(g)
	}
	for _, at := range j.o.unreadable {
		j.found(Unreadable, nil, &at)
	}
	if j.o.gate != nil {
		j.gateAhead()
	}
	if j.gate != nil {
		j.gateBehind()
	}
}

// withoutGate names the order by what knows it best: its newest generation, a record, a row.
func (j *judgement) withoutGate() {
	g := j.o.newest()
	switch {
	case g != nil && len(g.links) > 0:
		j.found(LogWithoutGate, g, &g.links[0].place)
	case len(j.o.records) > 0:
		j.found(LogWithoutGate, g, &j.o.records[0].place)
	case len(j.o.rows) > 0:
		j.found(LogWithoutGate, g, nil).OutboxID = j.o.rows[0].id
	default:
		j.found(LogWithoutGate, g, nil)
	}
}

func (j *judgement) found(kind Kind, g *generation, at *place) *Violation {
	b := Violation{Kind: kind, Means: means[kind]}
	if ref, err := domain.ParseKey(j.o.key); err == nil {
		b.Source, b.Order = ref.Source, ref.IncrementID
	} else {
		b.Order = j.o.key
	}
	if gate := j.o.gate; gate != nil {
		b.SyncID, b.Generation = gate.syncID, gate.generation
	}
	if g != nil {
		b.SyncID, b.Generation = g.syncID, g.number
	}
	if at != nil {
		b.Topic, b.Partition, b.Offset = names[at.topic], &j.partition, &at.offset
	}
	j.violations = append(j.violations, b)
	return &j.violations[len(j.violations)-1]
}

// rowsAndRecords compares the outbox with its topics. What is said twice has two rows and two records.
func (j *judgement) rowsAndRecords() {
	rows := map[fact][]int64{}
	for _, r := range j.o.rows {
		rows[r.fact] = append(rows[r.fact], r.id)
		j.known[r.fact] = true
	}
	records := map[fact][]record{}
	for _, r := range j.o.records {
		records[r.fact] = append(records[r.fact], r)
		j.known[r.fact] = true
	}
	for f, ids := range rows {
		slices.Sort(ids)
		for _, id := range ids[min(len(ids), len(records[f])):] {
			if id > j.relayed {
				j.underWay++
				continue
			}
			j.missing++
			b := j.found(RowNotInKafka, nil, nil)
			b.Topic, b.OutboxID = names[f.topic], id
		}
	}
	for f, seen := range records {
		j.surplus(f, len(rows[f]), seen)
	}
}

// surplus are records of a fact beyond its rows.
func (j *judgement) surplus(f fact, rows int, seen []record) {
	slices.SortFunc(seen, func(a, b record) int { return int(a.place.offset - b.place.offset) })
	extra := seen[min(rows, len(seen)):]
	kept := slices.DeleteFunc(slices.Clone(extra), func(r record) bool { return r.old })
	switch {
	case rows > 0:
		for _, r := range kept {
			j.found(TwiceInKafka, nil, &r.place)
		}
	case names[f.topic] == event.TopicSalesOrder && !slices.Contains(j.o.events, f.uuid):
		j.found(RecordUnknown, nil, &extra[0].place) // events are kept for ever, unlike the outbox
	case len(kept) > 0:
		j.found(RecordUnknown, nil, &kept[0].place)
	case names[f.topic] != event.TopicCallback: // a note may be made again
		for _, r := range extra[1:] {
			j.found(TwiceInKafka, nil, &r.place)
		}
	}
}

// events compares what was accepted with what was published.
func (j *judgement) events() {
	for _, uuid := range j.o.events {
		if !j.known[fact{relayed[event.TopicSalesOrder], uuid}] {
			j.missing++
			b := j.found(EventNotPublished, nil, nil)
			b.Topic, b.event = event.TopicSalesOrder, uuid
		}
	}
}

// alive are the chain records that were not consumed.
func (g *generation) alive(consumed func(place) bool) (out []link) {
	for _, l := range g.links {
		if !consumed(l.place) {
			out = append(out, l)
		}
	}
	return out
}

// chain: of each generation exactly one record is alive until it has exactly one end.
func (j *judgement) chain(g *generation) {
	now := j.before
	if j.after != nil {
		now = j.after
	}
	switch alive := g.alive(now); {
	case len(g.ends) > 1:
		last := second(g.ends)
		j.found(EndedTwice, g, &last.place)
	case len(g.ends) == 1 && len(alive) > 0:
		j.found(AliveAfterEnd, g, &alive[0].place)
	case len(g.ends) == 0 && len(alive) > 1:
		j.found(TwoAlive, g, &alive[1].place)
	case j.lost(g) && !j.lostInCall(g) && !j.closedWithoutEnd(g):
		at := &g.links[0].place
		j.found(NeitherAliveNorEnded, g, at)
	}
}

// second is the later of two ends; they may stand in two topics.
func second(ends []end) end {
	return slices.MaxFunc(ends, func(a, b end) int { return cmp.Or(a.written.Compare(b.written), cmp.Compare(a.offset, b.offset)) })
}

// lost: sent on its way, and neither alive at the cut nor ended. Whatever P says was consumed has left its trace before E.
func (j *judgement) lost(g *generation) bool {
	return len(g.links) > 0 && len(g.ends) == 0 && len(g.alive(j.before)) == 0 && !j.isDeadLetter(g)
}

// lostInCall: the announcement that nothing followed tells more.
func (j *judgement) lostInCall(g *generation) bool {
	for _, m := range g.before {
		if !marked(g.after, m.attempt) {
			return true
		}
	}
	return false
}

func (j *judgement) isDeadLetter(g *generation) bool {
	return j.deadLetters != nil && j.deadLetters(g.number)
}

// attempts: each has one outcome, unless its record is alive, is a dead letter, or was stopped by the gate before or after
// a call that nobody knows the outcome of.
func (j *judgement) attempts(g *generation) {
	for i, m := range g.after {
		if marked(g.after[:i], m.attempt) {
			j.found(AfterSendTwice, g, &m.place).Attempt = m.attempt
		}
	}
	for _, m := range g.before {
		pending := slices.ContainsFunc(g.alive(j.before), func(l link) bool { return l.attempts < m.attempt })
		stopped := slices.ContainsFunc(g.ends, func(e end) bool { return e.byGate && e.attempts == m.attempt-1 })
		if !marked(g.after, m.attempt) && !pending && !stopped && !j.isDeadLetter(g) {
			j.found(BeforeSendAlone, g, &m.place).Attempt = m.attempt
		}
	}
}

// gateAhead: what the gate of the cut says must stand in the log, as the gate is changed with the fact's row, or after
// the record that ended the generation.
func (j *judgement) gateAhead() {
	gate := j.o.gate
	j.gateFacts()
	if g := j.logged(gate.generation); g != nil && j.closedWithoutEnd(g) {
		j.found(GateClosedWithoutEnd, g, nil).Found = "closed by " + string(gate.closedBy)
	}
}

// closedWithoutEnd: the gate of the cut has closed the generation, and neither an end nor a settlement nor a dead letter stands
// behind that.
func (j *judgement) closedWithoutEnd(g *generation) bool {
	gate := j.o.gate
	if gate == nil || gate.generation != g.number || gate.state != domain.GateClosed || len(g.ends) > 0 {
		return false
	}
	if gate.closedBy == domain.ClosedByDeadLetter {
		return !j.isDeadLetter(g)
	}
	byChain := gate.closedBy == domain.ClosedByAnswer || gate.closedBy == domain.ClosedByFailure
	return byChain || gate.settling == 0
}

// gateFacts: the requests and settlements that the gate has numbered.
func (j *judgement) gateFacts() {
	gate := j.o.gate
	for n := 1; n < gate.generation; n++ {
		j.expect(event.TopicRequested, domain.RequestVersion(n, 0))
	}
	if gate.generation == 0 {
		return
	}
	for n := range gate.requests + 1 {
		j.expect(event.TopicRequested, domain.RequestVersion(gate.generation, n))
	}
	for n := range gate.settling {
		j.expect(event.TopicCallback, domain.CallbackVersion(gate.generation, n+1))
	}
}

func (j *judgement) expect(topic string, v domain.Version) {
	if !j.known[fact{relayed[topic], hash(event.MessageUUID(event.ID(j.o.key, v, topic)))}] {
		b := j.found(GateWithoutLog, nil, nil)
		b.Generation, b.Topic, b.Found = v.Generation(), topic, fmt.Sprintf("version %d is nowhere", v)
	}
}

func (j *judgement) logged(generation int) *generation {
	for _, g := range j.o.generations {
		if g.number == generation {
			return g
		}
	}
	return nil
}

// gateBehind: what the log says must have reached the gate, as it is now.
func (j *judgement) gateBehind() {
	newest := j.o.newest()
	if newest == nil {
		return
	}
	if newest.number > j.gate.generation {
		j.found(GateGeneration, newest, nil).Found = fmt.Sprintf("the gate has generation %d", j.gate.generation)
		return
	}
	if newest.syncID != j.gate.syncID {
		j.found(GateSyncID, newest, nil).Found = fmt.Sprintf("the gate has sync id %d", j.gate.syncID)
	}
	g := j.logged(j.gate.generation)
	if g == nil {
		return
	}
	if g.key != j.gate.key {
		j.found(GateKey, g, nil)
	}
	switch {
	case j.gate.state == domain.GateHeld && len(g.links) > 0:
		j.found(GateHeldButReleased, g, &g.links[0].place)
	case j.gate.state == domain.GateOpen && g.held && len(g.links) == 0 && j.underWay+j.missing == 0:
		j.found(GateOpenButHeld, g, nil)
	case j.gate.state == domain.GateOpen && len(g.ends) > 0 && (j.applied == nil || j.applied(g.ends[0].place)):
		j.found(GateOpenAfterEnd, g, &g.ends[0].place)
	}
}
