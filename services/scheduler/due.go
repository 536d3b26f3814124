package scheduler

import "time"

// schedule gives the first scheduled time after another; the zero time when there is none. It means UTC.
type schedule interface {
	Next(after time.Time) time.Time
}

// lookBack are spans in which the last scheduled time is looked for, so that few times are counted through however long
// nobody ran.
var lookBack = []time.Duration{time.Minute, time.Hour, 24 * time.Hour, 32 * 24 * time.Hour, 367 * 24 * time.Hour}

// due is the run that is to be made at now, if one is: last is the time up to which runs are done with. However many
// were missed, it is one, and stands for all of them under the latest scheduled time.
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
