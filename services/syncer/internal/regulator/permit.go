package regulator

import (
	"context"
	"time"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/pace"
)

// Permit is the right to make one call. Whoever has it calls Begin, and then Done; or Release when there is no call.
type Permit struct {
	r        *Regulator
	order    domain.OrderRef
	probe    bool
	granted  time.Time
	patience time.Duration // it is too old after that
	call     domain.Call
	beside   int // calls under way in all processes when it began, itself among them
	ended    bool
}

// waiter is a caller that waits for its permit.
type waiter struct {
	order  domain.OrderRef
	permit chan *Permit
}

// stopInterval is how often a waiter looks whether it must stop.
const stopInterval = 100 * time.Millisecond

// Acquire waits until the order may be sent: the breaker lets it, the ERP does not ask to wait, no window is on, and rate and number of
// calls allow one more. Those who wait are served in their order. It is not ok when ctx ends first, or stop reports true.
func (r *Regulator) Acquire(ctx context.Context, order domain.OrderRef, stop func() bool) (p *Permit, ok bool) {
	w := &waiter{order: order, permit: make(chan *Permit, 1)}
	r.mu.Lock()
	r.waiters, r.came = append(r.waiters, w), r.Now()
	if r.idle { // the others should hear of the calls, and this process of theirs, as often as ever
		r.idle = false
		signal(r.tell)
	}
	r.grant()
	r.mu.Unlock()
	select {
	case p = <-w.permit: // the usual case needs no timer
		return p, true
	default:
	}
	look := time.NewTicker(stopInterval)
	defer look.Stop()
	for {
		select {
		case p = <-w.permit:
			return p, true
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

// leave ends a waiter without a permit. What it was given meanwhile is for the next.
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
	case p := <-w.permit:
		p.Release()
	default:
	}
}

// For names the order that the call is for, when that is known only after the permit is given.
func (p *Permit) For(order domain.OrderRef) { p.order = order }

// minPatience bounds the time between a permit and its call where a late call does harm. Where the way takes that long for all, permits
// last for twice as long.
const minPatience = time.Second

// patience is how old a permit that is given now may become.
func (r *Regulator) patience() time.Duration { return max(minPatience, 2*r.way) }

// noteWay takes down how long the way was from a permit to its call. A slow one is forgotten over the next calls.
func (r *Regulator) noteWay(took time.Duration) { r.way = max(took, r.way-r.way/16) }

// isTooLate reports whether a call after that time would come too late. Callers that Kafka or Postgres held up on the way would call all at
// once, faster than the rate; and a probe may be nobody's before its answer comes. Without a rate the number of permits bounds the calls.
func (p *Permit) isTooLate(age time.Duration, now time.Time) bool {
	return age > p.patience && (p.probe || p.r.rate(now) != 0)
}

// Begin is called right before the call. It is false when the order must not be sent any more: release the permit then, and wait for
// another.
func (p *Permit) Begin() bool {
	r := p.r
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	age := now.Sub(p.granted)
	r.noteWay(age)
	if p.isTooLate(age, now) || !r.isFresh() || r.heldUntil(now).After(now) || !p.allowed() {
		return false
	}
	p.call = domain.Call{Order: p.order, Began: now, Epoch: r.state.Breaker.Epoch}
	p.beside = r.inFlight
	for _, m := range r.members {
		if m.ID != r.ID {
			p.beside += m.InFlight
		}
	}
	return true
}

// allowed reports whether the breaker lets the call out. The number of calls was looked at when the permit was given.
func (p *Permit) allowed() bool {
	b := p.r.state.Breaker
	if p.probe {
		return b.Is(domain.BreakerProbing) && b.Epoch == p.r.probing.epoch
	}
	return b.Is(domain.BreakerClosed) || b.Is(domain.BreakerClosing)
}

// Done takes the call's answer. What it shows counts for all processes.
func (p *Permit) Done(a domain.Answer) {
	r := p.r
	r.mu.Lock()
	defer r.mu.Unlock()
	p.end()
	s := r.Settings.Current()
	p.call.Health = domain.HealthOf(a, s.HealthPolicy())
	m := r.moment()
	r.judgeHold(a, s.MaxRetryAfter)
	r.judgeLimit(p, m.Now)
	if p.probe {
		r.endProbe(domain.OrderProbe(p.call.Health), said(a))
	} else {
		r.judgeBreaker(p.call, said(a), m)
	}
	r.grant()
}

// Release gives the permit back without a call. After Done it does nothing.
func (p *Permit) Release() {
	p.r.mu.Lock()
	defer p.r.mu.Unlock()
	if p.ended {
		return
	}
	p.end()
	if p.probe {
		p.r.endProbe(domain.ProbeAbandoned, "")
	}
	p.r.grant()
}

func (p *Permit) end() {
	p.ended = true
	p.r.begun(-1)
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

func (r *Regulator) judgeLimit(p *Permit, now time.Time) {
	policy := r.Settings.Current().LimitPolicy()
	call := domain.PacedCall{Began: p.call.Began, Ended: now, Health: p.call.Health, InFlight: p.beside}
	r.count(func(s pace.State) pace.State {
		s.Meter = s.Meter.With(call.Health, now)
		if call.Health == domain.HealthBusy {
			s.Learnt = s.Learnt.AfterBusy(call.Began, s.Meter, now)
		}
		met := call
		met.IsRare = s.Meter.IsRare(call.Health)
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
