package domain

import (
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
	next.UpdatedAt = Time(now)
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
	next.UpdatedAt = Time(now)
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
	By        ClosedBy // webhook, rejected, hand or cancelled
	Reference *string  // the ERP's, when it names one
	// IdempotencyKey, when given, must be the current one: an echo of an older key settles nothing.
	IdempotencyKey string
}

// Settled is what a settlement came to.
type Settled int

// What a settlement came to.
const (
	SettledNow    Settled = iota + 1 // it is a fact: publish it
	SettledBefore                    // the same was said before
	SettledOther                     // it is about an older key
)

// Settle takes a settlement of the current generation. A held request is released with it: only a record of the chain
// writes the terminal event, and of a held one none is alive. The caller has made sure that the order was requested.
func (g Gate) Settle(s Settlement, now time.Time) (next Gate, released bool, what Settled) {
	if s.IdempotencyKey != "" && s.IdempotencyKey != g.IdempotencyKey {
		return g, false, SettledOther
	}
	callback := said(s.By, s.Reference)
	if g.Callback == callback {
		return g, false, SettledBefore
	}
	next, released = g.Release(now)
	next.State, next.ClosedBy, next.Callback = GateClosed, s.By, callback
	next.KeyAnswered = g.KeyAnswered || s.By == ClosedByWebhook
	next.CallbackNumber++
	next.Version = CallbackVersion(next.Generation, next.CallbackNumber)
	next.UpdatedAt = Time(now)
	return next, released, SettledNow
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
	s.ClosedBy = g.ClosedBy
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
