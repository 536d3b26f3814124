package domain

import (
	"fmt"
	"time"
)

// DeadLetter is what is known of a chain record that its consumer could not read. All of it is from the headers.
type DeadLetter struct {
	Version       Version    // of the record, by its ce_id
	At            time.Time  // the record's own time; that of a retry is the end of its last call
	NextAttemptAt *time.Time // when the retry is due
}

// calls is how many ERP calls had ended before the record was written.
func (l DeadLetter) calls() int { return l.Version.attemptOrZero() }

// version is that of the facts about the dead letter: above the record's own version and those before it, below the next attempt
// and below a terminal event.
func (l DeadLetter) version() Version {
	return AttemptVersion(l.Version.Generation(), l.calls(), PhaseAfter)
}

// SetAside closes the gate of a generation whose living record has become a dead letter: nothing is sent until somebody asks for
// it. seen is the highest version of a request or an attempt that the projection shows.
//
// ok is false when the dead letter stops nothing: the generation has ended, or the gate is at another one, or another record of it
// is alive, as something newer than the dead letter's record is known.
func (g Gate) SetAside(l DeadLetter, seen Version, now time.Time) (next Gate, ok bool) {
	if g.State != GateOpen || l.Version.Generation() != g.Generation || !g.isChainRecord(l.Version) || movedPast(l, seen) {
		return g, false
	}
	next = g
	next.State, next.ClosedBy = GateClosed, ClosedByDeadLetter
	next.Version, next.UpdatedAt = l.version(), g.after(l, now)
	return next, true
}

// isChainRecord reports whether a record of this version can keep the generation alive. That is a retry, or the last request or
// release; those before it were held.
func (g Gate) isChainRecord(v Version) bool {
	switch v.Class() {
	case ClassRequest:
		return v.Number() == g.RequestNumber
	case ClassAttempt:
		return v.Phase() == PhaseAfter && v.Attempt() > 0
	default:
		return false
	}
}

// movedPast reports whether a fact is known that only a later record of the chain, or the end of the generation, can have written.
// The intent of the next call does not count: the record that wrote it is still the living one.
func movedPast(l DeadLetter, seen Version) bool {
	if seen.Generation() != l.Version.Generation() || seen.Class() != ClassAttempt {
		return seen.Generation() > l.Version.Generation()
	}
	return seen > l.version() && seen != AttemptVersion(seen.Generation(), l.calls()+1, PhaseBefore)
}

// maxClockSkew is by how much the clocks of our machines may differ. A record with a time still later has a damaged time.
const maxClockSkew = time.Minute

// after is a time for a fact about the dead letter that is later than the facts it replaces, whatever the clocks say. It must be: of
// facts of the same version, the latest counts.
func (g Gate) after(l DeadLetter, now time.Time) time.Time {
	now = NormalizeTime(now)
	for _, t := range []time.Time{NormalizeTime(g.UpdatedAt), NormalizeTime(l.At)} {
		if !now.After(t) && t.Before(now.Add(maxClockSkew)) {
			now = t.Add(time.Millisecond)
		}
	}
	return now
}

// Redrive opens the gate that the dead letter has closed, for the record that goes back to its topic. ok is false when the gate has
// changed since, or when something else has closed it.
func (g Gate) Redrive(l DeadLetter, now time.Time) (next Gate, ok bool) {
	if g.State != GateClosed || g.ClosedBy != ClosedByDeadLetter || g.Version != l.version() {
		return g, false
	}
	next = g
	next.State, next.ClosedBy = GateOpen, ""
	next.UpdatedAt = g.after(l, now)
	return next, true
}

// DeadLetterSync is the sync of the fact that the dead letter has closed the gate, or that a redrive has opened it again.
func (g Gate) DeadLetterSync(l DeadLetter, orderID *int64, cause string) Sync {
	s := g.RequestedSync(orderID, cause)
	s.Released, s.Version, s.Attempts = nil, g.Version, l.calls()
	if at := NormalizeTime(l.At); s.Attempts > 0 && !l.At.IsZero() && at.Before(g.UpdatedAt) {
		s.LastAttemptAt = &at
	}
	if g.State == GateClosed {
		s.Status, s.ErrorCode, s.ClosedBy = Failed, ErrorUnreadable, g.ClosedBy
	} else {
		s.NextAttemptAt = l.NextAttemptAt
	}
	return s
}

// IsRedrive reports whether the sync of a callback is the fact that an operator sent the order's record back. Its cause says who did,
// and why. A settlement has another class, and the fact that the record became a dead letter says that the order has failed.
func (s Sync) IsRedrive() bool { return s.Version.Class() == ClassAttempt && s.Status == Queued }

// DeadLetterText is what an order's last_error says while its record is among the dead letters.
func DeadLetterText(ref OrderRef) string {
	order := ref.IncrementID
	if ref.Source != DefaultSource {
		order += " --source " + ref.Source
	}
	return fmt.Sprintf("the order's record could not be read and stands among the dead letters: resync-order sends the order again; "+
		"erpconnector deadletter list --order %s shows the record", order)
}

// Newer reports whether the gate has allotted a fact that is newer than this stamp. The time counts too: a redrive has the version
// of the fact that it takes back.
func (g Gate) Newer(than Stamp) bool {
	if g.Version != than.Version {
		return g.Version > than.Version
	}
	return g.Version.Class() == ClassAttempt && g.UpdatedAt.After(than.Time)
}
