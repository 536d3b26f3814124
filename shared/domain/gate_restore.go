package domain

// Restored is the gate after a fact of the log that a gate makes: a request, a release, a settlement. So a gate that was lost, or
// that is behind since its database was restored, knows again what was published. Facts may come in any order and any number of
// times. Where gate and log contradict each other about the same number, the log is right, as others have read it. So the sync id
// of the log is the order's, whatever the gate has.
//
// A held request counts as held because the connector was off. The log does not say why it was held, and such a request is
// released, or left to the cron, as the settings of today say. How the ERP's answer ended a generation is not among these facts;
// the gate gets that from the projection.
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

// GateOf is the gate as far as a fact that it made shows it: generation and key.
func GateOf(f Sync) Gate {
	return Gate{Ref: f.Ref(), SyncID: f.SyncID, Generation: f.Generation}.carrying(f)
}

// carrying takes over the fields that all facts of a generation have.
func (g Gate) carrying(f Sync) Gate {
	g.KeyAnswered = g.KeyAnswered && g.IdempotencyKey == f.IdempotencyKey
	g.IdempotencyKey, g.KeyNumber = f.IdempotencyKey, g.keyNumber(f)
	g.MaxAttempts, g.RequestedAt = f.MaxAttempts, f.CreatedAt
	g.Version = max(g.Version, f.Version)
	return g
}

// keyNumber finds the number of a key of the order. There are no more keys than generations.
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
