package domain

import "time"

// OrderState is the state of an order when somebody asks something of it.
type OrderState string

// The states of an order.
const (
	StateUnknown  OrderState = "unknown"           // nobody has published it
	StateKnown    OrderState = "known"             // published, never invoiced: no sync
	StatePending  OrderState = "pending"           // held for the cron, or because the connector was off
	StateQueued   OrderState = "queued"            // on its way to its first call
	StateWaiting  OrderState = "waiting_for_retry" // parked until its next attempt is due
	StateInFlight OrderState = "in_flight"         // being called, or due
	StateSuccess  OrderState = "success"
	StateFailed   OrderState = "failed"
)

// OrderStates lists them in the order in which an order may pass through them.
var OrderStates = []OrderState{StateUnknown, StateKnown, StatePending, StateQueued, StateWaiting, StateInFlight, StateSuccess, StateFailed}

// Projected is the order's row in the projection; it may be behind the gate.
type Projected struct {
	Status        Status // empty: no row yet
	Generation    int
	Attempts      int
	NextAttemptAt *time.Time
	Stamp         Stamp // of status and error
}

// StateOf is the state of an order by its gate and, while the gate is open, by the projection. The projection may lag: an order that
// it shows as waiting may be called at this moment. That does no harm: the chain has the last word on what is sent.
func StateOf(published bool, g *Gate, seen Projected, now time.Time) OrderState {
	switch {
	case g == nil || g.State == GateNone:
		if published {
			return StateKnown
		}
		return StateUnknown
	case g.State == GateHeld:
		return StatePending
	case g.State == GateClosed && g.ClosedBy.Settles():
		return StateSuccess
	case g.State == GateClosed:
		return StateFailed
	case seen.Status == "" || seen.Generation != g.Generation:
		return StateQueued
	case g.Version == seen.Stamp.Version && g.Newer(seen.Stamp):
		return StateQueued // its record was sent back, and the projection still shows the failure
	case seen.Status == Success:
		return StateSuccess // the gate is not closed yet
	case seen.Status == Failed:
		return StateFailed
	case seen.Status == Queued && seen.NextAttemptAt != nil && seen.NextAttemptAt.After(now):
		return StateWaiting
	case seen.Status == InProgress || seen.NextAttemptAt != nil:
		return StateInFlight
	default:
		return StateQueued
	}
}

// CaughtUp is the gate with what only the projection knows yet: that the ERP has answered with success. A callback or an operator
// would have closed the gate under its lock. So a success that the gate lacks is the ERP's answer, and the key is used up.
func (g Gate) CaughtUp(seen Projected) Gate {
	if g.State == GateOpen && seen.Generation == g.Generation && seen.Status == Success {
		g.KeyAnswered = true
	}
	return g
}

// Request is the kind of a command about an order.
type Request string

// The requests.
const (
	RequestSync     Request = "sync"             // bring it to the ERP, if that is still to be done
	RequestResync   Request = "resync"           // once more, unless it has reached the ERP
	RequestAnew     Request = "resync_new_key"   // once more under a new idempotency key: what the ERP has booked, it books again
	RequestAccepted Request = "webhook_accepted" // the ERP says that it has the order
	RequestRejected Request = "webhook_rejected" // the ERP says that it will not take it
	RequestCancel   Request = "cancel"           // by hand: do not send it
	RequestSettle   Request = "settle"           // by hand: the ERP has it already
	RequestSendNow  Request = "send_now"         // by hand: do not wait any longer
)

// Requests lists them.
var Requests = []Request{RequestSync, RequestResync, RequestAnew, RequestAccepted, RequestRejected, RequestCancel, RequestSettle, RequestSendNow}

// Action is what a request leads to.
type Action string

// The actions.
const (
	ActNothing     Action = "nothing"          // answer with the state; a sync or resync waits for the end of what is under way
	ActCreate      Action = "first_generation" // make it and send it
	ActRelease     Action = "release"          // of the held request
	ActResync      Action = "next_generation"  // make it and send it; what is left of the one before ends as superseded
	ActSettle      Action = "settle"           // say that the generation has ended
	RefuseNotFound Action = "refuse_not_found" // there is no such order, or no sync of it
	RefuseConflict Action = "refuse_conflict"  // not possible in this state
)

// Refuses reports whether nothing is done.
func (a Action) Refuses() bool { return a == RefuseNotFound || a == RefuseConflict }

// actions is the table of what each request does in each state, in the order of OrderStates.
var actions = map[Request][8]Action{
	//               unknown     known        pending     queued       waiting    in flight    success      failed
	RequestSync:     {RefuseNotFound, ActCreate, ActRelease, ActNothing, ActNothing, ActNothing, ActNothing, ActNothing},
	RequestResync:   {RefuseNotFound, ActCreate, ActRelease, ActNothing, ActResync, ActNothing, RefuseConflict, ActResync},
	RequestAnew:     {RefuseNotFound, ActCreate, ActRelease, ActNothing, ActResync, ActNothing, ActResync, ActResync},
	RequestAccepted: {RefuseNotFound, RefuseNotFound, ActSettle, ActSettle, ActSettle, ActSettle, ActSettle, ActSettle},
	RequestRejected: {RefuseNotFound, RefuseNotFound, ActSettle, ActSettle, ActSettle, ActSettle, ActSettle, ActSettle},
	RequestCancel:   {RefuseNotFound, RefuseNotFound, ActSettle, RefuseConflict, ActSettle, RefuseConflict, RefuseConflict, RefuseConflict},
	RequestSettle:   {RefuseNotFound, RefuseNotFound, ActSettle, ActSettle, ActSettle, ActSettle, ActSettle, ActSettle},
	RequestSendNow:  {RefuseNotFound, RefuseNotFound, ActRelease, ActNothing, ActResync, ActNothing, RefuseConflict, RefuseConflict},
}

// ActionFor is what a request does to an order in this state.
func ActionFor(r Request, s OrderState) Action {
	for i, state := range OrderStates {
		if state == s {
			return actions[r][i]
		}
	}
	return RefuseConflict
}

// NeedsConnector reports whether the request is refused while the connector is off: those that send, and those that the module
// refused then. An operator can cancel and settle orders at any time.
func (r Request) NeedsConnector() bool { return r != RequestCancel && r != RequestSettle }

// NeedsReason reports whether the request needs a reason: those of operators, and those that may book an order twice.
func (r Request) NeedsReason() bool {
	switch r {
	case RequestAnew, RequestCancel, RequestSettle, RequestSendNow:
		return true
	default:
		return false
	}
}
