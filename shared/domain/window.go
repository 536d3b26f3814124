package domain

import "time"

// Schedule gives the next time of a cron expression after a time; the zero time when there is none. The domain gives it times by the
// clock on the wall, as if they were in UTC, so that an expression never meets a change of the clock. cron.Schedule is one.
type Schedule interface {
	Next(after time.Time) time.Time
}

// Window is a time that comes again and again: it begins by a schedule and lasts for a duration, both by the clock on the wall of a
// zone. 02:30 for an hour is 02:30 to 03:30, whatever the clock does on that day:
//
//   - A start that the clock skips in spring begins when it jumps. An end that it skips ends then.
//   - Of a start that the clock shows twice in autumn, the first counts; of an end, the second.
type Window struct {
	Begins   Schedule
	Duration time.Duration
	Zone     *time.Location
}

// Calendar says when nothing is sent to the ERP: inside of maintenance windows, and outside of working hours. Without working hours,
// it is open all the time. A zero Calendar is always open.
type Calendar struct {
	Maintenance  []Window
	WorkingHours []Window
}

// calendarHorizon bounds how far Until looks.
const calendarHorizon = 400 * 24 * time.Hour

// maxCalendarSteps bounds how many windows Until looks at. Windows that follow each other without a gap are as many.
const maxCalendarSteps = 400

// Until is when calls may go out again; shut is false when they may now. Windows that overlap or touch are one. When the calendar
// does not open for very long, until is a time at which it is still shut: ask again then.
func (c Calendar) Until(now time.Time) (until time.Time, shut bool) {
	until = now
	for range maxCalendarSteps {
		next := c.next(until)
		if next.Equal(until) || next.Sub(now) > calendarHorizon {
			return next, next.After(now)
		}
		until = next
	}
	return until, true
}

// Opens reports whether calls may go out at some time after now that Until finds.
func (c Calendar) Opens(now time.Time) bool {
	until, shut := c.Until(now)
	return !shut || c.next(until).Equal(until)
}

// next is the end of a maintenance window that at is in, or the start of the next working hours; at itself when calls may go out.
func (c Calendar) next(at time.Time) time.Time {
	latest := at
	for _, w := range c.Maintenance {
		// Who maintains the ERP may count by the clock or by the hour, so the later end counts.
		if from, to, ok := w.last(at); ok {
			latest = later(latest, later(to, from.Add(w.Duration)))
		}
	}
	if latest.After(at) || len(c.WorkingHours) == 0 {
		return latest
	}
	soonest := at.Add(2 * calendarHorizon)
	for _, w := range c.WorkingHours {
		if _, to, ok := w.last(at); ok && to.After(at) {
			return at
		}
		if begins := w.nextAfter(at); begins.Before(soonest) {
			soonest = begins
		}
	}
	return soonest
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// last is the window that began last, at or before at. Windows of one schedule end in the order in which they begin, so when this one
// has ended, all have. ok is false when none began that could still be under way.
func (w Window) last(at time.Time) (from, to time.Time, ok bool) {
	newest := wallShown(at, w.Zone)
	longest := w.Duration + wallSlack
	if begins := w.Begins.Next(newest.Add(-longest)); begins.IsZero() || begins.After(newest) {
		return time.Time{}, time.Time{}, false
	}
	for back := time.Minute; ; back *= 2 { // the newest is near in most cases, and a schedule only looks forward
		begins := w.Begins.Next(newest.Add(-back))
		if !begins.IsZero() && !begins.After(newest) {
			for next := w.Begins.Next(begins); !next.IsZero() && !next.After(newest); next = w.Begins.Next(begins) {
				begins = next
			}
			from, _ = instants(begins, w.Zone)
			return from, lastBefore(begins.Add(w.Duration), w.Zone), true
		}
	}
}

// nextAfter is when the window begins next; far away when it never does.
func (w Window) nextAfter(at time.Time) time.Time {
	begins := w.Begins.Next(wallShown(at, w.Zone))
	if begins.IsZero() {
		return at.Add(2 * calendarHorizon)
	}
	from, _ := instants(begins, w.Zone)
	return later(from, at)
}

// wallSlack is more than any clock was ever put forward or back.
const wallSlack = 25 * time.Hour

// wallShown is the newest time that the clock on the wall has shown until at, written as if it were UTC. In the hour that the clock
// shows for the second time this is the end of that hour, as all of it has been shown.
func wallShown(at time.Time, zone *time.Location) time.Time {
	shown := wall(at, zone)
	if start, _ := at.In(zone).ZoneBounds(); !start.IsZero() {
		before := start.Add(-1)
		if newest := wall(before, zone); newest.After(shown) {
			return newest
		}
	}
	return shown
}

func wall(at time.Time, zone *time.Location) time.Time {
	at = at.In(zone)
	_, offset := at.Zone()
	return at.UTC().Add(time.Duration(offset) * time.Second)
}

// lastBefore is the last moment until which the clock on the wall shows less than a time. A clock that goes back from 03:00 to 02:00
// shows less than 02:00 only until the first 02:00, and less than 02:01 until the second 02:01.
func lastBefore(shown time.Time, zone *time.Location) time.Time {
	less := shown.Add(-1)
	_, last := instants(less, zone)
	if wall(last, zone).Equal(less) {
		return last.Add(1)
	}
	return last // the clock has jumped over both
}

// instants are the first and the last moment at which the clock on the wall shows a time, which is written as if it were UTC. Both
// are the moment of the jump when it skips that time.
func instants(shown time.Time, zone *time.Location) (first, last time.Time) {
	guess := time.Date(shown.Year(), shown.Month(), shown.Day(), shown.Hour(), shown.Minute(), shown.Second(), shown.Nanosecond(), zone)
	start, end := guess.ZoneBounds()
	for _, near := range []time.Time{start.Add(-1), guess, end} {
		if near.IsZero() || near.Year() < 1 {
			continue
		}
		_, offset := near.In(zone).Zone()
		at := shown.Add(-time.Duration(offset) * time.Second)
		if !wall(at, zone).Equal(shown) {
			continue
		}
		if first.IsZero() || at.Before(first) {
			first = at
		}
		last = later(last, at)
	}
	if !first.IsZero() {
		return first, last
	}
	if !start.IsZero() && !shown.Before(wall(start.Add(-1), zone)) && shown.Before(wall(start, zone)) {
		return start, start
	}
	return end, end
}
