package checker

import (
	"encoding/json"
	"time"
)

// checkCallbacks is promise 7 for the ERP's callbacks. A body counts once. From generation 2 on a callback counts only if it
// carries the generation's key, or a reference that no earlier generation had.
func (c *checker) checkCallbacks(o *order) {
	bodies := map[string]*fact{}
	for _, g := range o.generations() {
		for _, f := range g.callbacks {
			if f.sync.ClosedBy != "webhook" && f.sync.ClosedBy != "rejected" {
				continue // by an operator, who has no body
			}
			if first := bodies[f.response.body()]; first != nil {
				c.violate(7, "a callback that counted twice", o, "%s and %s have the same body", first.where(), f.where())
			}
			bodies[f.response.body()] = f
			c.checkCallback(o, g, f)
		}
	}
}

// checkCallback looks at one callback that settled a generation.
func (c *checker) checkCallback(o *order, g *generation, f *fact) {
	key := f.callbackKey()
	switch {
	case key == f.sync.IdempotencyKey:
	case key != "":
		c.violate(7, "a generation settled by an old callback", o, "%s settled generation %d and carries another key, %s", f.where(), g.number, key)
	case g.number == 1:
	case f.sync.Reference == nil:
		c.violate(7, "a generation settled by an old callback", o, "%s settled generation %d and carries neither the key nor a reference", f.where(), g.number)
	default:
		if old := c.earlierFactNaming(o, *f.sync.Reference, g, f.at); old != nil {
			c.violate(7, "a generation settled by an old callback", o, "%s settled generation %d as %s, which is what %s of generation %d was called",
				f.where(), g.number, *f.sync.Reference, old.where(), old.sync.Generation)
		}
	}
}

// earlierFactNaming returns the fact of an earlier generation, under another key, that has this reference; nil: none. The
// product knows the reference when it took a new key because of an answer, or because the ERP said that it has the order
// (resync-again). After resync-new-key the answer may still be under way, so the fact must be older than maxKnownDelay.
func (c *checker) earlierFactNaming(o *order, reference string, g *generation, at time.Time) *fact {
	for _, f := range o.facts {
		if f.sync.Generation >= g.number || f.sync.Reference == nil || *f.sync.Reference != reference || f.sync.IdempotencyKey == g.keys[0] {
			continue
		}
		if o.countRequests("resync-new-key") == 0 || (f.at.Add(maxKnownDelay).Before(at) && !c.outage(f.at, at)) {
			return f
		}
	}
	return nil
}

// callbackKey returns the idempotency key in a callback; empty: none.
func (f *fact) callbackKey() string {
	var said struct {
		Key string `json:"idempotencyKey"`
	}
	_ = json.Unmarshal([]byte(f.response.body()), &said) // what is not JSON has no key
	return said.Key
}

// body returns the text of a response; empty when there is none.
func (r *response) body() string {
	if r == nil {
		return ""
	}
	return r.Body
}
