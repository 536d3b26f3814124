package scheduler

import "time"

// Most of the time nothing is held and no run is due. Then the scheduler looks rarely, as each look is a statement.
const (
	rareInterval = 10 * time.Second
	soonFor      = 5 * time.Second
)

// look says when to look for held orders: at each tick while there are some and for a while after, as a process that learns late that
// the connector is on may hold one more; then rarely. The zero value begins anew.
type look struct{ soonUntil, next time.Time }

func (l *look) isDue(now time.Time) bool { return !now.Before(l.next) }

// saw notes what a look has found.
func (l *look) saw(now time.Time, some bool) {
	if some || l.soonUntil.IsZero() {
		l.soonUntil = now.Add(soonFor)
	}
	if now.After(l.soonUntil) {
		l.next = now.Add(rareInterval)
	}
}

// nextLook is when to look whether a run is due: at its scheduled time. The metric of the last run's age wants a look before.
func nextLook(s schedule, last, now time.Time) time.Time {
	rare := now.Add(rareInterval)
	if at := s.Next(last.UTC()); !at.IsZero() && at.Before(rare) {
		return at
	}
	return rare
}
