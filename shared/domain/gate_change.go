package domain

import (
	"cmp"
	"strings"
	"time"
)

// Resync makes a new generation of an order that was requested before, sent at once. It carries the current idempotency
// key, unless that is known to have been answered with success, or a new one is asked for (promise 7). Records of the
// generation before that are still alive end as superseded.
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

// Release lets a held request go out; ok is false when none is held. Its generation and key stay.
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

// Hold changes why a request is held; ok is false when none is held, or for that reason already. It is no fact: the
// order stays pending.
func (g Gate) Hold(by HeldBy) (next Gate, ok bool) {
	if g.State != GateHeld || g.HeldBy == by {
		return g, false
	}
	next = g
	next.HeldBy = by
	return next, true
}

// Settlement is what somebody beside the chain says about a generation.
type Settlement struct {
	By             ClosedBy // webhook, rejected, hand or cancelled
	Reference      *string  // the ERP's, when it names one
	IdempotencyKey string   // that a callback echoes; empty: none
	Heard          *Heard   // of a callback; nil by hand, which is always about the current generation
}

// Heard is what is known of the ERP's word when a callback comes. A callback carries no time that can be trusted, so
// only this tells an old one from a new one.
type Heard struct {
	Before     bool // the same body came before
	References int  // the newest generation that its reference is known of; 0: none
}

// Settled is what a settlement came to. The values are stable codes, for programs.
type Settled string

// What a settlement came to. All but the first change nothing.
const (
	SettledNow         Settled = "settled"           // it is a fact: publish it
	SettledBefore      Settled = "said_before"       // the last settlement said the same
	SettledRepeated    Settled = "repeated"          // the same body came before
	SettledOtherKey    Settled = "other_key"         // it carries another key than the current one
	SettledEarlier     Settled = "earlier_reference" // its reference is known of an earlier generation
	SettledUnnamed     Settled = "names_nothing"     // after a resync it carries neither the key nor a reference
	SettledNotByStatus Settled = "status"            // its status settles nothing
)

// Settle takes a settlement of the current generation. A held request is released with it: only a record of the chain
// writes the terminal event, and of a held one none is alive. The caller has made sure that the order was requested.
//
// The key counts as answered only when the callback carries it: a callback without it may speak of any booking of the
// order, and a new key would then book the order twice.
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

// concerns is empty when the settlement is about the current generation, and else says why it is not. In generation 1
// there is nothing else that a callback could be about, unless it came before or names a key.
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

// ReferenceOf is the generation that a callback's reference is known of from then on, so that it does not count for a later
// one; 0 when the callback says nothing of that.
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

// hadKey reports whether the order had the key before the current one.
func (g Gate) hadKey(key string) bool {
	for n := 1; n < g.KeyNumber; n++ {
		if key == IdempotencyKey(g.Ref, n) {
			return true
		}
	}
	return false
}

// said is what a settlement came to, so that the same is not said twice.
func said(by ClosedBy, reference *string) string {
	if reference == nil {
		return string(by)
	}
	return string(by) + " " + *reference
}

// SettledSync is the sync of the callback fact that the gate's last settlement stands for.
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

// CallbackReference is the reference that the last settling callback named.
func (g Gate) CallbackReference() *string {
	if _, reference, named := strings.Cut(g.Callback, " "); named {
		return &reference
	}
	return nil
}
