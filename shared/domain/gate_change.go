package domain

import (
	"cmp"
	"strings"
	"time"
)

// Resync makes a new generation of an order that was requested before; it is sent at once. It keeps the idempotency key, unless the
// ERP has answered that key with success, or the caller wants a new one (promise 7). Records of the earlier generation that are
// still alive end as superseded.
func (g Gate) Resync(maxAttempts int, newKey bool, now time.Time) Gate {
	next := g
	next.Generation++
	next.State, next.HeldBy, next.ClosedBy = GateOpen, "", ""
	next.MaxAttempts, next.RequestNumber, next.CallbackNumber, next.Callback = maxAttempts, 0, 0, ""
	if g.KeyAnswered || newKey {
		next.KeyNumber++
		next.KeyAnswered = false
		next.IdempotencyKey = IdempotencyKey(g.Ref, next.KeyNumber)
	}
	next.Version = RequestVersion(next.Generation, 0)
	next.UpdatedAt = NormalizeTime(now)
	return next
}

// Release lets a held request go out; ok is false when none is held. Generation and key stay.
func (g Gate) Release(now time.Time) (next Gate, ok bool) {
	if g.State != GateHeld {
		return g, false
	}
	next = g
	next.State, next.HeldBy = GateOpen, ""
	next.RequestNumber++
	next.Version = RequestVersion(next.Generation, next.RequestNumber)
	next.UpdatedAt = NormalizeTime(now)
	return next, true
}

// Hold changes why a request is held; ok is false when none is held, or when the reason is the same. The log needs no fact of it,
// as the order stays pending.
func (g Gate) Hold(by HeldBy) (next Gate, ok bool) {
	if g.State != GateHeld || g.HeldBy == by {
		return g, false
	}
	next = g
	next.HeldBy = by
	return next, true
}

// Settlement ends a generation from outside the chain: a callback of the ERP, or an operator.
type Settlement struct {
	By             ClosedBy // webhook, rejected, hand or cancelled
	Reference      *string  // the ERP's, when it names one
	IdempotencyKey string   // that a callback echoes; empty: none
	Heard          *Heard   // of a callback; nil by hand, which is always about the current generation
}

// Heard is what is known of earlier callbacks when a callback comes. A callback carries no time that can be trusted, so only this
// tells an old one from a new one.
type Heard struct {
	Before     bool // the same body came before
	References int  // the newest generation that its reference is known of; 0: none
}

// Settled says what came of a settlement. The values are stable codes, for programs.
type Settled string

// What came of a settlement. All but the first change nothing.
const (
	SettledNow         Settled = "settled"           // it is a fact: publish it
	SettledBefore      Settled = "said_before"       // the last settlement said the same
	SettledRepeated    Settled = "repeated"          // the same body came before
	SettledOtherKey    Settled = "other_key"         // it carries another key than the current one
	SettledEarlier     Settled = "earlier_reference" // its reference is known of an earlier generation
	SettledUnnamed     Settled = "names_nothing"     // after a resync it carries neither the key nor a reference
	SettledNotByStatus Settled = "status"            // its status settles nothing
)

// Settle ends the current generation by a settlement. It releases a held request first: only a chain record writes the terminal
// event, and a held request has none. The caller makes sure that the order was requested.
//
// The key counts as answered only when the callback carries it. A callback without a key may be about any booking of the order. If
// it used up the key, the next resync would come with a new key, and book the order twice.
func (g Gate) Settle(s Settlement, now time.Time) (next Gate, released bool, what Settled) {
	if what := g.concerns(s); what != "" {
		return g, false, what
	}
	answers := s.By == ClosedByWebhook && s.IdempotencyKey == g.IdempotencyKey && !g.KeyAnswered
	callback := said(s.By, s.Reference)
	if g.Callback == callback && !answers {
		return g, false, SettledBefore
	}
	next, released = g.Release(now)
	next.State, next.ClosedBy, next.Callback = GateClosed, s.By, callback
	next.KeyAnswered = g.KeyAnswered || answers
	next.CallbackNumber++
	next.Version = CallbackVersion(next.Generation, next.CallbackNumber)
	next.UpdatedAt = NormalizeTime(now)
	return next, released, SettledNow
}

// concerns says why a settlement is not about the current generation; empty when it is. In generation 1 a callback can be about
// nothing else, unless it came before or names another key.
func (g Gate) concerns(s Settlement) Settled {
	switch {
	case s.Heard == nil:
		return ""
	case s.Heard.Before:
		return SettledRepeated
	case s.IdempotencyKey != "" && s.IdempotencyKey != g.IdempotencyKey:
		return SettledOtherKey
	case s.IdempotencyKey != "" || g.Generation == 1:
		return ""
	case s.Reference == nil:
		return SettledUnnamed
	case s.Heard.References > 0 && s.Heard.References < g.Generation:
		return SettledEarlier
	default:
		return ""
	}
}

// ReferenceOf is the generation to which a callback's reference belongs from then on, so that it does not count for a later one; 0
// when that cannot be known.
func (g Gate) ReferenceOf(s Settlement) int {
	switch {
	case s.Reference == nil || s.Heard == nil:
		return 0
	case s.IdempotencyKey == g.IdempotencyKey:
		return g.Generation
	case s.IdempotencyKey == "":
		return cmp.Or(s.Heard.References, g.Generation)
	case g.hadKey(s.IdempotencyKey):
		return max(s.Heard.References, g.Generation-1)
	default:
		return 0
	}
}

// hadKey reports whether an earlier generation of the order had the key.
func (g Gate) hadKey(key string) bool {
	for n := 1; n < g.KeyNumber; n++ {
		if key == IdempotencyKey(g.Ref, n) {
			return true
		}
	}
	return false
}

// said is the text of a settlement by which a repeated one is recognised.
func said(by ClosedBy, reference *string) string {
	if reference == nil {
		return string(by)
	}
	return string(by) + " " + *reference
}

// SettledSync is the sync of the gate's last settlement, for its fact.
func (g Gate) SettledSync(orderID *int64, reference *string, cause string) Sync {
	s := g.RequestedSync(orderID, cause)
	s.Status, s.Released, s.ErpReference, s.Version = Failed, nil, reference, g.Version
	s.ClosedBy, s.KeyAnswered = g.ClosedBy, g.KeyAnswered
	if g.ClosedBy.Settles() {
		s.Status = Success
	} else {
		s.ErrorCode = ErrorClosed
	}
	return s
}

// CallbackReference is the reference in the last callback that settled the order.
func (g Gate) CallbackReference() *string {
	if _, reference, named := strings.Cut(g.Callback, " "); named {
		return &reference
	}
	return nil
}
