package shop

// Fault is what goes wrong when the ERP is sent an order. Every order has one in store, drawn with the order; the share
// of orders that meet theirs is the caller's to say, and a smaller share is part of a greater one.
type Fault struct {
	Kind FaultKind
	Luck float64 // in [0,1): an order meets its trouble when the share is greater
	Size int     // 1 to 3: how often, or how long
}

// FaultKind is what goes wrong.
type FaultKind int

// The kinds of trouble; the zero value is none.
const (
	Unavailable FaultKind = iota + 1 // 503
	Limited                          // 429 with Retry-After
	Slow                             // an answer that takes its time
	Lost                             // booked, but the answer does not arrive
	Broken                           // the connection breaks before anything is booked
	Rejected                         // 422, which no retry mends
)

// faults has each kind as often as it is to come: what a retry mends comes more often than what none does.
var faults = []FaultKind{
	Unavailable, Unavailable, Unavailable, Limited, Limited, Slow, Slow, Lost, Lost, Broken, Rejected,
}

// fault draws the same three numbers whatever they come to, so that what is drawn later stays as it is.
func (d rng) fault() Fault {
	return Fault{Kind: pick(d, faults), Luck: d.Float64(), Size: d.between(1, 3)}
}
