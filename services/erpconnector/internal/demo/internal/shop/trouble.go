package shop

// Trouble is what goes wrong when the ERP is sent an order. Every order has one in store, drawn with the order; the share
// of orders that meet theirs is the caller's to say, and a smaller share is part of a greater one.
type Trouble struct {
	Kind TroubleKind
	Luck float64 // in [0,1): an order meets its trouble when the share is greater
	Size int     // 1 to 3: how often, or how long
}

// TroubleKind is what goes wrong.
type TroubleKind int

// The kinds of trouble; the zero value is none.
const (
	Unavailable TroubleKind = iota + 1 // 503
	Limited                            // 429 with Retry-After
	Slow                               // an answer that takes its time
	Lost                               // booked, but the answer does not arrive
	Broken                             // the connection breaks before anything is booked
	Rejected                           // 422, which no retry mends
)

var troubles = []TroubleKind{
	Unavailable, Unavailable, Unavailable, Limited, Limited, Slow, Slow, Lost, Lost, Broken, Rejected,
}

func (d dice) trouble() Trouble {
	return Trouble{Kind: pick(d, troubles), Luck: d.Float64(), Size: d.between(1, 3)}
}
