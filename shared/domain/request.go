package domain

import "time"

// OrderState is where an order stands when somebody asks something of it.
type OrderState string

// The standings of an order.
const (
	Unknown        OrderState = "unknown"           // nobody has published it
	Known          OrderState = "known"             // published, never invoiced: no sync
	StandsPending  OrderState = "pending"           // held for the cron, or because the connector was off
	StandsQueued   OrderState = "queued"            // on its way to its first call
	StandsWaiting  OrderState = "waiting_for_retry" // parked until its next attempt is due
	StandsInFlight OrderState = "in_flight"         // being called, or due
	StandsSuccess  OrderState = "success"
	StandsFailed   OrderState = "failed"
)

// OrderStates lists them in the order in which an order may pass through them.
var OrderStates = []OrderState{Unknown, Known, StandsPending, StandsQueued, StandsWaiting, StandsInFlight, StandsSuccess, StandsFailed}

// Projected is what the projection tells of the order's row; it may be behind the gate.
type Projected struct {
	Status        Status // empty: no row yet
	Generation    int
	Attempts      int
	NextAttemptAt *time.Time
	Stamp         Stamp // of status and error
}

// StateOf tells where an order stands, by its gate and, while the gate is open, by the projection. The projection may lag:
// an order that it shows as waiting may be called at this moment. What follows from that is harmless (see Request).
func StateOf(published bool, g *Gate, seen Projected, now time.Time) OrderState {
	switch {
	case g == nil || g.State == GateNone:
		if published {
			return Known
		}
		return Unknown
	case g.State == GateHeld:
		return StandsPending
	case g.State == GateClosed && g.ClosedBy.Settles():
		return StandsSuccess
	case g.State == GateClosed:
		return StandsFailed
	case seen.Status == "" || seen.Generation != g.Generation:
		return StandsQueued
	case g.Version == seen.Stamp.Version && g.Newer(seen.Stamp):
		return StandsQueued // its record was sent back, and the projection still shows the failure
	case seen.Status == Success:
		return StandsSuccess // the gate is not told yet
	case seen.Status == Failed:
		return StandsFailed
	case seen.Status == Queued && seen.NextAttemptAt != nil && seen.NextAttemptAt.After(now):
		return StandsWaiting
	case seen.Status == InProgress || seen.NextAttemptAt != nil:
		return StandsInFlight
	default:
		return StandsQueued
	}
}

// CaughtUp is the gate as the projection's row makes it, when the row has heard of the answer and the gate has not yet.
// A callback or a hand would have closed the gate under its lock, so a success that the gate lacks is the ERP's answer:
// its key is used up.
func (g Gate) CaughtUp(seen Projected) Gate {
	if g.State == GateOpen && seen.Generation == g.Generation && seen.Status == Success {
		g.KeyAnswered = true
	}
	return g
}

// Request is what somebody asks of an order.
type Request string

// The requests.
const (
	RequestSync     Request = "sync"             // bring it to the ERP if that is still to be done
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
	ActNothing     Action = "nothing"          // tell where it stands; a sync or resync waits for the end of what is under way
	ActCreate      Action = "first_generation" // make it and send it
	ActRelease     Action = "release"          // of the held request
	ActResync      Action = "next_generation"  // make it and send it; what is left of the one before ends as superseded
	ActSettle      Action = "settle"           // say that the generation has ended
	RefuseNotFound Action = "refuse_not_found" // there is no such order, or no sync of it
	RefuseConflict Action = "refuse_conflict"  // not possible where the order stands
)

// actions is the table of what follows from each request in each standing, in the order of OrderStates.
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

// ActionFor is what follows from the request where the order stands.
func ActionFor(r Request, s OrderState) Action {
	for i, standing := range OrderStates {
		if standing == s {
			return actions[r][i]
		}
	}
	return RefuseConflict
}

// NeedsConnector reports whether the request is refused while the connector is off: what sends, and what the module
// refused then. By hand an order can be cancelled and settled all the same.
func (r Request) NeedsConnector() bool { return r != RequestCancel && r != RequestSettle }

// NeedsReason reports whether somebody must say why: what is done by hand, and what may book an order twice.
func (r Request) NeedsReason() bool {
	switch r {
	case RequestAnew, RequestCancel, RequestSettle, RequestSendNow:
		return true
	default:
		return false
	}
}
