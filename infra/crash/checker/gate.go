package checker

import (
	"slices"
	"strings"

	"github.com/erpconnector/erpconnector/infra/crash/history"
)

// checkGates compares the gates with the log after the run. Each gate has the newest generation and its key. It is closed if
// that generation has ended, and held if it was never released. An order that was only published has no gate, or one of
// state none. A history without gates is not judged here.
func (c *checker) checkGates() {
	if len(c.h.Gates) == 0 {
		return
	}
	gates := map[*order]history.Gate{}
	for _, g := range c.h.Gates {
		source, _ := g["source"].(string)
		id, _ := g["increment_id"].(string)
		gates[c.order(orderKey(source, id))] = g
	}
	for _, o := range c.inOrder() {
		if !o.lost {
			c.checkGate(o, gates[o])
		}
	}
}

// checkGate compares one gate with the newest generation of its order.
func (c *checker) checkGate(o *order, gate history.Gate) {
	newest := o.newest()
	state, _ := gate["state"].(string)
	switch {
	case newest == nil && (gate == nil || state == "none"):
		return
	case newest == nil:
		if !o.blamed[1] {
			c.violate(9, "a gate that does not match the log", o, "the gate is %s, and no generation is in the log", state)
		}
		return
	case gate == nil:
		c.violate(9, "a gate that does not match the log", o, "generation %d is in the log, and there is no gate", newest.number)
		return
	}
	if n, _ := number(gate["generation"]); n != int64(newest.number) {
		c.violate(9, "a gate that does not match the log", o, "the gate's generation is %d, the log's newest %d", n, newest.number)
		return
	}
	if want := newest.gateStates(); !slices.Contains(want, state) {
		c.violate(9, "a gate that does not match the log", o, "the gate of generation %d is %s, by the log it should be %s", newest.number, state, strings.Join(want, " or "))
	}
	if key, _ := gate["idempotency_key"].(string); len(newest.keys) == 1 && key != newest.keys[0] {
		c.violate(9, "a gate that does not match the log", o, "the gate's key is %s, that of generation %d in the log %s", key, newest.number, newest.keys[0])
	}
}

// gateStates returns the states that match the log. checkEnds reports a generation that has not ended. Its gate may be
// closed by a callback that its next record follows.
func (g *generation) gateStates() []string {
	switch {
	case len(g.terminal) > 0:
		return []string{"closed"}
	case g.released():
		return []string{"open", "closed"}
	default:
		return []string{"held"}
	}
}
