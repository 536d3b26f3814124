package domain

// Restored is the gate with a fact of the log taken into it, of those that a gate makes: a request, its release, a
// settlement. So a gate that was lost, or set back with its database, comes to know again what was published. Facts may
// come in any order and any number of times. Where gate and log say two things of the same number, the log is right: it is
// what others have seen. So the log's sync id is the order's, whatever the gate has.
//
// A request that is held is held as if the connector had been off: the log does not tell why, and such a one is released
// or left to the cron as the settings of today say. How a generation ended by the ERP's answer is not among these facts;
// the projection tells the gate of it.
func (g Gate) Restored(f Sync) Gate {
	requests := f.Version.Class() == ClassRequest && f.Released != nil // a note has its number, and is no request
	settles := f.Version.Class() == ClassCallback && f.ClosedBy != ""
	if !requests && !settles {
		return g
	}
	next := g
	next.SyncID = f.SyncID
	if f.UpdatedAt.After(next.UpdatedAt) {
		next.UpdatedAt = f.UpdatedAt
	}
	if f.Generation < g.Generation {
		return next
	}
	if f.Generation > g.Generation {
		next.Generation, next.State, next.HeldBy, next.ClosedBy = f.Generation, GateOpen, "", ""
		next.RequestNumber, next.CallbackNumber, next.Callback, next.Version = 0, 0, "", 0
	}
	next = next.carrying(f)
	if requests {
		return next.restoredRequest(f)
	}
	return next.restoredSettlement(f)
}

// carrying takes over what all facts of a generation say alike.
func (g Gate) carrying(f Sync) Gate {
	g.KeyAnswered = g.KeyAnswered && g.IdempotencyKey == f.IdempotencyKey
	g.IdempotencyKey, g.KeyNumber = f.IdempotencyKey, g.keyNumber(f)
	g.MaxAttempts, g.RequestedAt = f.MaxAttempts, f.CreatedAt
	g.Version = max(g.Version, f.Version)
	return g
}

// keyNumber finds out which of the order's keys it is; there is at most one more with each generation.
func (g Gate) keyNumber(f Sync) int {
	for n := f.Generation; n > 0; n-- {
		if IdempotencyKey(g.Ref, n) == f.IdempotencyKey {
			return n
		}
	}
	return g.KeyNumber
}

func (g Gate) restoredRequest(f Sync) Gate {
	n := f.Version.Number()
	if n < g.RequestNumber {
		return g
	}
	g.RequestNumber = n
	switch {
	case g.State == GateClosed: // by a fact or an answer that came after the request
	case *f.Released:
		g.State, g.HeldBy = GateOpen, ""
	default:
		g.State, g.HeldBy = GateHeld, HeldByDisabled
	}
	return g
}

func (g Gate) restoredSettlement(f Sync) Gate {
	g.KeyAnswered = g.KeyAnswered || f.KeyAnswered
	n := f.Version.Number()
	if n < g.CallbackNumber {
		return g
	}
	g.CallbackNumber, g.Callback = n, said(f.ClosedBy, f.ErpReference)
	g.State, g.HeldBy, g.ClosedBy = GateClosed, "", f.ClosedBy
	return g
}
