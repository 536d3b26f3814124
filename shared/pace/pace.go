// Package pace keeps what all processes share of the ERP's pace: whether calls go out, until when the ERP asked to wait, how many calls
// may be under way, and who calls. The rules are in shared/domain. The syncers write it, and operators do by hand; the API and the
// CLI show it.
package pace

import (
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
	"time"

	"github.com/erpconnector/erpconnector/shared/domain"
)

// State is the shared value. A change makes the next one of it.
type State struct {
	Breaker domain.Breaker
	Hold    domain.Hold
	Limit   domain.Limit
	Learnt  domain.LearntRate
	Meter   domain.Meter
	Next    time.Time // when the next call may start, by the rate; zero: at once
	Made    Settings  // what Limit and Next were made with
	Version int64     // grows by one with each change
}

// Settings are those that the numbers of a state depend on.
type Settings struct {
	MaxInFlight int         `json:"max_in_flight,omitempty"`
	Rate        domain.Rate `json:"rate,omitempty"`
}

// With is the state under changed settings: what is reserved keeps its place in the queue, and a limit that the ERP has not lowered is
// the new maximum at once.
func (s State) With(changed Settings, now time.Time) State {
	if s.Made.MaxInFlight != changed.MaxInFlight && s.Limit.Value >= s.Made.MaxInFlight {
		s.Limit.Value = 0
	}
	if s.Made.Rate != changed.Rate {
		s.Next = changed.Rate.Changed(s.Made.Rate, s.Next, now)
	}
	s.Made = changed
	return s
}

// Rate is the limit of calls a second at that time: the setting's, or the lower one that the ERP has shown.
func (s State) Rate(set domain.Rate, now time.Time) domain.Rate { return set.Tighter(s.Learnt.At(now)) }

// Op is one change of the state, as a pure function: it is made again when somebody else was first.
type Op func(State) State

// Member is a process that calls the ERP.
type Member struct {
	domain.Member

	JoinedAt time.Time
	SeenAt   time.Time
}

// Roster names a list of members: another list has another name. The order of the list does not matter.
func Roster(members []Member) int64 {
	ids := make([]string, 0, len(members))
	for _, m := range members {
		ids = append(ids, fmt.Sprintf("%q %d", m.ID, m.JoinedAt.UnixMicro()))
	}
	slices.Sort(ids)
	name := fnv.New64a()
	_, _ = name.Write([]byte(strings.Join(ids, "\n")))
	return int64(max(1, name.Sum64()>>1)) //nolint:gosec // 63 bits
}

// View is the state with those who go by it, at one moment.
type View struct {
	State
	Members []Member  // that were seen within MemberTimeout
	At      time.Time // by the clock that all processes share: the database's
}

// InFlight is how many calls are under way, as the members told last.
func (v View) InFlight() (n int) {
	for _, m := range v.Members {
		n += m.InFlight
	}
	return n
}

// The times by which members agree on who they are. A member that could not read for MaxAge starts no call. One that has just joined
// starts none for JoinWait, so by then all others have read of it, or have stopped. One that was not seen for MemberTimeout does not
// count any more.
const (
	PollInterval  = 200 * time.Millisecond
	IdleInterval  = 800 * time.Millisecond // the same of a member that has not called for a while, and may call as many as it likes
	MaxAge        = time.Second
	JoinWait      = time.Second
	MemberTimeout = 3 * time.Second
)

// Apply makes the changes one after the other, and says what the breaker's history must keep.
func (s State) Apply(ops []Op) (next State, events []domain.BreakerEvent) {
	for _, op := range ops {
		before := s.Breaker
		s = op(s)
		if e, ok := domain.BreakerEventOf(before, s.Breaker); ok {
			events = append(events, e)
		}
	}
	return s, events
}

// concerns reports whether others must hear of the change at once. The numbers of calls are for the next judgement only.
func (s State) concerns(next State) bool {
	return s.Breaker.Epoch != next.Breaker.Epoch || s.Breaker.Allowed != next.Breaker.Allowed || s.Hold != next.Hold || s.Limit.Value != next.Limit.Value ||
		s.Learnt != next.Learnt || s.Made != next.Made
}

// Past is one change of the breaker.
type Past struct {
	ID int64 `json:"id"`
	domain.BreakerEvent
}
