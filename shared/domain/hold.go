package domain

import "time"

// Hold keeps all callers from the ERP until a moment that the ERP has named. A zero Hold holds nobody.
type Hold struct {
	Until time.Time `json:"until,omitzero"`
	Why   string    `json:"why,omitempty"`
}

// HoldOf is what an answer asks of all callers: 429 and 503 with a Retry-After mean the ERP and not this order. With any other status
// the header is about the order alone. A date in the past and nonsense count as no header. limit caps the wait, see ParseRetryAfter.
func HoldOf(a Answer, limit time.Duration, now time.Time) Hold {
	if a.StatusCode != tooManyRequests && a.StatusCode != serviceUnavailable {
		return Hold{}
	}
	after := ParseRetryAfter(a.RetryAfter, limit, now)
	if after.At == nil || !after.At.After(now) {
		return Hold{}
	}
	return Hold{Until: ceilMillisecond(*after.At), Why: withWords("the ERP asked to wait by Retry-After", after.words(a.RetryAfter))}
}

// With is the later of two holds: each was asked for, so both are kept.
func (h Hold) With(other Hold) Hold {
	if other.Until.After(h.Until) {
		return other
	}
	return h
}

// Holds reports whether callers wait at that time.
func (h Hold) Holds(now time.Time) bool { return now.Before(h.Until) }

// ceilMillisecond is the time in whole milliseconds, never earlier.
func ceilMillisecond(t time.Time) time.Time { return NormalizeTime(t.Add(time.Millisecond - 1)) }
