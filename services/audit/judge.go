package audit

import (
	"cmp"
	"slices"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/outbox"
)

// judgement judges one order, twice if need be. The first takes everything as the snapshot and the topics have it: what it finds
// is a suspicion. The second has read again what may have moved on since, and is final.
type judgement struct {
	o           *order
	partition   int32
	relayed     int64                     // R
	open        outbox.Gaps               // in R: rows that come there are not relayed
	before      func(place) bool          // consumed by P
	gate        *gateRow                  // as it is at this judgement
	after       func(place) bool          // consumed by positions read after the topics; nil at the first judgement
	applied     func(place) bool          // by the projection; nil at the first judgement
	deadLetters func(generation int) bool // a chain record of it is among the dead letters; nil at the first judgement

	violations []Violation
	underWay   int // rows on their way to Kafka
	missing    int // rows that should be there, and are not
	known      map[fact]bool
}

// run finds everything that is broken. It can be called once. An order may have several violations: a lost request breaks its row and its
// gate.
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

// withoutGate reports an order that has no gate, by what says most of it: its newest generation, a record, or a row.
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

// found adds a violation, of a generation and at a place where these are known. The caller may add what else there is to say.
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

// rowsAndRecords compares the outbox with its topics. A fact that was written twice has two rows and two records.
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
			if id > j.relayed || j.open.Has(id) {
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

// surplus reports records of a fact for which there are no rows.
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

// events reports accepted events that were not published.
func (j *judgement) events() {
	for _, uuid := range j.o.events {
		if !j.known[fact{relayed[event.TopicSalesOrder], uuid}] {
			j.missing++
			b := j.found(EventNotPublished, nil, nil)
			b.Topic, b.event = event.TopicSalesOrder, uuid
		}
	}
}

// alive returns the chain records that were not consumed.
func (g *generation) alive(consumed func(place) bool) (out []link) {
	for _, l := range g.links {
		if !consumed(l.place) {
			out = append(out, l)
		}
	}
	return out
}

// chain checks that exactly one record of the generation is alive until it has exactly one end.
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

// second returns the later of two ends, which may be in two topics.
func second(ends []end) end {
	return slices.MaxFunc(ends, func(a, b end) int { return cmp.Or(a.written.Compare(b.written), cmp.Compare(a.offset, b.offset)) })
}

// lost reports whether a generation was requested, and is neither alive at the snapshot nor ended. Whatever P says was consumed
// has left its trace before E.
func (j *judgement) lost(g *generation) bool {
	return len(g.links) > 0 && len(g.ends) == 0 && len(g.alive(j.before)) == 0 && !j.isDeadLetter(g)
}

// lostInCall reports whether a call was announced and nothing followed. BeforeSendAlone says more then.
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

// attempts checks that each attempt has one outcome. It may have none while its record is alive, when that is a dead letter, or
// when the gate stopped it before or after a call whose outcome nobody knows.
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
