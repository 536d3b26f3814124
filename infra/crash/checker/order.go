package checker

import (
	"cmp"
	"slices"
	"strings"

	"github.com/erpconnector/erpconnector/infra/crash/history"
)

const defaultSource = "default"

// order is everything known of one order.
type order struct {
	key, source, id string

	publications []history.Publication
	requests     []history.Request
	calls        []*erpCall // by the time of arrival
	events       []*fact    // sales_order_event
	facts        []*fact    // of the log: what the projection is folded from
	byNumber     map[int]*generation

	blamed map[int]bool // promises with a violation, so that its consequences are not reported too
	lost   bool         // the relay lost a request of it, so nothing can follow
	trace  []string     // made once, when a violation needs it
}

// erpCall is a call and the attempt that it was made for.
type erpCall struct {
	history.Call
	intent *fact // the before_send that it was made under; nil: none was found
}

// generation is one series of attempts to send the order to the ERP. Attempts count from 1.
type generation struct {
	number    int
	requested []*fact
	before    map[int][]*fact
	after     map[int][]*fact
	parked    map[int][]*fact // retries in any retry topic, by the attempt that they follow
	terminal  []*fact
	callbacks []*fact // those that settle
	keys      []string
}

var escaper = strings.NewReplacer("%", "%25", "/", "%2F")

// orderKey returns the Kafka key of an order; an empty source is the default one. The product's function is not used on
// purpose: a mistake in it must show.
func orderKey(source, id string) string {
	if source == "" || source == defaultSource {
		return escaper.Replace(id)
	}
	return source + "/" + escaper.Replace(id)
}

// newOrder takes source and id from the key.
func newOrder(key string) *order {
	source, id, named := strings.Cut(key, "/")
	if !named {
		source, id = defaultSource, key
	}
	return &order{
		key: key, source: source, id: strings.NewReplacer("%2F", "/", "%25", "%").Replace(id),
		byNumber: map[int]*generation{}, blamed: map[int]bool{},
	}
}

// add puts a record where the rules look for it.
func (o *order) add(f *fact) {
	if f.Topic == topicEvent {
		o.events = append(o.events, f)
		return
	}
	g := o.byNumber[f.sync.Generation]
	if g == nil {
		g = &generation{number: f.sync.Generation, before: map[int][]*fact{}, after: map[int][]*fact{}, parked: map[int][]*fact{}}
		o.byNumber[g.number] = g
	}
	if !slices.Contains(g.keys, f.sync.IdempotencyKey) {
		g.keys = append(g.keys, f.sync.IdempotencyKey)
	}
	attempt := f.sync.Version.attempt()
	switch {
	case f.postponed():
		return // it says of the order what the record before it said
	case isRetryTopic(f.Topic):
		g.parked[attempt] = append(g.parked[attempt], f)
		return // the projection does not read it
	case f.Topic == topicRequested:
		g.requested = append(g.requested, f)
	case f.Topic == topicCallback && !f.settlesNothing():
		g.callbacks = append(g.callbacks, f)
	case f.Topic == topicBefore:
		g.before[attempt] = append(g.before[attempt], f)
	case f.Topic == topicAfter:
		g.after[attempt] = append(g.after[attempt], f)
	case f.Topic == topicSuccess, f.Topic == topicFailed:
		g.terminal = append(g.terminal, f)
	}
	o.facts = append(o.facts, f)
}

// generations returns the order's generations, oldest first.
func (o *order) generations() []*generation {
	out := make([]*generation, 0, len(o.byNumber))
	for _, g := range o.byNumber {
		out = append(out, g)
	}
	slices.SortFunc(out, func(a, b *generation) int { return cmp.Compare(a.number, b.number) })
	return out
}

// newest returns the newest generation; nil: there is none.
func (o *order) newest() *generation {
	all := o.generations()
	if len(all) == 0 {
		return nil
	}
	return all[len(all)-1]
}

// hasKey reports whether any record of the order carries the idempotency key.
func (o *order) hasKey(key string) bool {
	for _, g := range o.byNumber {
		if slices.Contains(g.keys, key) {
			return true
		}
	}
	return false
}

// countRequests counts the requests of these kinds that were not refused. An unknown outcome counts: the request may have
// been carried out.
func (o *order) countRequests(kinds ...string) int {
	n := 0
	for _, r := range o.requests {
		if slices.Contains(kinds, r.Kind) && r.Outcome != history.Refused {
			n++
		}
	}
	return n
}

// released reports whether a request released the generation.
func (g *generation) released() bool {
	return slices.ContainsFunc(g.requested, func(f *fact) bool { return f.sync.Released != nil && *f.sync.Released })
}

// attempts returns the number of the last attempt that has an outcome.
func (g *generation) attempts() int {
	most := 0
	for n := range g.after {
		most = max(most, n)
	}
	return most
}

// settledBy reports whether a callback settled the generation in this way. A callback without closed_by counts by its
// status.
func (g *generation) settledBy(by string) bool {
	status := "failed"
	if by == "webhook" || by == "hand" {
		status = "success"
	}
	return slices.ContainsFunc(g.callbacks, func(f *fact) bool {
		return f.sync.ClosedBy == by || (f.sync.ClosedBy == "" && f.sync.Status == status)
	})
}
