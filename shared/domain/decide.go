package domain

import (
	"math"
	"time"
)

// RetryPolicy says what of the ERP's answers is tried again, and when.
type RetryPolicy struct {
	AnswerPolicy

	BaseDelay time.Duration // the module's base_delay_seconds
	MaxDelay  time.Duration // 0: no cap beyond MaxRetryAfter
	Jitter    float64       // 0…1: the delay is lengthened by up to this share of it
}

// Decision is what one call leads to: what after_send says, and, when no retry follows, the terminal sync.
type Decision struct {
	After    Sync
	Retry    *time.Time // when the next attempt is due
	Terminal *Sync      // status success or failed, nil when a retry follows
}

// Sending is the sync that before_send states: intent, not yet counted.
func Sending(s Sync, now time.Time) Sync {
	s.Status = InProgress
	s.NextAttemptAt = nil
	s.ErrorCode, s.ErpReference, s.Released, s.Cause = "", nil, nil, ""
	s.Version = AttemptVersion(s.Generation, s.Attempts+1, PhaseBefore)
	s.UpdatedAt = NormalizeTime(now)
	return s
}

// Decide counts the attempt and says what comes next. random is in [0,1) and stretches the delay by the policy's
// jitter. The order of attempts is the module's: count, compare with the maximum, wait 2^attempts × base.
func Decide(s Sync, o Outcome, p RetryPolicy, now time.Time, random float64) Decision {
	s = Sending(s, now)
	s.Attempts++
	at := NormalizeTime(now)
	s.LastAttemptAt, s.ErrorCode = &at, o.Code
	after := s
	after.Cause = o.Warning
	after.Version = AttemptVersion(s.Generation, s.Attempts, PhaseAfter)

	if o.Kind == OutcomeRetryable && s.Attempts < s.MaxAttempts {
		due := Due(s.Attempts, o.RetryAfter, p, now, random)
		after.Status, after.NextAttemptAt = Queued, &due
		return Decision{After: after, Retry: &due}
	}
	terminal := s
	terminal.Version = AttemptVersion(s.Generation, s.Attempts, PhaseTerminal)
	terminal.Status = Failed
	if o.Kind == OutcomeSuccess {
		terminal.Status, terminal.ErpReference = Success, o.Reference
	}
	return Decision{After: after, Terminal: &terminal}
}

// Unsendable is the terminal sync of a payload that cannot be built: no call was made, none is counted.
func Unsendable(s Sync, now time.Time) Sync {
	s = Sending(s, now)
	s.Status, s.ErrorCode = Failed, ErrorPayloadInvalid
	s.Version = AttemptVersion(s.Generation, s.Attempts, PhaseTerminal)
	return s
}

// Refused is the terminal sync of a generation of which a record cannot be written for what it is, and no retry mends that.
// Calls made before are counted in s.
func Refused(s Sync, now time.Time) Sync {
	s = Sending(s, now)
	s.Status, s.ErrorCode = Failed, ErrorRecordRefused
	s.Version = AttemptVersion(s.Generation, s.Attempts, PhaseTerminal)
	return s
}

// Closed is the terminal sync of a record that the gate stopped.
func Closed(s Sync, by ClosedBy, now time.Time) Sync {
	s = Sending(s, now)
	s.Status, s.ErrorCode, s.ClosedBy = Failed, ErrorClosed, by
	if by.Settles() {
		s.Status, s.ErrorCode = Success, ""
	}
	s.Version = AttemptVersion(s.Generation, s.Attempts, PhaseTerminal)
	return s
}

// Due is 2^attempts × base, capped and stretched by jitter, or the ERP's Retry-After when that is later. It is rounded
// up to whole milliseconds, so that a record's due header is never early.
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
