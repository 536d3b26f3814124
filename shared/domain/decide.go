package domain

import (
	"math"
	"time"
)

// RetryPolicy says which answers of the ERP are tried again, and when.
type RetryPolicy struct {
	AnswerPolicy

	BaseDelay time.Duration // the module's base_delay_seconds
	MaxDelay  time.Duration // 0: no cap beyond MaxRetryAfter
	Jitter    float64       // 0…1: the delay is lengthened by up to this share of it

	// GiveUpAfter is how long after the generation's request, or its release, a further attempt may begin; 0: however long.
	GiveUpAfter time.Duration
	LookUp      LookupPath // where the ERP says whether it has booked an order in doubt; empty: nobody asks
}

// Decision is the outcome of one call: the sync for after_send and, when no retry follows, the one for the terminal event.
type Decision struct {
	After    Sync
	Retry    *time.Time // when the next attempt is due
	Terminal *Sync      // status success or failed, nil when a retry follows
}

// Sending is the sync for before_send. It is the intent only; the attempt is not counted yet.
func Sending(s Sync, now time.Time) Sync {
	s.Status = InProgress
	s.NextAttemptAt = nil
	s.ErrorCode, s.ErpReference, s.Released, s.Cause = "", nil, nil, ""
	s.Doubtful, s.Lookup, s.RequestedAt = false, "", nil
	s.Version = AttemptVersion(s.Generation, s.Attempts+1, PhaseBefore)
	s.UpdatedAt = NormalizeTime(now)
	return s
}

// Decide counts the attempt and decides what comes next. random is in [0,1) and adds the policy's jitter to the delay. The steps
// are those of the module: count, compare with the maximum, wait 2^attempts × base. An attempt that would be due too long after the
// request is not waited for.
func Decide(s Sync, o Outcome, p RetryPolicy, now time.Time, random float64) Decision {
	requested := p.requestedAt(s)
	doubtful := s.Doubtful || o.Lookup == LookupNotFound || o.Doubtful && p.LookUp != ""
	s = Sending(s, now)
	s.Attempts++
	at := NormalizeTime(now)
	s.LastAttemptAt, s.ErrorCode = &at, o.Code
	s.Lookup, s.Doubtful = o.Lookup, doubtful && o.Kind != OutcomeSuccess
	after := s
	after.Cause = o.Warning
	after.Version = AttemptVersion(s.Generation, s.Attempts, PhaseAfter)

	terminal := s
	if o.Kind == OutcomeRetryable && s.Attempts < s.MaxAttempts {
		due := Due(s.Attempts, o.RetryAfter, p, now, random)
		if !p.isTooLate(requested, due) {
			after.Status, after.NextAttemptAt, after.RequestedAt = Queued, &due, requested
			return Decision{After: after, Retry: &due}
		}
		terminal.ErrorCode = ErrorGivenUp
	}
	terminal.Version = AttemptVersion(s.Generation, s.Attempts, PhaseTerminal)
	terminal.Status = Failed
	if o.Kind == OutcomeSuccess {
		terminal.Status, terminal.ErpReference = Success, o.Reference
	}
	return Decision{After: after, Terminal: &terminal}
}

// Found is the decision about a sync whose order the look-up has found: the attempt ends with success, as if the ERP had answered it.
func Found(s Sync, r LookupResult, now time.Time) Decision {
	return Decide(s, Outcome{Kind: OutcomeSuccess, Reference: r.Reference, Lookup: LookupFound}, RetryPolicy{}, now, 0)
}

// Postponed is the chain record of a sync whose look-up had no answer, and when it is due. No attempt is counted: version and attempts
// stay. The ERP is asked again after the delay that the next attempt would have had to wait, or when it says. Where that is too late
// the sync is GivenUp, and due is nil.
func Postponed(s Sync, a Answer, p RetryPolicy, now time.Time, random float64) (later Sync, due *time.Time) {
	at, requested := Due(s.Attempts, ParseRetryAfter(a.RetryAfter, p.MaxRetryAfter, now).At, p, now, random), p.requestedAt(s)
	if p.isTooLate(requested, at) {
		s.Doubtful = true
		return GivenUp(s, now), nil
	}
	s.Status, s.NextAttemptAt, s.UpdatedAt = Queued, &at, NormalizeTime(now)
	s.Doubtful, s.ErrorCode, s.Released, s.Cause = true, ErrorInDoubt, nil, ""
	s.RequestedAt = requested
	return s, &at
}

// Unsendable is the terminal sync when the payload cannot be built. No call was made, so none is counted.
func Unsendable(s Sync, now time.Time) Sync {
	s = Sending(s, now)
	s.Status, s.ErrorCode = Failed, ErrorPayloadInvalid
	s.Version = AttemptVersion(s.Generation, s.Attempts, PhaseTerminal)
	return s
}

// Refused is the terminal sync when the brokers never take a record of the generation, however often it is tried. s counts the calls
// made before.
func Refused(s Sync, now time.Time) Sync {
	s = Sending(s, now)
	s.Status, s.ErrorCode = Failed, ErrorRecordRefused
	s.Version = AttemptVersion(s.Generation, s.Attempts, PhaseTerminal)
	return s
}

// GivenUp is the terminal sync of a retry whose time is over: no call was made, so none is counted. What is in doubt stays so. Its version
// is above that of the next attempt's before_send: a process that was killed may have announced it.
func GivenUp(s Sync, now time.Time) Sync {
	doubtful := s.Doubtful
	s = Sending(s, now)
	s.Status, s.ErrorCode, s.Doubtful = Failed, ErrorGivenUp, doubtful
	s.Version = AttemptVersion(s.Generation, s.Attempts+1, PhaseTerminal)
	return s
}

// MayBegin reports whether an attempt of the sync may begin now. The first one always may, however long the request has waited.
func (p RetryPolicy) MayBegin(s Sync, now time.Time) bool {
	return s.Attempts == 0 || !p.isTooLate(p.requestedAt(s), now)
}

// isTooLate reports whether an attempt at that time would begin too long after the request.
func (p RetryPolicy) isTooLate(requested *time.Time, at time.Time) bool {
	return requested != nil && at.After(requested.Add(p.GiveUpAfter))
}

// requestedAt is from when GiveUpAfter counts; nil: nobody gives up. A request says it itself, and a retry names it. One that was
// parked before the setting was set does not, and has the whole time from its last attempt.
func (p RetryPolicy) requestedAt(s Sync) *time.Time {
	switch {
	case p.GiveUpAfter == 0:
		return nil
	case s.RequestedAt != nil:
		return s.RequestedAt
	case s.LastAttemptAt != nil:
		return s.LastAttemptAt
	default:
		at := s.UpdatedAt
		return &at
	}
}

// Closed is the terminal sync of a chain record that the gate has stopped.
func Closed(s Sync, by ClosedBy, now time.Time) Sync {
	s = Sending(s, now)
	s.Status, s.ErrorCode, s.ClosedBy = Failed, ErrorClosed, by
	if by.Settles() {
		s.Status, s.ErrorCode = Success, ""
	}
	s.Version = AttemptVersion(s.Generation, s.Attempts, PhaseTerminal)
	return s
}

// Due is when the next attempt may start: after 2^attempts × base, capped and with jitter, or at the ERP's Retry-After when that is
// later. It is rounded up to whole milliseconds, so that the due header of the record is never early.
func Due(attempts int, retryAfter *time.Time, p RetryPolicy, now time.Time, random float64) time.Time {
	limit := float64(MaxRetryAfter)
	if p.MaxDelay > 0 {
		limit = min(limit, float64(p.MaxDelay))
	}
	delay := min(math.Ldexp(float64(p.BaseDelay), attempts), limit)
	delay += delay * p.Jitter * random
	due := now.Add(time.Duration(delay))
	if retryAfter != nil && retryAfter.After(due) {
		due = *retryAfter
	}
	return NormalizeTime(due.Add(time.Millisecond - 1))
}
