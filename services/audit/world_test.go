package audit

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
)

// world is what Postgres and Kafka hold of one order at one moment.
type world struct {
	gate     domain.Gate
	rows     []row  // of the outbox
	relayed  int    // rows of them that are in Kafka
	log      []told // records, in the order in which they were committed
	consumed map[place]bool
	applied  int // records of the log that the projector has applied
	dead     map[int]bool
	calling  place                  // the chain record whose call was announced
	facts    map[uint64]domain.Sync // what the outbox has published, by uuid; shared by all moments of an order
}

// told is a record of the log.
type told struct {
	place
	uuid uint64
	sync domain.Sync
}

func (t told) topic() string { return names[t.place.topic] }

var order1 = domain.OrderRef{Source: domain.DefaultSource, IncrementID: "1"}

const shopsEvent = uint64(1) // the uuid of the shop's event

// newWorld is an order that was just accepted.
func newWorld(of domain.OrderRef, p domain.RequestPolicy) world {
	w := world{
		gate: domain.Gate{Ref: of, State: domain.GateNone}, consumed: map[place]bool{}, dead: map[int]bool{}, calling: place{offset: -1},
		facts: map[uint64]domain.Sync{},
	}
	p.MaxAttempts = 3
	w.gate, _ = w.gate.Request(syncID, p, time.Unix(0, 0))
	w.rows = append(w.rows, row{fact{indexes[event.TopicSalesOrder], shopsEvent}, 1})
	return w.publish(event.TopicRequested, w.gate.RequestedSync(nil, ""))
}

// clone is a world that goes on by itself.
func (w world) clone() world {
	w.rows, w.log, w.consumed, w.dead = slices.Clone(w.rows), slices.Clone(w.log), maps.Clone(w.consumed), maps.Clone(w.dead)
	return w
}

func (w world) publish(topic string, s domain.Sync) world {
	uuid := hash(event.MessageUUID(event.ID(w.gate.Ref.Key(), s.Version, topic)))
	w.facts[uuid] = s
	w.rows = append(w.rows, row{fact{indexes[topic], uuid}, int64(len(w.rows) + 1)})
	return w
}

func (w world) write(topic string, uuid uint64, s domain.Sync) world {
	at := place{indexes[topic], 0}
	for _, r := range w.log {
		if r.place.topic == at.topic {
			at.offset++
		}
	}
	w.log = append(w.log, told{at, uuid, s})
	return w
}

// alive are the chain records that nobody has consumed.
func (w world) alive() (out []told) {
	for _, r := range w.log {
		held := r.sync.Released != nil && !*r.sync.Released
		if _, chain := chains[r.topic()]; chain && !held && !w.consumed[r.place] {
			out = append(out, r)
		}
	}
	return out
}

// relay brings the next row to Kafka.
func (w world) relay() world {
	if w.relayed < len(w.rows) {
		r := w.rows[w.relayed]
		w = w.write(names[r.topic], r.uuid, w.facts[r.uuid])
		w.relayed++
	}
	return w
}

// work is a step of the syncer or the delayer with a record that is alive: a retry becomes due, a call is announced, or it ends.
func (w world) work(r told, o domain.OutcomeKind) world {
	now := time.Unix(0, 0)
	advice := domain.Advise(&w.gate, r.sync)
	switch {
	case chains[r.topic()] == event.GroupDelayer:
		w.consumed[r.place] = true
		return w.write(event.TopicDue, 0, r.sync)
	case advice.Ended:
		return w
	case advice.Stop:
		w.consumed[r.place] = true
		return w.end(domain.Closed(r.sync, advice.ClosedBy, now))
	case w.calling != r.place:
		w.calling = r.place
		return w.write(event.TopicBeforeSend, 0, domain.Sending(r.sync, now))
	}
	w.consumed[r.place] = true
	d := domain.Decide(r.sync, domain.Outcome{Kind: o}, domain.RetryPolicy{}, now, 0)
	w = w.write(event.TopicAfterSend, 0, d.After)
	if d.Terminal == nil {
		return w.write(event.RetryTiers[0].Topic, 0, d.After)
	}
	return w.end(*d.Terminal)
}

func (w world) end(s domain.Sync) world {
	if s.Status == domain.Success {
		return w.write(event.TopicSuccess, 0, s)
	}
	return w.write(event.TopicFailed, 0, s)
}

// project applies the whole log, and closes the gate where it is told of the end.
func (w world) project() world {
	w.applied = len(w.log)
	for _, r := range w.log {
		isEnd := r.topic() == event.TopicSuccess || r.topic() == event.TopicFailed
		if isEnd && r.sync.Generation == w.gate.Generation && w.gate.State == domain.GateOpen {
			w.gate.State, w.gate.ClosedBy = domain.GateClosed, r.sync.EndedBy()
		}
	}
	return w
}

// ask is what a person or the ERP asks for.
func (w world) ask(t *rapid.T) world {
	now := time.Unix(0, 0)
	switch rapid.IntRange(0, 2).Draw(t, "request") {
	case 0:
		if next, ok := w.gate.Release(now); ok {
			w.gate = next
			return w.publish(event.TopicRequested, next.RequestedSync(nil, ""))
		}
	case 1:
		by := rapid.SampledFrom([]domain.ClosedBy{domain.ClosedByWebhook, domain.ClosedByRejected, domain.ClosedByHand, domain.ClosedByCancelled}).Draw(t, "by")
		next, released, what := w.gate.Settle(domain.Settlement{By: by}, now)
		if what == domain.SettledNow {
			w.gate = next
			if released {
				w = w.publish(event.TopicRequested, next.RequestedSync(nil, ""))
			}
			return w.publish(event.TopicCallback, next.SettledSync(nil, nil, ""))
		}
	case 2:
		if w.gate.State != domain.GateHeld {
			w.gate = w.gate.Resync(3, false, now)
			return w.publish(event.TopicRequested, w.gate.RequestedSync(nil, ""))
		}
	}
	return w
}

// step is one commit of one process.
func (w world) step(t *rapid.T) world {
	w = w.clone()
	alive := w.alive()
	switch what := rapid.IntRange(0, 9).Draw(t, "step"); {
	case what < 3:
		return w.relay()
	case what < 4:
		return w.project()
	case what < 5:
		return w.ask(t)
	case len(alive) == 0:
		return w.relay()
	case what == 9 && w.calling != alive[0].place && chains[alive[0].topic()] == event.GroupSyncer: // nobody can read it
		w.consumed[alive[0].place], w.dead[alive[0].sync.Generation] = true, true
		return w
	case what == 8 && w.calling == alive[0].place: // the syncer has crashed in the call
		return w.write(event.TopicBeforeSend, 0, domain.Sending(alive[0].sync, time.Unix(0, 0)))
	default:
		r := rapid.SampledFrom(alive).Draw(t, "record")
		return w.work(r, domain.OutcomeKind(rapid.IntRange(1, 3).Draw(t, "outcome")))
	}
}

// looks are the moments at which an audit looks, in its order.
type looks struct{ relayed, snapshot, before, ends, after, now world }

// order is what the audit reads of the order.
func (l looks) order() *order {
	o := &order{key: l.snapshot.gate.Ref.Key(), events: []uint64{shopsEvent}, rows: l.snapshot.rows, gate: gateOf(l.snapshot)}
	for _, r := range l.ends.log {
		if _, byOutbox := relayed[r.topic()]; byOutbox {
			o.records = append(o.records, record{fact: fact{r.place.topic, r.uuid}, place: r.place})
		}
		if r.topic() != event.TopicSalesOrder && r.topic() != event.TopicCallback {
			o.generation(r.sync.Generation).add(r.place, sayingOf(r.sync, time.Unix(r.offset, 0)))
		}
	}
	return o
}

func gateOf(w world) *gateRow {
	g := w.gate
	return &gateRow{
		syncID: g.SyncID, generation: g.Generation, state: g.State, closedBy: g.ClosedBy, key: hash(g.IdempotencyKey),
		requests: g.RequestNumber, settling: g.CallbackNumber,
	}
}

// judged is the order's judgement, once or, where that is a suspicion, twice: as auditor.judge does.
func (l looks) judged() *judgement {
	first := &judgement{o: l.order(), relayed: int64(l.relayed.relayed), before: func(p place) bool { return l.before.consumed[p] }}
	first.gate = first.o.gate
	first.run()
	if len(first.violations) == 0 {
		return first
	}
	second := &judgement{o: l.order(), relayed: first.relayed, before: first.before, gate: gateOf(l.now)}
	second.o.rows = l.now.rows // those beyond R are read again; the others do not change
	second.after = func(p place) bool { return l.after.consumed[p] }
	second.deadLetters = func(generation int) bool { return l.now.dead[generation] }
	second.applied = func(p place) bool {
		return slices.ContainsFunc(l.now.log[:l.now.applied], func(r told) bool { return r.place == p })
	}
	second.run()
	return second
}

func drawWorlds(t *rapid.T, of domain.OrderRef) []world {
	policy := domain.RequestPolicy{Enabled: rapid.Bool().Draw(t, "enabled"), ImmediateSync: true}
	worlds := []world{newWorld(of, policy)}
	for range rapid.IntRange(0, 40).Draw(t, "steps") {
		worlds = append(worlds, worlds[len(worlds)-1].step(t))
	}
	return worlds
}

// While the product works, an audit finds nothing, whenever it looks: its looks may lie at any moments, if only in their order.
func TestNothingIsBrokenWhileTheProductWorks(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		worlds := drawWorlds(t, order1)
		at := 0
		next := func(name string) world {
			at = rapid.IntRange(at, len(worlds)-1).Draw(t, name)
			return worlds[at]
		}
		j := looks{next("relayed"), next("snapshot"), next("before"), next("ends"), next("after"), next("now")}.judged()
		require.Empty(t, j.violations)
		var c Counts
		j.countState(&c)
		require.Equal(t, 1, c.Success+c.Failed+c.Alive.Sum()+c.NotRequested, "the order is in one place: %+v", c)
	})
}

// Whatever one record is lost or comes twice, an audit finds it once nothing moves.
func TestOneRecordLostOrTwiceIsFound(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		worlds := drawWorlds(t, order1)
		w := worlds[len(worlds)-1].clone()
		for w.relayed < len(w.rows) {
			w = w.relay()
		}
		w = w.project()
		sound := looks{w, w, w, w, w, w}.judged()
		require.Empty(t, sound.violations)
		twice := rapid.Bool().Draw(t, "twice")
		var one []int // records of which each counts: not an intent, which may repeat, nor a retry that was consumed, which may be trimmed
		for i, r := range w.log {
			_, byOutbox := relayed[r.topic()]
			_, chain := chains[r.topic()]
			if r.topic() != event.TopicBeforeSend && (twice || byOutbox || !chain || !w.consumed[r.place]) && !w.dead[r.sync.Generation] {
				one = append(one, i)
			}
		}
		if len(one) == 0 {
			return
		}
		i := rapid.SampledFrom(one).Draw(t, "record")
		if twice {
			w = w.write(w.log[i].topic(), w.log[i].uuid, w.log[i].sync)
		} else {
			w.log = slices.Delete(w.log, i, i+1)
		}
		w.applied = len(w.log)
		require.NotEmpty(t, looks{w, w, w, w, w, w}.judged().violations)
	})
}
