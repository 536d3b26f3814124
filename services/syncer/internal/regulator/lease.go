package regulator

import (
	"context"
	"time"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/pace"
)

// Lease is the right to make one call. Whoever has it calls Begin, and then Done; or Release when there is no call.
type Lease struct {
	r       *Regulator
	order   domain.OrderRef
	probe   bool
	granted time.Time
	call    domain.Call
	beside  int // calls under way in all processes when it began, itself among them
	ended   bool
}

// waiter is a caller that waits for its lease.
type waiter struct {
	order domain.OrderRef
	lease chan *Lease
}

// stopInterval is how often a waiter looks whether it must stop.
const stopInterval = 100 * time.Millisecond

// Acquire waits until the order may be sent: the breaker lets it, the ERP does not ask to wait, no window is on, and rate and number of
// calls allow one more. Those who wait are served in their order. It is not ok when ctx ends first, or stop reports true.
func (r *Regulator) Acquire(ctx context.Context, order domain.OrderRef, stop func() bool) (l *Lease, ok bool) {
	w := &waiter{order: order, lease: make(chan *Lease, 1)}
	r.mu.Lock()
	r.waiters = append(r.waiters, w)
	r.grant()
	r.mu.Unlock()
	select {
	case l = <-w.lease: // the usual case needs no timer
		return l, true
	default:
	}
	look := time.NewTicker(stopInterval)
	defer look.Stop()
	for {
		select {
		case l = <-w.lease:
			return l, true
		case <-ctx.Done():
			r.leave(w)
			return nil, false
		case <-look.C:
			if stop() {
				r.leave(w)
				return nil, false
			}
		}
	}
}

// leave ends a waiter without a lease. What it was given meanwhile is for the next.
func (r *Regulator) leave(w *waiter) {
	r.mu.Lock()
	for i, one := range r.waiters {
		if one == w {
			r.waiters = append(r.waiters[:i], r.waiters[i+1:]...)
			break
		}
	}
	r.mu.Unlock()
	select {
	case l := <-w.lease:
		l.Release()
	default:
	}
}

// maxLeaseAge bounds the time between the lease and its call where a late call does harm.
const maxLeaseAge = time.Second

// isTooLate reports whether the call would come too late. Callers that Kafka or Postgres held up on the way would call all at once,
// faster than the rate; and a probe may be nobody's before its answer comes. Without a rate the number of leases bounds the calls, and a
// slow Kafka must not keep orders from the ERP for ever.
func (l *Lease) isTooLate(now time.Time) bool {
	return now.Sub(l.granted) > maxLeaseAge && (l.probe || l.r.rate(now) != 0)
}

// Begin is called right before the call. It is false when the order must not be sent any more: release the lease then, and wait for
// another.
func (l *Lease) Begin() bool {
	r := l.r
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	if l.isTooLate(now) || !r.isFresh() || r.heldUntil(now).After(now) || !l.allowed() {
		return false
	}
	l.call = domain.Call{Order: l.order, Began: now, Epoch: r.state.Breaker.Epoch}
	l.beside = r.inFlight
	for _, m := range r.members {
		if m.ID != r.ID {
			l.beside += m.InFlight
		}
	}
	return true
}

// allowed reports whether the breaker lets the call out. The number of calls was looked at when the lease was given.
func (l *Lease) allowed() bool {
	b := l.r.state.Breaker
	if l.probe {
		return b.Is(domain.BreakerProbing) && b.Epoch == l.r.probing.epoch
	}
	return b.Is(domain.BreakerClosed) || b.Is(domain.BreakerClosing)
}

// Done takes the call's answer. What it shows counts for all processes.
func (l *Lease) Done(a domain.Answer) {
	r := l.r
	r.mu.Lock()
	defer r.mu.Unlock()
	l.end()
	s := r.Settings.Current()
	l.call.Health = domain.HealthOf(a, s.HealthPolicy())
	m := r.moment()
	r.judgeHold(a, s.MaxRetryAfter)
	r.judgeLimit(l, m.Now)
	if l.probe {
		r.endProbe(domain.OrderProbe(l.call.Health), said(a))
	} else {
		r.judgeBreaker(l.call, said(a), m)
	}
	r.grant()
}

// Release gives the lease back without a call. After Done it does nothing.
func (l *Lease) Release() {
	l.r.mu.Lock()
	defer l.r.mu.Unlock()
	if l.ended {
		return
	}
	l.end()
	if l.probe {
		l.r.endProbe(domain.ProbeAbandoned, "")
	}
	l.r.grant()
}

func (l *Lease) end() {
	l.ended = true
	l.r.begun(-1)
}

func (r *Regulator) judgeHold(a domain.Answer, limit time.Duration) {
	hold := domain.HoldOf(a, limit, r.now())
	if !hold.Until.After(r.state.Hold.Until) {
		return
	}
	r.judge(func(s pace.State) pace.State {
		s.Hold = s.Hold.With(hold)
		return s
	})
}

func (r *Regulator) judgeLimit(l *Lease, now time.Time) {
	policy := r.Settings.Current().LimitPolicy()
	call := domain.PacedCall{Began: l.call.Began, Ended: now, Health: l.call.Health, InFlight: l.beside}
	r.count(func(s pace.State) pace.State {
		s.Meter = s.Meter.With(call.Health, now)
		if call.Health == domain.HealthBusy {
			s.Learnt = s.Learnt.AfterBusy(call.Began, s.Meter, now)
		}
		met := call
		met.IsRare = s.Meter.IsRare(call.Health, now)
		s.Limit = s.Limit.After(met, policy)
		return s
	})
}

// judgeBreaker counts a call that was no probe.
func (r *Regulator) judgeBreaker(c domain.Call, said string, m domain.Moment) {
	settings := r.Settings.Current()
	policy, limits := settings.BreakerPolicy(), settings.LimitPolicy()
	r.calls = r.calls.With(c, policy)
	if r.state.Breaker.Is(domain.BreakerClosing) {
		tally := domain.Tally{Epoch: c.Epoch}.With(c, said)
		r.count(func(s pace.State) pace.State {
			s.Breaker, _ = s.Breaker.Count(tally, s.Limit.Current(limits), policy, m)
			return s
		})
		return
	}
	calls := r.calls
	if _, trips := r.state.Breaker.Trip(calls, policy, m); trips {
		r.judge(func(s pace.State) pace.State {
			s.Breaker, _ = s.Breaker.Trip(calls, policy, m)
			return s
		})
	}
}
