package regulator

import (
	"context"
	"slices"
	"time"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/pace"
	"github.com/erpconnector/erpconnector/shared/setting"
)

// When there are fewer calls than members, these take turns. Nobody calls in a turn before all others have told what is still under way
// of the turns before, by a clock that may differ from their own by less than the margin.
const (
	turn       = 2 * time.Second
	turnMargin = 100 * time.Millisecond
)

// minLateness is how late a reserved start may be used at least. Later it is given up: several at once would be faster than the rate.
const minLateness = 20 * time.Millisecond

// grant gives permits to those who may call, and has the clock look again for the others.
func (r *Regulator) grant() {
	r.serve()
	if len(r.waiters) > 0 {
		signal(r.wake)
	}
}

// serve gives permits to those who may call, in their order.
func (r *Regulator) serve() {
	for len(r.waiters) > 0 && r.mayCall(r.now()) {
		w := r.waiters[0]
		r.waiters = slices.Delete(r.waiters, 0, 1)
		p := &Permit{r: r, order: w.order, granted: r.now(), patience: r.patience()}
		if r.state.Breaker.Is(domain.BreakerProbing) {
			p.probe, r.probing.free = true, false
		}
		r.begun(1)
		w.permit <- p
	}
	r.show()
}

// mayCall reports whether one more call may go out. With true, it has used up a reserved start.
func (r *Regulator) mayCall(now time.Time) bool {
	if !r.isFresh() || !r.hasJoined() || r.heldUntil(now).After(now) || r.inFlight >= r.share(now) {
		return false
	}
	return r.takeSlot(now)
}

// isFresh reports whether the state is known. Who has not read of it for long may have missed that the breaker has opened, and does not
// count as a member any more soon.
func (r *Regulator) isFresh() bool {
	return !r.read.IsZero() && r.Now().Sub(r.read) < pace.MaxAge
}

// hasJoined reports whether all others know of this process. One that is alone must only be sure that it is.
func (r *Regulator) hasJoined() bool {
	for _, m := range r.members {
		if m.ID == r.ID {
			known := m.SeenAt.Sub(m.JoinedAt)
			return known >= pace.JoinWait || known >= pace.PollInterval && len(r.members) == 1
		}
	}
	return false
}

// heldUntil is when the ERP takes calls again, by what it asked for and by the calendar; not after now when it takes them.
func (r *Regulator) heldUntil(now time.Time) time.Time {
	until := r.state.Hold.Until
	if shut := r.calendar.until(r.Settings.Current(), now.Add(clockMargin)); shut.After(until) {
		until = shut
	}
	return until.Add(clockMargin)
}

// clockMargin is more than the clocks of two processes differ, by what each knows of the database's. Nobody calls before all agree.
const clockMargin = 20 * time.Millisecond

// share is how many calls this process may have under way.
func (r *Regulator) share(now time.Time) int {
	b := r.state.Breaker
	if b.Is(domain.BreakerProbing) {
		if r.probing.free && b.Epoch == r.probing.epoch {
			return r.inFlight + 1 // calls from before the breaker opened may still be under way
		}
		return 0
	}
	limit := b.Allows(r.state.Limit.Current(r.Settings.Current().LimitPolicy()))
	if r.takesTurns = limit < len(r.members); r.takesTurns && (!r.agree() || !r.haveTold(now)) {
		return 0
	}
	if len(r.members) == 1 && r.members[0].ID == r.ID { // the usual case, at each call
		return limit
	}
	members := make([]domain.Member, 0, len(r.members))
	for _, m := range r.members {
		if m.ID == r.ID {
			m.InFlight = r.inFlight
		}
		members = append(members, m.Member)
	}
	return domain.Shares(limit, members, turn, now)[r.ID]
}

// agree reports whether all go by the same list of members, this process as it has told, too: by two lists it may be the turn of two
// members. Who goes by another list later waits in turn for all others. A member of an older version does not tell.
func (r *Regulator) agree() bool {
	return !slices.ContainsFunc(r.members, func(m pace.Member) bool { return m.Roster != r.roster && m.Roster != 0 })
}

// haveTold reports whether all others have told of their calls since the turn began.
func (r *Regulator) haveTold(now time.Time) bool {
	since := now.Add(turnMargin - time.Duration(now.UnixNano()%int64(turn)))
	for _, m := range r.members {
		if m.ID != r.ID && m.SeenAt.Before(since) {
			return false
		}
	}
	return true
}

// begun counts permits. Members that take turns must hear of each other's calls at once.
func (r *Regulator) begun(permits int) {
	r.inFlight += permits
	if r.takesTurns {
		signal(r.tell)
	}
}

// takeSlot uses a reserved start, if the rate is limited.
func (r *Regulator) takeSlot(now time.Time) bool {
	rate := r.rate(now)
	if rate == 0 {
		return true
	}
	late := max(rate.Interval(), minLateness)
	for len(r.slots) > 0 && now.Sub(r.slots[0]) > late {
		r.slots = r.slots[1:]
	}
	if batch := rate.Batch(pace.PollInterval); len(r.slots) < len(r.waiters) && len(r.slots) <= batch/2 {
		r.short = true
		signal(r.write)
	}
	if len(r.slots) == 0 || r.slots[0].After(now) {
		return false
	}
	r.slots = r.slots[1:]
	return true
}

// rate is the limit of calls a second; 0: none.
func (r *Regulator) rate(now time.Time) domain.Rate {
	return r.state.Rate(r.Settings.Current().CallRate(), now)
}

// reserve takes as many starts as callers wait for, in the round trip of the changes. taken is theirs once that is written.
func (r *Regulator) reserve() (op pace.Op, taken *domain.Reservation) {
	taken = &domain.Reservation{}
	rate := r.rate(r.now())
	count := min(len(r.waiters), rate.Batch(pace.PollInterval)) - len(r.slots)
	if !r.short || rate == 0 || count <= 0 {
		return nil, taken
	}
	now := r.now()
	return func(s pace.State) pace.State {
		s.Next, *taken = rate.Reserve(s.Next, count, now)
		return s
	}, taken
}

// keepTime looks again when a time has come that callers wait for.
func (r *Regulator) keepTime(ctx context.Context) {
	for {
		r.mu.Lock()
		r.serve()
		next := r.nextTime()
		r.mu.Unlock()
		timed, cancel := context.WithTimeout(ctx, next)
		select {
		case <-r.wake:
		case <-timed.Done():
		}
		cancel()
		if ctx.Err() != nil {
			return
		}
	}
}

// nextTime is the time until something may change by the clock alone.
func (r *Regulator) nextTime() time.Duration {
	if len(r.waiters) == 0 {
		return pace.IdleInterval // a waiter wakes the clock
	}
	now := r.now()
	next := pace.PollInterval
	if held := r.heldUntil(now); held.After(now) {
		next = min(next, held.Sub(now))
	}
	if len(r.slots) > 0 && r.slots[0].After(now) {
		next = min(next, r.slots[0].Sub(now))
	}
	return max(next, time.Millisecond)
}

// calendar remembers until when a calendar is shut. Windows begin at whole minutes, so it looks once in each.
type calendar struct {
	maintenance, hours string
	rules              domain.Calendar
	minute             int64
	shut               time.Time
}

func (c *calendar) until(s setting.Settings, now time.Time) time.Time {
	if s.Maintenance == "" && s.WorkingHours == "" {
		return time.Time{}
	}
	minute := now.Unix() / 60
	if c.maintenance != s.Maintenance || c.hours != s.WorkingHours {
		c.maintenance, c.hours, c.rules, c.minute, c.shut = s.Maintenance, s.WorkingHours, s.Calendar(), -1, time.Time{}
	}
	if c.minute != minute {
		c.minute = minute
		if until, shut := c.rules.Until(now); shut {
			c.shut = until
		}
	}
	return c.shut
}
