package audit

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/outbox"
)

const syncID = 7

// log is an order whose gate, outbox and log agree: event 10 and request 11 of generation 1 are accepted and relayed, and
// the request stands at offset 0. A case changes it.
func log(changes ...func(o *order)) *order {
	sales, requested := relayed[event.TopicSalesOrder], relayed[event.TopicRequested]
	first := hash(event.MessageUUID(event.ID("1", domain.RequestVersion(1, 0), event.TopicRequested)))
	o := &order{
		key: "1", events: []uint64{1}, rows: []row{{fact{sales, 1}, 10}, {fact{requested, first}, 11}},
		records: []record{{fact{sales, 1}, place{sales, 0}, false}, {fact{requested, first}, place{requested, 0}, false}},
		gate:    &gateRow{syncID: syncID, generation: 1, state: domain.GateOpen, key: 3},
		generations: []*generation{{
			number: 1, syncID: syncID, key: 3, links: []link{{place{requested, 0}, 0}},
		}},
	}
	for _, change := range changes {
		change(o)
	}
	return o
}

func in(topic string, offset int64) place { return place{indexes[topic], offset} }

func ends(topic string, attempts int, byGate bool) func(*order) {
	return func(o *order) {
		g := o.generations[0]
		g.ends = append(g.ends, end{place: in(topic, 0), success: topic == event.TopicSuccess, attempts: attempts, byGate: byGate})
		o.gate.state, o.gate.closedBy = domain.GateClosed, domain.ClosedByAnswer
	}
}

func announced(attempt int) func(*order) {
	return func(o *order) {
		o.generations[0].before = append(o.generations[0].before, mark{in(event.TopicBeforeSend, 0), attempt})
	}
}

func answered(attempt int) func(*order) {
	return func(o *order) {
		o.generations[0].after = append(o.generations[0].after, mark{in(event.TopicAfterSend, 0), attempt})
	}
}

func waits(topic string, offset int64, attempts int) func(*order) {
	return func(o *order) {
		o.generations[0].links = append(o.generations[0].links, link{in(topic, offset), attempts})
	}
}

func withGate(change func(*gateRow)) func(*order) { return func(o *order) { change(o.gate) } }

// heldAndReleased: the request was held; its release is row 12, which Kafka does not have yet.
func heldAndReleased(o *order) {
	o.generations[0].held, o.generations[0].links = true, nil
	o.gate.requests = 1
	release := hash(event.MessageUUID(event.ID("1", domain.RequestVersion(1, 1), event.TopicRequested)))
	o.rows = append(o.rows, row{fact{relayed[event.TopicRequested], release}, 12})
}

func said(rows, records int) func(*order) {
	return func(o *order) {
		note := fact{relayed[event.TopicCallback], 9}
		for i := range rows {
			o.rows = append(o.rows, row{note, int64(20 + i)})
		}
		for i := range records {
			o.records = append(o.records, record{fact: note, place: in(event.TopicCallback, int64(i))})
		}
	}
}

// withoutRows: retention has dropped the order's rows; the records are from before that, or not.
func withoutRows(old bool) func(*order) {
	return func(o *order) {
		o.rows = nil
		for i := range o.records {
			o.records[i].old = old
		}
	}
}

func TestJudgement(t *testing.T) {
	requested, due, rung := in(event.TopicRequested, 0), in(event.TopicDue, 0), in(event.RetryTiers[0].Topic, 0)
	for name, c := range map[string]struct {
		order           *order
		relayed         int64 // default 100
		open            outbox.Gaps
		consumed, since []place // by P; and since
		notApplied      bool
		letter          bool
		suspect         bool   // the first look finds something
		want            []Kind // the second
		stands          Counts
	}{
		"its_request_waits": {order: log(), stands: Counts{Alive: Alive{Requested: 1}}},
		"it_is_called":      {order: log(announced(1)), stands: Counts{Alive: Alive{Requested: 1}}},
		"it_has_ended": {
			order:    log(announced(1), answered(1), ends(event.TopicSuccess, 1, false)),
			consumed: []place{requested}, stands: Counts{Success: 1},
		},
		"it_ended_between_the_positions_and_the_ends": {
			order:   log(announced(1), answered(1), ends(event.TopicFailed, 1, false)),
			since:   []place{requested},
			suspect: true, stands: Counts{Failed: 1},
		},
		"it_ended_and_its_request_is_not_consumed": {
			order:   log(announced(1), answered(1), ends(event.TopicFailed, 1, false)),
			suspect: true, want: []Kind{AliveAfterEnd},
		},
		"it_hopped_between_the_positions_and_the_ends": {
			order:    log(announced(1), answered(1), waits(rung.name(), 0, 1), waits(due.name(), 0, 1)),
			consumed: []place{requested}, since: []place{rung},
			suspect: true, stands: Counts{Alive: Alive{Parked: 1}},
		},
		"a_later_attempt_was_announced_after_the_positions": {
			order:    log(announced(1), answered(1), waits(rung.name(), 0, 1), announced(2), answered(2), announced(3)),
			consumed: []place{requested}, stands: Counts{Alive: Alive{Parked: 1}},
		},
		"the_gate_stopped_it_after_a_crash_in_the_call": {
			order: log(announced(1), ends(event.TopicFailed, 0, true), withGate(func(g *gateRow) {
				g.closedBy, g.settling = domain.ClosedByCancelled, 0
			})),
			consumed: []place{requested}, stands: Counts{Failed: 1},
		},
		"the_gate_stopped_another_attempt": {
			order:    log(announced(1), answered(1), announced(3), ends(event.TopicFailed, 1, true)),
			consumed: []place{requested}, suspect: true, want: []Kind{BeforeSendAlone},
		},
		"announced_again_after_its_end": {
			order:    log(announced(1), answered(1), announced(2), ends(event.TopicSuccess, 1, false)),
			consumed: []place{requested}, suspect: true, want: []Kind{BeforeSendAlone},
		},
		"its_record_is_a_dead_letter": {
			order: log(), consumed: []place{requested}, letter: true, suspect: true, stands: Counts{Alive: Alive{SetAside: 1}},
		},
		"its_record_is_a_dead_letter_and_the_gate_knows": {
			order:    log(withGate(func(g *gateRow) { g.state, g.closedBy = domain.GateClosed, domain.ClosedByDeadLetter })),
			consumed: []place{requested}, letter: true, suspect: true, stands: Counts{Alive: Alive{SetAside: 1}},
		},
		"the_gate_knows_of_a_dead_letter_that_is_nowhere": {
			order:    log(withGate(func(g *gateRow) { g.state, g.closedBy = domain.GateClosed, domain.ClosedByDeadLetter })),
			consumed: []place{requested}, suspect: true, want: []Kind{GateClosedWithoutEnd},
		},
		"its_record_is_gone": {order: log(), consumed: []place{requested}, suspect: true, want: []Kind{NeitherAliveNorEnded}},
		"the_log_has_lost_its_end": {
			order:    log(withGate(func(g *gateRow) { g.state, g.closedBy = domain.GateClosed, domain.ClosedByAnswer })),
			consumed: []place{requested}, suspect: true, want: []Kind{GateClosedWithoutEnd},
		},
		"it_was_settled_and_waits": {
			order: log(func(o *order) {
				o.gate.state, o.gate.closedBy, o.gate.settling = domain.GateClosed, domain.ClosedByWebhook, 1
				callback := hash(event.MessageUUID(event.ID("1", domain.CallbackVersion(1, 1), event.TopicCallback)))
				o.records = append(o.records, record{fact: fact{relayed[event.TopicCallback], callback}, old: true})
			}),
			stands: Counts{Alive: Alive{Requested: 1}},
		},
		"it_was_settled_and_lost": {
			order: log(func(o *order) {
				o.gate.state, o.gate.closedBy, o.gate.settling = domain.GateClosed, domain.ClosedByWebhook, 1
				callback := hash(event.MessageUUID(event.ID("1", domain.CallbackVersion(1, 1), event.TopicCallback)))
				o.records = append(o.records, record{fact: fact{relayed[event.TopicCallback], callback}, old: true})
			}),
			consumed: []place{requested}, suspect: true, want: []Kind{NeitherAliveNorEnded},
		},
		"its_gate_is_not_told_yet": {
			order:    log(announced(1), answered(1), ends(event.TopicSuccess, 1, false), withGate(func(g *gateRow) { g.state, g.closedBy = domain.GateOpen, "" })),
			consumed: []place{requested}, notApplied: true, suspect: true, stands: Counts{Success: 1},
		},
		"its_gate_was_opened": {
			order:    log(announced(1), answered(1), ends(event.TopicSuccess, 1, false), withGate(func(g *gateRow) { g.state, g.closedBy = domain.GateOpen, "" })),
			consumed: []place{requested}, suspect: true, want: []Kind{GateOpenAfterEnd},
		},
		"its_release_is_on_its_way": {order: log(heldAndReleased), relayed: 11, stands: Counts{Alive: Alive{Outbox: 1}}},
		"its_release_was_passed_over": {
			order: log(heldAndReleased), suspect: true, want: []Kind{RowNotInKafka},
		},
		"the_same_is_said_twice":             {order: log(said(2, 2)), stands: Counts{Alive: Alive{Requested: 1}}},
		"the_same_is_said_twice_in_log":      {order: log(said(1, 2)), suspect: true, want: []Kind{TwiceInKafka}},
		"one_of_the_same_is_under_way":       {order: log(said(2, 1)), relayed: 20, stands: Counts{Alive: Alive{Requested: 1}}},
		"one_of_the_same_is_missing":         {order: log(said(2, 1)), relayed: 21, suspect: true, want: []Kind{RowNotInKafka}},
		"one_of_the_same_came_late":          {order: log(said(2, 1)), open: outbox.Gaps{{First: 21, Last: 21}}, stands: Counts{Alive: Alive{Requested: 1}}},
		"retention_has_dropped_its_rows":     {order: log(withoutRows(true), said(0, 2)), suspect: true, want: []Kind{RecordUnknown}},
		"retention_had_dropped_its_rows":     {order: log(said(0, 2), withoutRows(true)), stands: Counts{Alive: Alive{Requested: 1}}},
		"somebody_has_deleted_its_rows":      {order: log(withoutRows(false)), suspect: true, want: []Kind{RecordUnknown, RecordUnknown}},
		"its_event_is_published_and_dropped": {order: log(withoutRows(true), func(o *order) { o.events = nil }), suspect: true, want: []Kind{RecordUnknown}},
	} {
		t.Run(name, func(t *testing.T) {
			at := func(places ...[]place) func(place) bool {
				return func(p place) bool {
					for _, some := range places {
						for _, q := range some {
							if p == q {
								return true
							}
						}
					}
					return false
				}
			}
			j := judgement{o: c.order, relayed: 100, open: c.open, gate: c.order.gate, before: at(c.consumed)}
			if c.relayed != 0 {
				j.relayed = c.relayed
			}
			first := j
			first.run()
			require.Equal(t, c.suspect, len(first.violations) > 0, "%v", first.violations)
			second := j
			second.after = at(c.consumed, c.since)
			second.applied = func(place) bool { return !c.notApplied }
			second.deadLetters = func(int) bool { return c.letter }
			second.run()
			var kinds []Kind
			for _, b := range second.violations {
				require.Equal(t, "1", b.Order)
				kinds = append(kinds, b.Kind)
			}
			require.ElementsMatch(t, c.want, kinds)
			if c.want == nil {
				var counts Counts
				second.countState(&counts)
				require.Equal(t, c.stands, counts)
			}
		})
	}
}

func (p place) name() string { return names[p.topic] }

func TestEachKindIsExplained(t *testing.T) {
	require.Len(t, means, len(Kinds))
	for _, k := range Kinds {
		require.NotEmpty(t, means[k], k)
	}
}
