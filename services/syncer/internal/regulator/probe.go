package regulator

import (
	"context"
	"fmt"
	"sync"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/pace"
)

// probing is what this process knows of the probe that it has.
type probing struct {
	epoch  int64 // of the breaker, when the probe was given to this process; 0: it never was
	free   bool  // an order is to be the probe, and none is yet
	health sync.WaitGroup
	ctx    context.Context //nolint:containedctx // of Run: a probe ends with it
}

// wantsProbe reports whether this process should ask for the probe: it does not stop, a probe is due, the ERP may be called, and where an
// order is the probe, there is one.
func (r *Regulator) wantsProbe() bool {
	now, b := r.now(), r.state.Breaker
	if r.probing.ctx.Err() != nil || !b.ProbeDue(now) || !r.isFresh() || r.heldUntil(now).After(now) {
		return false
	}
	return len(r.waiters) > 0 || !b.ByOrder && r.Settings.Current().BreakerPolicy().HasHealth
}

// askForProbe is the change that gives the probe to this process, unless another one is first.
func (r *Regulator) askForProbe() pace.Op {
	if !r.wantsProbe() {
		return nil
	}
	policy, m := r.Settings.Current().BreakerPolicy(), r.moment()
	return func(s pace.State) pace.State {
		s.Breaker, _ = s.Breaker.BeginProbe(policy, m)
		return s
	}
}

// beginProbe begins the probe that was given to this process. It goes by what is written: if the answer to the change was lost, the probe
// is made all the same.
func (r *Regulator) beginProbe() {
	b := r.base.Breaker
	switch {
	case !r.isProber(b):
		return
	case b.Epoch == r.probing.epoch:
		if r.probing.free && len(r.waiters) == 0 {
			r.endProbe(domain.ProbeAbandoned, "") // the order that was to be it is another process's now
		}
	case b.Probe == domain.ProbeByOrder:
		r.probing.epoch, r.probing.free = b.Epoch, true
	default:
		r.probing.epoch, r.probing.free = b.Epoch, false
		r.probing.health.Go(func() { r.probeHealth(b.Epoch) })
	}
}

// isProber reports whether the breaker's probe is this process's.
func (r *Regulator) isProber(b domain.Breaker) bool {
	return b.Is(domain.BreakerProbing) && b.By == domain.WhoText.Fit(r.ID)
}

// giveProbeBack lets another process probe when this one stops. It goes by what stands in the store, as the answer that gave the probe to
// this process may have been lost.
func (r *Regulator) giveProbeBack() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.state.Breaker.Is(domain.BreakerClosed) {
		return
	}
	policy, m := r.Settings.Current().BreakerPolicy(), r.moment()
	r.judge(func(s pace.State) pace.State {
		if r.isProber(s.Breaker) {
			s.Breaker, _ = s.Breaker.EndProbe(domain.ProbeResult{Epoch: s.Breaker.Epoch, Verdict: domain.ProbeAbandoned}, policy, m)
		}
		return s
	})
}

// probeHealth asks the ERP whether it works.
func (r *Regulator) probeHealth(epoch int64) {
	answer := r.Probe(r.probing.ctx)
	r.mu.Lock()
	defer r.mu.Unlock()
	settings := r.Settings.Current()
	r.judgeHold(answer, settings.MaxRetryAfter)
	verdict := domain.HealthProbe(answer, settings.HealthPolicy())
	if r.probing.ctx.Err() != nil {
		verdict = domain.ProbeAbandoned
	}
	if epoch == r.probing.epoch {
		r.endProbe(verdict, said(answer))
	}
	r.grant()
}

// endProbe tells how the probe of this process ended.
func (r *Regulator) endProbe(verdict domain.ProbeVerdict, said string) {
	r.probing.free = false
	result := domain.ProbeResult{Epoch: r.probing.epoch, Verdict: verdict, Said: said}
	policy, m := r.Settings.Current().BreakerPolicy(), r.moment()
	r.judge(func(s pace.State) pace.State {
		s.Breaker, _ = s.Breaker.EndProbe(result, policy, m)
		return s
	})
}

// said is what an answer says of the ERP, for the breaker's history and the log. Its text may hold a customer's data, so it stays out.
func said(a domain.Answer) string {
	if a.StatusCode != 0 {
		return fmt.Sprintf("HTTP %d", a.StatusCode)
	}
	return fmt.Sprintf("no answer (%s)", a.Failure)
}
