package scheduler

import "time"

// schedule returns the first scheduled time after another, in UTC; the zero time when there is none.
type schedule interface {
	Next(after time.Time) time.Time
}

// lookBack are the spans in which to search the last scheduled time, the short ones first. So few times are stepped through, however
// long no scheduler ran.
var lookBack = []time.Duration{time.Minute, time.Hour, 24 * time.Hour, 32 * 24 * time.Hour, 367 * 24 * time.Hour}

// due is the run that is due now, if there is one. last is the time up to which runs are done. However many were missed, only one run is
// made, under the latest scheduled time.
func due(s schedule, last, now time.Time) (at time.Time, isDue bool) {
	last, now = last.UTC(), now.UTC()
	at = s.Next(last)
	if !passed(at, now) {
		return time.Time{}, false
	}
	for _, span := range lookBack {
		since := now.Add(-span)
		if !since.After(last) {
			break
		}
		if next := s.Next(since); passed(next, now) {
			at = next
			break
		}
	}
	for next := s.Next(at); passed(next, now); next = s.Next(at) {
		at = next
	}
	return at, true
}

func passed(at, now time.Time) bool { return !at.IsZero() && !at.After(now) }
