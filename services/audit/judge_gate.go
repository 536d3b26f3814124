package audit

import (
	"fmt"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
)

// gateAhead checks that the log has what the snapshot's gate says. The gate changes together with the fact's row, or after the
// record that ended the generation.
func (j *judgement) gateAhead() {
	gate := j.o.gate
	j.gateFacts()
	if g := j.logged(gate.generation); g != nil && j.closedWithoutEnd(g) {
		j.found(GateClosedWithoutEnd, g, nil).Found = "closed by " + string(gate.closedBy)
	}
}

// closedWithoutEnd reports whether the snapshot's gate has closed the generation, and neither an end nor a settlement nor a dead
// letter is the reason.
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

// gateFacts checks that the requests and settlements which the gate has numbered exist.
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

// expect looks for the fact by its name, as the outbox or the log has it. Its name follows from the version, so a fact that was never
// written is missed as well as one that was deleted.
func (j *judgement) expect(topic string, v domain.Version) {
	if !j.known[fact{relayed[topic], hash(event.MessageUUID(event.ID(j.o.key, v, topic)))}] {
		b := j.found(GateWithoutLog, nil, nil)
		b.Generation, b.Topic, b.Found = v.Generation(), topic, fmt.Sprintf("version %d is nowhere", v)
	}
}

// logged is what the log says of a generation; nil when it knows none of that number.
func (j *judgement) logged(generation int) *generation {
	for _, g := range j.o.generations {
		if g.number == generation {
			return g
		}
	}
	return nil
}

// gateBehind checks that what the log says has reached the gate, as it is now.
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
