package domain

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"time"
)

// GateState is what the gate says of its generation.
type GateState string

// The states of a gate.
const (
	GateNone   GateState = "none"   // no generation yet
	GateHeld   GateState = "held"   // requested, not released
	GateOpen   GateState = "open"   // a chain record is alive
	GateClosed GateState = "closed" // the generation has ended, or will end with its next record
)

// HeldBy says why a request is held.
type HeldBy string

// The reasons to hold a request.
const (
	HeldByCron     HeldBy = "cron"
	HeldByDisabled HeldBy = "disabled"
)

// ClosedBy says who ended a generation.
type ClosedBy string

// Who ends a generation. The first two are the chain's own ends and never stand in a terminal event's closed_by.
const (
	ClosedByAnswer     ClosedBy = "answer"     // the ERP answered with success
	ClosedByFailure    ClosedBy = "failure"    // a final answer, or the attempts were used up
	ClosedByWebhook    ClosedBy = "webhook"    // an accepting callback
	ClosedByHand       ClosedBy = "hand"       // settled by an operator: the ERP has it
	ClosedByRejected   ClosedBy = "rejected"   // a rejecting callback
	ClosedByCancelled  ClosedBy = "cancelled"  // cancelled by an operator
	ClosedBySuperseded ClosedBy = "superseded" // a newer generation was made
	// ClosedByDeadLetter: the generation's one living record could not be read and stands among the dead letters.
	ClosedByDeadLetter ClosedBy = "dead_letter"
)

// Settles reports whether the end means that the ERP has the order.
func (c ClosedBy) Settles() bool {
	return c == ClosedByAnswer || c == ClosedByWebhook || c == ClosedByHand
}

// Gate is the write side of one order's sync. Under its row lock it allots generations, keys and version numbers. It can stop a
// chain record, but that is advice only: that a generation ends exactly once rests on the chain.
type Gate struct {
	Ref            OrderRef
	SyncID         int64 // 0 until the first request
	Generation     int   // 0 until the first request
	State          GateState
	HeldBy         HeldBy
	ClosedBy       ClosedBy
	IdempotencyKey string
	KeyNumber      int
	KeyAnswered    bool // the current key is known to have been answered with success
	MaxAttempts    int
	RequestNumber  int    // of the last class 0 fact of this generation
	CallbackNumber int    // of the last class 2 fact of this generation; 0: none
	Callback       string // who closed and the reference, as that fact says; so the same is not written twice
	Version        Version
	RequestedAt    time.Time // when the first generation was made
	UpdatedAt      time.Time
}

// Status is the sync's status as far as the gate knows it. It is for the time until the projection has caught up.
func (g Gate) Status() Status {
	switch {
	case g.State == GateHeld:
		return Pending
	case g.State == GateOpen:
		return Queued
	case g.State == GateClosed && g.ClosedBy.Settles():
		return Success
	case g.State == GateClosed:
		return Failed
	default:
		return NotSynced
	}
}

// RequestPolicy says whether a new request goes out at once.
type RequestPolicy struct {
	Enabled       bool // the connector is on
	ImmediateSync bool // false: requests wait for the cron
	MaxAttempts   int
}

// Request makes the first generation of an order, on its first invoice. ok is false when the order was requested before; then
// nothing is sent, and syncID is not used.
func (g Gate) Request(syncID int64, in RequestPolicy, now time.Time) (next Gate, ok bool) {
	if g.State != GateNone {
		return g, false
	}
	next = g
	next.SyncID, next.Generation, next.MaxAttempts = syncID, 1, in.MaxAttempts
	next.KeyNumber, next.KeyAnswered = 1, false
	next.IdempotencyKey = IdempotencyKey(g.Ref, 1)
	next.State = GateOpen
	switch {
	case !in.Enabled:
		next.State, next.HeldBy = GateHeld, HeldByDisabled
	case !in.ImmediateSync:
		next.State, next.HeldBy = GateHeld, HeldByCron
	}
	next.Version = RequestVersion(1, 0)
	next.RequestedAt, next.UpdatedAt = NormalizeTime(now), NormalizeTime(now)
	return next, true
}

// RequestedSync is the sync of the gate's last request or release, for its fact.
func (g Gate) RequestedSync(orderID *int64, cause string) Sync {
	released := g.State != GateHeld
	status := Queued
	if !released {
		status = Pending
	}
	return Sync{
		SyncID: g.SyncID, Source: g.Ref.Source, OrderIncrementID: g.Ref.IncrementID, OrderID: orderID,
		Status: status, MaxAttempts: g.MaxAttempts, IdempotencyKey: g.IdempotencyKey, Generation: g.Generation,
		Version:  RequestVersion(g.Generation, g.RequestNumber),
		Released: &released, Cause: cause, CreatedAt: g.RequestedAt, UpdatedAt: g.UpdatedAt,
	}
}

// IdempotencyKey derives the n-th key of an order, from 1: ERP_ and 32 hex digits of SHA-256 over source, increment id
// and number, separated by NUL, which none of them can hold.
func IdempotencyKey(ref OrderRef, number int) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\x00%s\x00%d", ref.Source, ref.IncrementID, number))
	return "ERP_" + hex.EncodeToString(sum[:16])
}

// Advice is what a gate says to a chain record.
type Advice struct {
	Stop     bool
	Ended    bool     // another record writes the terminal event, or it is in the log already: consume this record, write nothing
	ClosedBy ClosedBy // with Stop: for the terminal event
	Alarm    string   // not empty: gate and log contradict each other, and an operator must know
}

// Advise reads the gate for a chain record. A gate that is missing, or older than the record, never stops it, as only the chain is
// a guarantee; it raises an alarm. known are versions of attempts that are in the log already. When they show that the record was
// consumed before (see Passed), another record of the chain ends the generation, or has ended it.
func Advise(g *Gate, s Sync, known ...Version) Advice {
	switch {
	case slices.ContainsFunc(known, func(v Version) bool { return Passed(s, v) }):
		return Advice{Stop: true, Ended: true}
	case g == nil:
		return Advice{Alarm: "gate missing"}
	case g.Generation < s.Generation:
		return Advice{Alarm: "gate older than the record"}
	case g.Generation > s.Generation:
		return Advice{Stop: true, ClosedBy: ClosedBySuperseded}
	case g.State == GateClosed && (g.ClosedBy == ClosedByAnswer || g.ClosedBy == ClosedByFailure):
		return Advice{Stop: true, Ended: true, Alarm: "the generation has ended, yet a record of it is alive"}
	case g.State == GateClosed:
		return Advice{Stop: true, ClosedBy: g.ClosedBy}
	case g.State != GateOpen:
		return Advice{Alarm: "gate held, yet a released record is alive"}
	default:
		return Advice{}
	}
}
